"""Each claim of the textbook comparison: what is measured, and the rule that turns the numbers into a verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.claims.evidence import Evidence
from experiments.compare import larger, more_often, rate

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"  # undecided: no difference either way
CONSTANT = 1e-3  # nats per step: a gradient that keeps 82% over 200 steps
NEAR = 0.15  # relative deviation within which a ratio counts as equal to another


class Verdict(NamedTuple):
    """A claim, what was measured, and whether it holds: a row of the table."""

    claim: str
    measured: str
    verdict: str


def only_if(condition: str) -> str:
    """The verdict of a claim with a condition."""
    return f"holds only if {condition}"


def judged(shown: bool, against: bool) -> str:
    """Whether a difference was seen as claimed, the other way round, or not at all."""
    return HOLDS if shown else FAILS if against else UNDECIDED


def rnn_memory(e: Evidence) -> Verdict:
    """The RNN remembers less than both gated cells, unless another initialisation does not."""
    T, identity = e.longest, "identity RNN"
    limited = all(more_often(e.count(cell, T), e.count("RNN", T)) for cell in ("GRU", "LSTM"))
    better = e.horizon(identity) > e.horizon("RNN")
    reach = ", ".join(f"{cell} {e.horizon(cell)}" for cell in ("RNN", identity, "GRU", "LSTM"))
    measured = (
        f"longest adding solved by half of the seeds: {reach}; T = {T}: RNN {e.share('RNN', T)}; gradient per step at "
        f"first: tanh {e.factor('tanh RNN')}, U = I with ReLU {e.factor('IRNN')}"
    )
    condition = only_if("U is not the identity: with ReLU and U = I the same network remembers longer")
    as_good = any(e.horizon("RNN") >= e.horizon(cell) > 0 for cell in ("GRU", "LSTM"))
    verdict = condition if limited and better else judged(limited, as_good)
    return Verdict("RNN: limited memory", measured, verdict)


def lstm_memory(e: Evidence) -> Verdict:
    """The LSTM remembers, but with a forget gate that starts half shut no better than the RNN."""
    T, shut = e.longest, "LSTM, forget bias 0"
    strong = 2 * e.count("LSTM", T)[0] >= e.count("LSTM", T)[1] and more_often(e.count("LSTM", T), e.count("RNN", T))
    measured = (
        f"T = {T}: {e.share('LSTM', T)}; gradient per step at first: forget bias 0 {e.factor(shut)}, 1 "
        f"{e.factor('LSTM, forget bias 1')}, chrono {e.factor('LSTM, chrono')}"
    )
    as_bad = not larger(e.slopes(shut), e.slopes("tanh RNN"))
    condition = only_if("the forget gate starts open: with bias 0 the gradient falls as fast as in the tanh RNN")
    return Verdict("LSTM: strong long-term memory", measured, (condition if as_bad else HOLDS) if strong else FAILS)


def gru_memory(e: Evidence) -> Verdict:
    """The GRU lies between the RNN and the LSTM."""
    T = e.longest
    more, less = more_often(e.count("GRU", T), e.count("RNN", T)), slower(e, "GRU", "LSTM", T)
    measured = f"T = {T}: GRU {e.share('GRU', T)}, LSTM {e.share('LSTM', T)}; updates {versus(e, T, 'GRU', 'LSTM')}"
    verdict = judged(more and less, slower(e, "LSTM", "GRU", T) or e.horizon("GRU") <= e.horizon("RNN"))
    return Verdict("GRU: moderate memory, less than the LSTM", measured, verdict)


def gates(e: Evidence) -> Verdict:
    """Counted in the cells' own code; CIFG shows that an LSTM can do with one fewer."""
    counts = {cell: int(entry["gates"]) for cell, entry in e.results["structure"].items()}
    right = (counts["RNN"], counts["LSTM"], counts["GRU"]) == (0, 3, 2)
    measured = ", ".join(f"{cell} {number}" for cell, number in counts.items())
    return Verdict("gates: RNN none, LSTM three, GRU two", measured, HOLDS if right else FAILS)


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
    return Verdict("complexity: RNN low, GRU medium, LSTM high", measured, HOLDS if ordered else FAILS)


def stability(e: Evidence) -> Verdict:
    """Runs that diverge or spike, over all learning rates, without and with clipping."""
    worse = {
        clipped: all(
            more_often(e.unstable("RNN", clipped=clipped), e.unstable(cell, clipped=clipped))
            for cell in ("GRU", "LSTM")
        )
        for clipped in (False, True)
    }
    measured = "; ".join(
        f"{'clipped' if clipped else 'not clipped'}: "
        + ", ".join(f"{cell} {rate(*e.unstable(cell, clipped=clipped))}" for cell in ("RNN", "GRU", "LSTM"))
        for clipped in worse
    )
    against = any(
        more_often(e.unstable(cell, clipped=clipped), e.unstable("RNN", clipped=clipped))
        for clipped in worse
        for cell in ("GRU", "LSTM")
    )
    verdict = judged(all(worse.values()), against)
    if worse[False] != worse[True]:
        verdict = only_if(f"gradients are {'clipped' if worse[True] else 'not clipped'}")
    return Verdict(
        "training: RNN poor, LSTM stable, GRU more stable than the RNN", f"unstable runs, {measured}", verdict
    )


def long_data(e: Evidence) -> Verdict:
    """Test loss at the longest length."""
    T = e.longest
    losses = {cell: e.run(cell, T)["loss"] for cell in ("RNN", "identity RNN", "GRU", "LSTM")}
    weak = all(larger(losses["RNN"], losses[cell]) for cell in ("GRU", "LSTM"))
    strong = any(larger(losses[cell], losses["RNN"]) for cell in ("GRU", "LSTM"))
    shown = ", ".join(
        f"{cell} {np.median(loss):.4f} ({loss.min():.4f} to {loss.max():.4f})" for cell, loss in losses.items()
    )
    chance = e.results[f"adding T={T} RNN"]["chance_level"]
    measured = f"test MSE at T = {T}: {shown}; chance {chance:.4f}"
    return Verdict("long sequences: RNN weak, LSTM and GRU strong", measured, judged(weak, strong))


def cost(e: Evidence) -> Verdict:
    """Order of the times of a training step, at every size."""
    ordered = [
        H
        for H in e.sizes
        if larger(e.milliseconds("GRU", H), e.milliseconds("RNN", H))
        and larger(e.milliseconds("LSTM", H), e.milliseconds("GRU", H))
    ]
    measured = "; ".join(f"H = {H}: 1 : {times(e, 'GRU', 'RNN', H)} : {times(e, 'LSTM', 'RNN', H)}" for H in e.sizes)
    some = only_if(f"H is {' or '.join(map(str, ordered))}")
    verdict = HOLDS if len(ordered) == len(e.sizes) else some if ordered else FAILS
    return Verdict("cost: RNN low, LSTM high, GRU below the LSTM", f"time of a training step, {measured}", verdict)


def proportional_cost(e: Evidence) -> Verdict:
    """Whether times scale as the number of matrices does."""
    right = [
        H
        for H in e.sizes
        if abs(e.ratio("GRU", "RNN", H)[0] / 3 - 1) < NEAR and abs(e.ratio("LSTM", "RNN", H)[0] / 4 - 1) < NEAR
    ]
    off = [f"H = {H}: {e.ratio('GRU', 'RNN', H)[0]:.2f}, {e.ratio('LSTM', 'RNN', H)[0]:.2f}" for H in e.sizes]
    some = only_if(f"H is {' or '.join(map(str, right))}")
    verdict = HOLDS if len(right) == len(e.sizes) else some if right else FAILS
    measured = f"GRU and LSTM over RNN, {'; '.join(off)}; within {NEAR:.0%} counts"
    return Verdict("cost follows the parameters, 1 : 3 : 4", measured, verdict)


def constant_flow(e: Evidence) -> Verdict:
    """A slope of zero, in the cell of 1997 and in the LSTM of today."""
    names = ("no forget gate, truncated gradient", "no forget gate", "LSTM, forget bias 1", "LSTM, chrono")
    flat = {name: bool(np.abs(e.slopes(name)).max() < CONSTANT) for name in names}
    measured = "gradient per step: " + ", ".join(f"{name} {e.factor(name)}" for name in names)
    condition = only_if("there is no forget gate and the gradient through the gates is cut, as in 1997")
    today = flat["LSTM, forget bias 1"] and flat["LSTM, chrono"]
    verdict = HOLDS if today else condition if flat[names[0]] and not flat[names[1]] else FAILS
    return Verdict("the cell state gives constant error flow", measured, verdict)


def forget_gate(e: Evidence) -> Verdict:
    """What reaches the past with the gate held shut and open, on the cell's own path and on all paths."""
    names = ("forget gate 0, no recurrent weights", "forget gate 1, no recurrent weights", "forget gate 0")
    lost, kept, around = (e.slopes(name) for name in names)
    own = bool(np.median(lost) < -10 and np.abs(kept).max() < CONSTANT)
    leak = bool(np.median(around) > -10)
    measured = "gradient per step: " + ", ".join(f"{name} {e.factor(name)}" for name in (*names, "forget gate 1"))
    condition = only_if("nothing else remembers: past a shut gate the recurrent weights still carry h")
    return Verdict("forget gate 0 forgets, 1 retains", measured, (condition if leak else HOLDS) if own else FAILS)


def noise(e: Evidence) -> Verdict:
    """How much more the answer depends on what counts than on what does not, where all cells solved the task."""
    T = e.horizon("RNN") or e.shortest
    heard = {cell: e.run(cell, T)["signal_to_noise"] for cell in ("RNN", "GRU", "LSTM")}
    better = all(larger(heard[cell], heard["RNN"]) for cell in ("GRU", "LSTM"))
    worse = any(larger(heard["RNN"], heard[cell]) for cell in ("GRU", "LSTM"))
    measured = f"dy/dx at marked over unmarked values (root mean squares), T = {T}: " + ", ".join(
        f"{cell} {np.median(values):.1f} ({values.min():.1f} to {values.max():.1f})" for cell, values in heard.items()
    )
    return Verdict("gates keep out noise, better than none", measured, judged(better, worse))


def slow(e: Evidence) -> Verdict:
    """Time of a training step of the LSTM over that of the others."""
    measured = "; ".join(
        f"H = {H}: {times(e, 'LSTM', 'RNN', H)} RNN, {times(e, 'LSTM', 'GRU', H)} GRU" for H in e.sizes
    )
    right = all(
        larger(e.milliseconds("LSTM", H), e.milliseconds(other, H)) for H in e.sizes for other in ("RNN", "GRU")
    )
    return Verdict(
        "LSTMs are slower", f"time of a training step over that of others, {measured}", HOLDS if right else FAILS
    )


def data(e: Evidence) -> Verdict:
    """Fresh examples until the criterion, at the shortest length, which all cells can solve."""
    T = e.shortest
    hungrier = [slower(e, "LSTM", other, T) for other in ("RNN", "GRU")]
    measured = f"updates of {e.batch_size} fresh examples to solve T = {T}: {versus(e, T, 'RNN', 'GRU', 'LSTM')}"
    frugal = slower(e, "RNN", "LSTM", T)
    verdict = only_if("compared with the GRU") if hungrier[1] and frugal else judged(all(hungrier), frugal)
    return Verdict("LSTMs want more data", measured, verdict)


def overkill(e: Evidence) -> Verdict:
    """Whether the RNN does the short task as well, and sooner on the clock."""
    T = e.shortest
    enough = not more_often(e.count("LSTM", T), e.count("RNN", T)) and e.horizon("RNN") >= T
    seconds = {cell: e.run(cell, T)["seconds"] for cell in ("RNN", "LSTM")}
    cheaper, dearer = larger(seconds["LSTM"], seconds["RNN"]), larger(seconds["RNN"], seconds["LSTM"])
    shown = ", ".join(f"{cell} {np.sort(values)[(len(values) - 1) // 2]:.2g} s" for cell, values in seconds.items())
    measured = f"T = {T}: RNN {e.share('RNN', T)}, LSTM {e.share('LSTM', T)}; time to criterion of a run: {shown}"
    return Verdict("LSTMs are overkill for short sequences", measured, judged(enough and cheaper, dearer or not enough))


def cheap_equal(e: Evidence) -> Verdict:
    """As good as the LSTM at the longest length, at a lower price."""
    T, size = e.longest, max(e.sizes)
    equal = not more_often(e.count("LSTM", T), e.count("GRU", T)) and not slower(e, "GRU", "LSTM", T)
    cheaper = all(larger(e.milliseconds("LSTM", H), e.milliseconds("GRU", H)) for H in e.sizes)
    counts = e.results["structure"]
    measured = (
        f"parameters {counts['GRU']['parameters'] / counts['LSTM']['parameters']:.2f}, time at H = {size} "
        f"{times(e, 'GRU', 'LSTM', size)} of the LSTM's; T = {T}: {e.share('GRU', T)} against {e.share('LSTM', T)}, "
        f"updates {versus(e, T, 'GRU', 'LSTM')}"
    )
    dearer = any(larger(e.milliseconds("GRU", H), e.milliseconds("LSTM", H)) for H in e.sizes)
    verdict = judged(equal and cheaper, not equal or dearer)
    return Verdict("the GRU is a cheaper equal of the LSTM", measured, verdict)


CLAIMS: tuple[Callable[[Evidence], Verdict], ...] = (
    rnn_memory, lstm_memory, gru_memory, gates, complexity, stability, long_data, cost, proportional_cost,
    constant_flow, forget_gate, noise, slow, data, overkill, cheap_equal,
)  # fmt: skip


def slower(e: Evidence, cell: str, other: str, length: int) -> bool:
    """Whether a cell needs more updates than another."""
    return larger(e.run(cell, length)["updates"], e.run(other, length)["updates"])


def versus(e: Evidence, length: int, *cells: str) -> str:
    """Updates to the criterion of several cells."""
    return ", ".join(f"{cell} {e.updates(cell, length)}" for cell in cells)


def times(e: Evidence, cell: str, other: str, hidden: int) -> str:
    """A ratio of times with its quartiles."""
    median, low, high = e.ratio(cell, other, hidden)
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"
