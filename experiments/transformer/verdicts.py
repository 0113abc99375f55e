"""The two claims of articles about Transformers, each with the rule that decides it.

The rules were written before the record of the table was read. The chains had been counted by then, and a first record
of adding and recall for the LSTM and the Transformer was known.

*Transformers train in parallel over the steps, RNNs do not.* Let g be how many times longer the longest chain of
operations of a training step becomes from T = 64 to T = 1,024, which is 16 times as long. The claim holds if g is below
1.1 for the Transformer and at least 8 for every recurrent net, however it is run. It holds only for nets like the LSTM
and the GRU if that is so for these two and not for all. Else it does not hold.

*Transformers reach distant steps directly, at a higher cost.* Adding, copying and recall ask for distant content. The
claim holds if every seed of the Transformer solves all three at the length of training and at four times that length,
and its state there and its next token cost more than the LSTM's. It holds only for distances seen in training if the
Transformer falls short at four times the length alone. Else it does not hold.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from experiments import lab
from experiments.claims.rules import FAILS, HOLDS, only_if
from experiments.lab import Record
from experiments.transformer.pages import entry_of, milliseconds, solved
from experiments.transformer.training import LONGER, QUESTIONS, RIVAL, TIMED
from recurrax.report import listed

LSTM, GATED = "LSTM-fb1", ("LSTM-fb1", "GRU")
DISTANT = ("adding", "copy", "recall")
CONSTANT, PROPORTIONAL = 1.1, 8.0
RULES = {
    "parallel training": "From T = 64 to 1,024 the longest chain of operations of a training step grows by less than "
    "1.1 times for the Transformer, and at least 8 times for every recurrent net.",
    "global dependencies": "Every seed of the Transformer solves adding, copying and recall at the length of training "
    "and at four times that length; its state and its next token cost more than the LSTM's.",
}


def committed() -> dict[str, dict[str, str]]:
    """The verdicts on the committed records; none where there is no record of the table."""
    table = next((r for r in lab.records("transformer") if {*DISTANT} <= {*r["config"]["tasks"]}), None)
    tokens = lab.records("benchmarks.token_cost")
    return verdicts(table, tokens[0]) if table and tokens else {}


def verdicts(record: Record, tokens: Record) -> dict[str, dict[str, str]]:
    """Verdict, what was measured and the rule of each claim, from the record of the table and that of the tokens."""
    found = {"parallel training": parallel(record), "global dependencies": distant(record, tokens)}
    return {name: {"verdict": verdict, "measured": measured, "rule": RULES[name]}
            for name, (verdict, measured) in found.items()}  # fmt: skip


def growth(record: Record, net: str) -> float:
    """The longest chain over the longest sequences, over that of the shortest."""
    chain = record["results"]["chains"][net]
    return chain[str(TIMED[-1])] / chain[str(TIMED[0])]


def parallel(record: Record) -> tuple[str, str]:
    """Whether only a Transformer trains in parallel."""
    nets = record["results"]["chains"]
    grown = {net: growth(record, net) for net in nets}
    long = [net for net in nets if net != RIVAL and grown[net] >= PROPORTIONAL]
    others = [net for net in nets if net != RIVAL and net not in long]
    lengths = "; ".join(f"{net} {' to '.join(f'{nets[net][str(T)]:,}' for T in (TIMED[0], TIMED[-1]))}" for net in nets)
    ratio = milliseconds(record, RIVAL, TIMED[-1]) / milliseconds(record, LSTM, TIMED[-1])
    measured = (
        f"operations that wait for each other: {lengths}; on this CPU, which has few cores to use, a step over "
        f"{TIMED[-1]:,} takes the Transformer {ratio:.1f} times as long as the LSTM"
    )
    if grown[RIVAL] >= CONSTANT or not set(GATED) <= set(long):
        return FAILS, measured
    if others:
        return only_if(
            f"the recurrent net is nonlinear like the LSTM: {listed(others)} train in parallel too"
        ), measured
    return HOLDS, measured


def distant(record: Record, tokens: Record) -> tuple[str, str]:
    """Whether a Transformer reaches distant steps, and what that costs."""
    seeds = len(record["config"]["seeds"])
    counts = {
        name: [solved(record, name, RIVAL, times * QUESTIONS[name][2])[0] for times in (1, LONGER[-1])]
        for name in DISTANT
    }
    here, far = (all(count[at] == seeds for count in counts.values()) for at in (0, 1))
    bytes_ = {
        cell: [entry_of(record, name, cell)["state"][str(QUESTIONS[name][2])] for name in DISTANT]
        for cell in (RIVAL, LSTM)
    }
    own, other = (next_token(tokens, model) for model in (RIVAL, "LSTM"))
    dear = own > other and all(mine > theirs for mine, theirs in zip(bytes_[RIVAL], bytes_[LSTM], strict=True))
    ratio = np.divide(bytes_[RIVAL], bytes_[LSTM])
    measured = (
        f"seeds of {seeds} that solve a task at the length of training, and at four times it: "
        + ", ".join(f"{name} {near} and {far}" for name, (near, far) in counts.items())
        + f"; state {ratio.min():.0f} to {ratio.max():.0f} times the LSTM's; next token after "
        f"{tokens['config']['contexts'][-1]:,}: {own / other:.0f} times the LSTM's time"
    )
    if not (here and dear):
        return FAILS, measured
    return (HOLDS if far else only_if("the distance was seen in training")), measured


def next_token(tokens: Record, model: str) -> float:
    """Microseconds of the next token after the longest context, one sequence at a time; the median."""
    pages: Any = importlib.import_module("experiments.benchmarks.token_cost.page")
    return float(np.median(pages.times(pages.races(tokens, 1)[-1], model)))
