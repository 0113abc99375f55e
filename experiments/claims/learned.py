"""The claims on what is learned: from how far back, from how many sequences, how stably, and at which cost."""

from __future__ import annotations

import numpy as np

from experiments.claims.config import SHUT
from experiments.claims.evidence import AS_GOOD, AS_OFTEN, AS_STABLE, FEW, Evidence
from experiments.claims.intervals import Effect, ratio
from experiments.claims.rules import FAILS, HOLDS, UNDECIDED, Verdict, only_if, settle, undecided, weakest
from recurrax.report import listed

OFTEN = f"Less than {AS_OFTEN:.0%} of the seeds more counts as none."
MORE = f"Less than {AS_GOOD - 1:.0%} more counts as none."


def rnn_memory(e: Evidence) -> Verdict:
    """The RNN remembers less than both gated cells, unless another initialisation does not."""
    task, identity = f"adding T={e.longest}", "identity RNN"
    less = weakest(*(e.solves_more(task, cell, "RNN") for cell in ("GRU", "LSTM")))
    reach = ", ".join(f"{cell} {e.horizon(cell)}" for cell in ("RNN", identity, "GRU", "LSTM"))
    measured = (
        f"longest adding solved by half of the seeds: {reach}; T = {e.longest}: RNN {e.share(task, 'RNN')}; gradient "
        f"per step at first: tanh {e.factor('tanh RNN')}, U = I with ReLU {e.factor('IRNN')}"
    )
    verdict = settle({"": less})
    if less.more and e.horizon(identity) > e.horizon("RNN"):
        verdict = only_if("U is not the identity: with ReLU and U = I the same network remembers longer")
    rule = (
        f"Fewer seeds of the RNN than of GRU and LSTM solve the longest adding problem. {OFTEN} Only if U is not the "
        "identity, if half of the seeds solve a longer one with it than without."
    )
    return Verdict("RNN: limited memory", verdict, measured, rule)


def lstm_memory(e: Evidence) -> Verdict:
    """The LSTM remembers; does it also where its forget gate starts half shut?"""
    task = f"adding T={e.longest}"
    strong, needed = e.solves_more(task, "LSTM", "RNN"), e.solves_more(task, "LSTM", SHUT)
    measured = (
        f"T = {e.longest}: {e.share(task, 'LSTM')}, with a forget bias of 0 {e.share(task, SHUT)}, RNN "
        f"{e.share(task, 'RNN')}; updates {e.shown_updates(task, 'LSTM')} and {e.shown_updates(task, SHUT)}; gradient "
        f"per step at first: forget bias 0 {e.factor('LSTM, forget bias 0')}, 1 {e.factor('LSTM, forget bias 1')}, "
        f"chrono {e.factor('LSTM, chrono')}"
    )
    verdict = settle({"": strong})
    if verdict == HOLDS and not e.half(task, "LSTM"):
        verdict = FAILS
    if verdict == HOLDS and not needed.not_more:
        open_ = only_if("the forget gate starts open: with a bias of 0 fewer seeds solve the longest problem")
        verdict = open_ if needed.more else f"{HOLDS}; {UNDECIDED} with a forget bias of 0"
    rule = (
        f"Half of the seeds, and more than of the RNN, solve the longest adding problem. {OFTEN} Only if the forget "
        "gate starts open, if fewer do with a forget bias of 0."
    )
    return Verdict("LSTM: strong long-term memory", verdict, measured, rule)


def gru_memory(e: Evidence) -> Verdict:
    """The GRU lies between the RNN and the LSTM."""
    task = f"adding T={e.longest}"
    above, below = e.solves_more(task, "GRU", "RNN"), e.solves_more(task, "LSTM", "GRU")
    slower = e.takes_longer(task, "GRU", "LSTM")
    measured = (
        f"T = {e.longest}: GRU {e.share(task, 'GRU')}, LSTM {e.share(task, 'LSTM')}; updates {versus(e, task)}; GRU "
        f"over LSTM {slower}"
    )
    less = HOLDS if below.more else settle({"": slower})
    rule = (
        "More seeds of the GRU than of the RNN solve the longest adding problem; and fewer than of the LSTM, or after "
        f"more updates. {MORE}"
    )
    return Verdict("GRU: moderate memory, less than the LSTM", less if above.more else settle({"": above}), measured,
                   rule)  # fmt: skip


def long_data(e: Evidence) -> Verdict:
    """Test loss at the longest length."""
    task = f"adding T={e.longest}"
    losses = {cell: e.values("test_loss", task, cell) for cell in ("RNN", "identity RNN", "GRU", "LSTM")}
    cases = {f"compared with the {cell}": ratio(losses["RNN"], losses[cell], AS_GOOD) for cell in ("GRU", "LSTM")}
    shown = ", ".join(
        f"{cell} {np.median(loss):.4f} ({loss.min():.4f} to {loss.max():.4f})" for cell, loss in losses.items()
    )
    chance = e.results[f"{task} RNN"]["chance_level"]
    measured = f"test MSE at T = {e.longest}: {shown}; chance {chance:.4f}"
    rule = f"The test error of the RNN at the longest length is above those of GRU and LSTM. {MORE}"
    return Verdict("long sequences: RNN weak, LSTM and GRU strong", settle(cases), measured, rule)


def noise(e: Evidence) -> Verdict:
    """The ratio of the answer's dependence on relevant and irrelevant inputs, where the RNN too solved the task."""
    T = e.horizon("RNN") or e.lengths[0]
    task = f"adding T={T}"
    heard = {cell: e.values("signal_to_noise", task, cell) for cell in ("RNN", "GRU", "LSTM")}
    cases = {
        f"the gates are those of the {cell}": ratio(heard[cell], heard["RNN"], AS_GOOD) for cell in ("GRU", "LSTM")
    }
    measured = f"dy/dx at marked over unmarked values (root mean squares), T = {T}: " + ", ".join(
        f"{cell} {np.median(values):.1f} ({values.min():.1f} to {values.max():.1f})" for cell, values in heard.items()
    )
    rule = (
        "At the longest adding problem that half of the seeds of the RNN solve, the answer of GRU and LSTM depends "
        f"more on marked values, relative to others, than that of the RNN. {MORE}"
    )
    return Verdict("gates keep out noise, better than none", settle(cases), measured, rule)


def stability(e: Evidence) -> Verdict:
    """Runs that diverge or spike, over all learning rates, without and with clipping."""
    words = {False: "gradients are not clipped", True: "gradients are clipped"}
    cases: dict[str, Effect] = {}
    for clipped, condition in words.items():
        cases[condition] = weakest(*(e.less_stable("RNN", cell, clipped=clipped) for cell in ("GRU", "LSTM")))
    measured = "; ".join(
        f"{condition}: "
        + ", ".join(f"{cell} {e.shown_unstable(cell, clipped=clipped)}" for cell in ("RNN", "GRU", "LSTM"))
        for clipped, condition in words.items()
    )
    rule = (
        "The RNN is unstable at a larger share of the learning rates than GRU and LSTM, with and without clipping "
        f"(paired by seed). Less than {AS_STABLE:.0%} of them more counts as none."
    )
    claim = "training: RNN poor, LSTM stable, GRU more stable than the RNN"
    return Verdict(claim, settle(cases), f"unstable runs, {measured}", rule)


def data(e: Evidence) -> Verdict:
    """Held-out error after the same training on few sequences, for cells of as many weights."""
    cases = {
        f"the {other} on {e.named(task)}": e.needs_data(task, "LSTM", other)
        for task in e.curves
        for other in ("RNN", "GRU")
    }
    shown = "; ".join(
        f"{e.named(task)}: {e.needs_data(task, 'LSTM', 'RNN')} RNN, {e.needs_data(task, 'LSTM', 'GRU')} GRU"
        for task in e.curves
    )
    measured = f"held-out error of the LSTM on at most {FEW} training sequences over that of others, {shown}"
    rule = (
        f"With as many weights the LSTM's held-out error on few training sequences (up to {FEW}, geometric mean) is "
        f"above those of RNN and GRU, on all tasks. {MORE}"
    )
    return Verdict("LSTMs want more data", settle(cases, "the rival is "), measured, rule)


def overkill(e: Evidence) -> Verdict:
    """Whether a simpler model does a short task as often, and sooner on the clock."""
    enough, unknown = [], []
    for task in e.short:
        as_often = {model: effects for model, effects in e.simplest(task).items() if effects[0].not_more}
        if any(dearer.more for _, dearer in as_often.values()):
            enough.append(e.named(task))
        elif any(not dearer.not_more for _, dearer in as_often.values()):
            unknown.append(e.named(task))
    said = f"the task is {listed(enough, 'or')}" if enough else ""
    verdict = HOLDS if len(enough) == len(e.short) else only_if(said) if enough else FAILS
    if unknown:
        verdict = f"{only_if(said)}; " * bool(enough) + f"{UNDECIDED} for {listed(unknown, 'or')}"
    measured = "time to the criterion, LSTM over a simpler model that solves the task as often: " + "; ".join(
        f"{e.named(task)}: {cheaper(e, task)}" for task in e.short
    )
    rule = (
        f"On every short task (T up to 20) the linear model or the RNN meets the criterion as often (less than "
        f"{AS_OFTEN:.0%} of the seeds fewer), and one that does gets there in less time. {MORE}"
    )
    return Verdict("LSTMs are overkill for short sequences", verdict, measured, rule)


def cheaper(e: Evidence, task: str) -> str:
    """The simpler models that solve a task as often as the LSTM, and how much longer that one takes."""
    found = [f"{model} {dearer}" for model, (oftener, dearer) in e.simplest(task).items() if oftener.not_more]
    return ", ".join(found) or "none"


def cheap_equal(e: Evidence) -> Verdict:
    """As good as the LSTM at the longest length, at a lower price."""
    task, size = f"adding T={e.longest}", max(e.sizes)
    worse, slower = e.solves_more(task, "LSTM", "GRU"), e.takes_longer(task, "GRU", "LSTM")
    price = {f"H is {H}": e.time("LSTM", "GRU", H) for H in e.sizes}
    counts = e.results["structure"]
    measured = (
        f"parameters {counts['GRU']['parameters'] / counts['LSTM']['parameters']:.2f}, time at H = {size} "
        f"{e.time('GRU', 'LSTM', size)} of the LSTM's; T = {e.longest}: {e.share(task, 'GRU')} against "
        f"{e.share(task, 'LSTM')}, updates over the LSTM's {slower}"
    )
    if worse.more or slower.more:
        verdict = FAILS
    else:
        verdict = settle(price) if worse.not_more and slower.not_more else undecided(slower, " by updates")
    rule = (
        f"As many seeds solve the longest adding problem (less than {AS_OFTEN:.0%} fewer) after no more updates (less "
        f"than {AS_GOOD - 1:.0%} more), and a step takes less time than the LSTM's at every size."
    )
    return Verdict("the GRU is a cheaper equal of the LSTM", verdict, measured, rule)


def versus(e: Evidence, task: str) -> str:
    """Updates to the criterion of GRU and LSTM."""
    return ", ".join(f"{cell} {e.shown_updates(task, cell)}" for cell in ("GRU", "LSTM"))
