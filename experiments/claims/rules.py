"""From effects to a verdict, by rules that were written before the run, but for what the page names.

A claim of a difference holds where the 95% interval of the effect lies wholly on the side that is claimed. It does not
hold where the effect is shown to lie on the other side or, by the 90% interval, to be smaller than the margin. What is
neither stays undecided, and the verdict gives the bound that was reached. A claim of no difference holds where the 90%
interval lies within the margin, and otherwise does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from experiments.claims.intervals import Effect, number
from recurrax.report import listed

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
CONDITION = "holds only if"
NOT_YET = "not measured yet"


class Verdict(NamedTuple):
    """A claim, whether it holds, what was measured, and the rule that decides: a row of the table."""

    claim: str
    verdict: str
    measured: str
    rule: str


def kind(verdict: str) -> str:
    """The kind of a verdict: one of the words above."""
    return next(word for word in (CONDITION, HOLDS, FAILS, UNDECIDED, NOT_YET) if verdict.startswith(word))


def only_if(condition: str) -> str:
    """The verdict of a claim with a condition."""
    return f"{CONDITION} {condition}"


def settle(cases: Mapping[str, Effect], stem: str = "") -> str:
    """The verdict of a claim that something is more in every case; stem and name of a case end "holds only if"."""
    shown = [name for name, effect in cases.items() if effect.more]
    unknown = {name: effect for name, effect in cases.items() if not (effect.more or effect.not_more)}
    bounds = "; ".join(undecided(effect, f" where {stem}{name}" if name else "") for name, effect in unknown.items())
    if not unknown:
        return HOLDS if len(shown) == len(cases) else only_if(stem + listed(shown, "or")) if shown else FAILS
    return f"{only_if(stem + listed(shown, 'or'))}; {bounds}" if shown else bounds


def settle_equal(cases: Mapping[str, list[Effect]]) -> str:
    """The verdict of a claim that nothing differs, in every case: that has to be shown, and else it does not hold."""
    shown = [name for name, effects in cases.items() if all(effect.equal for effect in effects)]
    return HOLDS if len(shown) == len(cases) else only_if(listed(shown, "or")) if shown else FAILS


def undecided(effect: Effect, where: str = "") -> str:
    """That an effect is neither shown nor shown to be small, and how large it is at most."""
    times = " times" if effect.ratio else ""
    return f"{UNDECIDED}{where}: at most {number(effect.most)}{times}"


def weakest(*effects: Effect) -> Effect:
    """The weakest of several effects that must all be shown."""
    return min(effects, key=lambda effect: effect.low)
