"""The rows: what Table 10 of the paper says of nets, learning rates and stop rules, and rows that differ from it."""

from __future__ import annotations

import dataclasses

from experiments.hochreiter1997.network import Net
from experiments.hochreiter1997.rows import Judge, Rule, Setup
from recurrax.tasks import Adding, EmbeddedReber, Multiplication, TemporalOrder, TimeLag, TwoSequence

LENGTH = 100  # T of experiments 2 to 6, p of 2a and 2b
STRING = 50  # steps of the longest string of experiment 1
SHIFT = -4.0  # shift of the input gates' net input where 2a and 2b differ from the text

changed = dataclasses.replace


def setups(length: int = LENGTH) -> dict[str, Setup]:
    """Every row by name; a shorter length is for tests."""
    return {**reber(), **lags(length), **random_lags(length), **sequences(length), **numbers(length), **orders(length)}


def reber() -> dict[str, Setup]:
    """Experiment 1: output gates start at -1, -2, ...; only gates have biases; 3 sets of strings by 10 trials.

    The rows "wide" differ: output units see inputs and gates too.
    """
    four = Net(4, bound=0.2, biased="gates", output_gates=(-1, -2, -3, -4), output_biased=False)
    three = Net(3, 2, bound=0.2, biased="gates", output_gates=(-1, -2, -3), output_biased=False)
    exact = changed(three, truncated=False)
    rules, judge = (Rule(test=512),), Judge(0.5)
    plain = Setup(EmbeddedReber(STRING), three, 0.5, judge, rules, trials=30, cap=60_000, chunk=200)
    steps = changed(plain, stepwise=True, rate=0.1, cap=150_000)
    wide = changed(steps, net=changed(three, outputs_see="all"))
    flat = changed(wide, net=changed(wide.net, state_range=2.0))
    return {
        "1-264": changed(plain, net=four, rate=0.1),
        "1-264-0.5": changed(plain, net=four),
        "1-276": plain,
        "1-stepwise": changed(plain, stepwise=True),
        "1-exact": changed(plain, net=exact),
        "1-adam": changed(plain, net=exact, rate=0.01, adam=True),
        "1-264-steps": changed(steps, net=four),
        "1-276-steps": steps,
        "1-264-wide": changed(wide, net=changed(four, outputs_see="all")),
        "1-264-wide-0.5": changed(flat, net=changed(four, outputs_see="all", state_range=2.0), rate=0.5),
        "1-276-wide": wide,
        "1-276-wide-0.2": changed(flat, rate=0.2),
        "1-276-wide-0.5": changed(flat, rate=0.5),
    }


def lags(length: int) -> dict[str, Setup]:
    """Experiments 2a and 2b: one cell without output gate that is added late.

    Experiment 2b should be hard: the input ``i g`` of a cell is never negative, so its state can only grow, and every
    random symbol adds to it. The rows "shifted" differ: their input gates start shut.
    """
    one = Net(1, bound=0.2, biased="none", output_biased=False, kind="B")
    simple, shut = changed(one, kind="simple"), changed(one, shift=SHIFT)
    rules, every, end = (Rule(test=10_000),), Judge(0.25), Judge(0.25, at="end")

    def a(lag: int, net: Net) -> Setup:
        task = TimeLag(lag, "hochreiter1997-2a")
        return Setup(task, net, 1.0, every, rules, trials=18, cap=20_000, chunk=100, grows=net.kind == "B")

    def b(lag: int, net: Net) -> Setup:
        return changed(a(lag, net), task=TimeLag(lag, "hochreiter1997-2b"), judge=end)

    short, medium = (max(3, round(lag * length / LENGTH)) for lag in (10, 20))
    # With an error at the end alone, an update at every step is one update a sequence.
    shut_a = changed(a(length, shut), stepwise=True, cap=60_000)
    shut_b = changed(b(length, shut), error_at="end", cap=60_000)
    return {
        "2a": a(length, one),
        "2a-20": a(medium, one),
        "2a-10": a(short, one),
        "2a-simple": a(short, simple),
        "2a-shifted": changed(shut_a, error="whole"),
        "2a-shifted-direct": changed(shut_a, error="direct"),
        "2b": b(length, one),
        "2b-simple": b(short, simple),
        "2b-shifted": changed(shut_b, error="whole"),
        "2b-shifted-direct": changed(shut_b, error="direct"),
    }


def random_lags(length: int) -> dict[str, Setup]:
    """Experiment 2c: two blocks without biases. The rows "inputs" differ: cells see the inputs alone."""
    two = Net(2, bound=0.2, biased="none", output_biased=False)

    def c(lag: int, distractors: int, trials: int, cap: int) -> Setup:
        task = TimeLag(lag, "hochreiter1997-2c", distractors)
        return Setup(task, two, 0.01, Judge(0.2), (Rule(test=10_000),), trials=trials, cap=cap, chunk=500)

    half, double, long = (round(q * length / LENGTH) for q in (50, 200, 1000))
    rows = {
        "2c-50": c(half, half, 20, 150_000),
        "2c-100": c(length, length, 20, 150_000),
        "2c-200": c(double, double, 20, 150_000),
        "2c-1000-1000": c(long, long, 20, 250_000),
    }
    inputs = changed(two, cells_see="inputs")
    return {
        **rows,
        "2c-1000-50": c(long, half, 20, 500_000),
        **{f"{name}-inputs": changed(row, net=inputs) for name, row in rows.items()},
    }


def sequences(length: int) -> dict[str, Setup]:
    """Experiment 3: three blocks with biases, input gates shut to different degrees."""
    net = Net(3, input_gates=(-1, -3, -5), output_gates=(-2, -4, -6), output_biased=False)
    rows = {}
    for values in (3, 1):
        a, b, c = (TwoSequence(length, f"hochreiter1997-3{kind}", values) for kind in "abc")
        first = Setup(a, net, 1.0, Judge(0.2), (Rule(test=256), Rule(error=0.01, test=256)), 10, 300_000, chunk=250)
        noisy = (Rule(wrong=6, test=256), Rule(wrong=6, error=0.04, test=256))
        rows[f"3a-{values}"] = first
        rows[f"3b-{values}"] = changed(first, task=b, rules=noisy)
        only = (Rule(error=0.015, test=256),)
        rows[f"3c-{values}"] = changed(first, task=c, rate=0.1, judge=Judge(0.1), rules=only, cap=1_500_000, chunk=500)
    return rows


def numbers(length: int) -> dict[str, Setup]:
    """Experiments 4 and 5: two blocks of two cells, all biased. In 4 the mean squared error < 0.01 is implied."""
    net = Net(2, 2, input_gates=(-3, -6))
    logistic = Setup(Adding(length, "hochreiter1997"), net, 0.5, Judge(0.04), (Rule(),), trials=10, cap=300_000)
    product = changed(
        logistic,
        task=Multiplication(length, "hochreiter1997"),
        net=changed(net, input_gates=None),
        rate=0.1,
        rules=(Rule(wrong=140), Rule(wrong=13)),
        cap=800_000,
    )
    return {
        "4": changed(logistic, net=changed(net, output="linear")),
        "4-logistic": logistic,
        "4-half-linear": changed(logistic, net=changed(net, output="half-linear")),
        "5": product,
        "5-whole": changed(product, error="whole", cap=3_000_000),
    }


def orders(length: int) -> dict[str, Setup]:
    """Experiment 6: blocks of two cells, one for each symbol that counts, all biased."""
    rules, judge = (Rule(error=0.1),), Judge(0.3)
    two, three = (TemporalOrder(length, "hochreiter1997", symbols) for symbols in (2, 3))
    a = Setup(two, Net(2, 2, input_gates=(-2, -4)), 0.5, judge, rules, trials=20, cap=100_000)
    exact = changed(a.net, truncated=False)
    b = Setup(three, Net(3, 2, input_gates=(-2, -4, -6)), 0.1, judge, rules, trials=10, cap=1_500_000)
    return {
        "6a": a,
        "6a-exact": changed(a, net=exact),
        "6b": b,
        "6b-inputs": changed(b, net=changed(b.net, cells_see="inputs"), cap=1_200_000),
        "6b-direct": changed(b, error="direct", cap=1_200_000),
    }
