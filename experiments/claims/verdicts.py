"""Each claim of the textbook comparison: what is measured, and the rule that turns the numbers into a verdict.

Here are the claims on structure, cost and gradient flow; those on what is learned are in `experiments.claims.learned`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.claims import learned
from experiments.claims.evidence import AS_LONG, Evidence
from experiments.claims.rules import FAILS, HOLDS, NOT_YET, Verdict, only_if, settle, settle_equal, weakest

CONSTANT = 1e-3  # nats per step: a gradient that keeps 82% over 200 steps
FORGOTTEN = -10  # nats per step: 5e-5 of a gradient is left after one step
LATER = {
    "parallel training": "Transformers train in parallel over the steps, RNNs do not",
    "global dependencies": "Transformers reach distant steps directly, at a higher cost",
}


def gates(e: Evidence) -> Verdict:
    """Counted in the cells' own code; CIFG shows that an LSTM can do with one fewer."""
    counts = {cell: int(entry["gates"]) for cell, entry in e.results["structure"].items()}
    right = (counts["RNN"], counts["LSTM"], counts["GRU"]) == (0, 3, 2)
    measured = ", ".join(f"{cell} {number}" for cell, number in counts.items())
    rule = "The gates in the code of the cells are 0, 3 and 2."
    return Verdict("gates: RNN none, LSTM three, GRU two", HOLDS if right else FAILS, measured, rule)


def complexity(e: Evidence) -> Verdict:
    """Parameters and operations of a step, relative to the RNN's."""
    counts = e.results["structure"]
    relative = {
        key: [counts[cell][key] / counts["RNN"][key] for cell in ("GRU", "LSTM")]
        for key in ("parameters", "flop", "flop_xla", "state_bytes")
        if counts["RNN"][key]
    }
    names = {"parameters": "parameters", "flop": "FLOP", "flop_xla": "FLOP by XLA", "state_bytes": "state"}
    measured = "; ".join(f"{names[key]} 1 : {gru:.2f} : {lstm:.2f}" for key, (gru, lstm) in relative.items())
    ordered = all(1 < relative[key][0] < relative[key][1] for key in ("parameters", "flop"))
    rule = "Parameters and FLOP of a step rise from RNN to GRU to LSTM."
    return Verdict("complexity: RNN low, GRU medium, LSTM high", HOLDS if ordered else FAILS, measured, rule)


def cost(e: Evidence) -> Verdict:
    """Order of the times of a training step, at every size."""
    cases = {f"H is {H}": weakest(e.time("GRU", "RNN", H), e.time("LSTM", "GRU", H)) for H in e.sizes}
    measured = "; ".join(f"H = {H}: 1 : {e.time('GRU', 'RNN', H)} : {e.time('LSTM', 'RNN', H)}" for H in e.sizes)
    rule = f"At every size a step takes the GRU longer than the RNN, and the LSTM longer than the GRU. {near(AS_LONG)}"
    claim = "cost: RNN low, LSTM high, GRU below the LSTM"
    return Verdict(claim, settle(cases), f"time of a training step, {measured}", rule)


def proportional_cost(e: Evidence) -> Verdict:
    """Whether times scale as the number of matrices does."""

    def relative(cell: str, matrices: int, hidden: int) -> Any:
        effect = e.time(cell, "RNN", hidden)
        return effect._replace(**{name: getattr(effect, name) / matrices for name in effect._fields[:5]})

    cases = {f"H is {H}": [relative("GRU", 3, H), relative("LSTM", 4, H)] for H in e.sizes}
    shown = "; ".join(f"H = {H}: GRU {e.time('GRU', 'RNN', H)}, LSTM {e.time('LSTM', 'RNN', H)}" for H in e.sizes)
    rule = (
        f"At every size the times of GRU and LSTM over the RNN's are shown to be 3 and 4 within {AS_LONG - 1:.0%}, by "
        "the whole interval of 90%."
    )
    return Verdict("cost follows the parameters, 1 : 3 : 4", settle_equal(cases), f"over the RNN's, {shown}", rule)


def slow(e: Evidence) -> Verdict:
    """Time of a training step of the LSTM over that of the others."""
    cases = {f"H is {H}": weakest(*(e.time("LSTM", cell, H) for cell in ("RNN", "GRU"))) for H in e.sizes}
    measured = "; ".join(f"H = {H}: {e.time('LSTM', 'RNN', H)} RNN, {e.time('LSTM', 'GRU', H)} GRU" for H in e.sizes)
    rule = f"At every size a step takes the LSTM longer than RNN and GRU. {near(AS_LONG)}"
    return Verdict("LSTMs are slower", settle(cases), f"time of a training step over that of others, {measured}", rule)


def near(margin: float) -> str:
    """The definition of equality, as part of a rule."""
    return f"Less than {margin - 1:.0%} more counts as none."


def constant_flow(e: Evidence) -> Verdict:
    """A slope of zero, in the cell of 1997 and in the LSTM of today."""
    names = ("no forget gate, truncated gradient", "no forget gate", "LSTM, forget bias 1", "LSTM, chrono")
    flat = {name: bool(np.abs(e.slopes(name)).max() < CONSTANT) for name in names}
    measured = "gradient per step: " + ", ".join(f"{name} {e.factor(name)}" for name in names)
    condition = only_if("there is no forget gate and the gradient through the gates is cut, as in 1997")
    today = flat["LSTM, forget bias 1"] and flat["LSTM, chrono"]
    verdict = HOLDS if today else condition if flat[names[0]] and not flat[names[1]] else FAILS
    rule = (
        f"Every start of the LSTM keeps the gradient to {CONSTANT:g} nats a step; only as in 1997 if the cell of that "
        "time does with its truncated gradient and not without."
    )
    return Verdict("the cell state gives constant error flow", verdict, measured, rule)


def forget_gate(e: Evidence) -> Verdict:
    """The gradient with the gate held shut and open, on the cell's own path and on all paths."""
    names = ("forget gate 0, no recurrent weights", "forget gate 1, no recurrent weights", "forget gate 0")
    lost, kept, around = (e.slopes(name) for name in names)
    own = bool(np.median(lost) < FORGOTTEN and np.abs(kept).max() < CONSTANT)
    leak = bool(np.median(around) > FORGOTTEN)
    measured = "gradient per step: " + ", ".join(f"{name} {e.factor(name)}" for name in (*names, "forget gate 1"))
    condition = only_if("nothing else remembers: past a shut gate the recurrent weights still carry h")
    rule = (
        f"Without recurrent weights the open gate keeps the gradient to {CONSTANT:g} nats a step and the shut one "
        f"loses more than {-FORGOTTEN}; only without them if with them a shut gate does not."
    )
    verdict = (condition if leak else HOLDS) if own else FAILS
    return Verdict("forget gate 0 forgets, 1 retains", verdict, measured, rule)


def later(e: Evidence) -> list[Verdict]:
    """The claims about Transformers: rows that `experiments.transformer.verdicts` made from committed records."""
    found = e.results.get("transformers", {})
    waiting = {"verdict": NOT_YET, "measured": "-", "rule": "see `experiments.transformer`"}
    return [Verdict(claim, **found.get(name, waiting)) for name, claim in LATER.items()]


CLAIMS: tuple[Callable[[Evidence], Verdict], ...] = (
    learned.rnn_memory, learned.lstm_memory, learned.gru_memory, gates, complexity, learned.stability,
    learned.long_data, cost, proportional_cost, constant_flow, forget_gate, learned.noise, slow, learned.data,
    learned.overkill, learned.cheap_equal,
)  # fmt: skip
