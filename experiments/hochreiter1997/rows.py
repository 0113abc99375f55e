"""The rows: what Table 10 of the paper says of tasks, nets, learning rates, right answers and stop rules."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import optax

from experiments.hochreiter1997.network import Net
from recurrax.tasks import (
    Adding,
    EmbeddedReber,
    Example,
    MemoryTask,
    Multiplication,
    TemporalOrder,
    TimeLag,
    TwoSequence,
)  # fmt: skip

LENGTH = 100  # T of experiments 2 to 6, p of 2a and 2b
STRING = 50  # steps of the longest string of experiment 1
WINDOW = 2000  # last training sequences that are looked at


@dataclasses.dataclass(frozen=True)
class Rule:
    """Fewer than ``wrong`` wrong answers and a mean error below ``error``, over the last 2,000 or in a test."""

    wrong: int = 1
    error: float = math.inf
    """Of the mean over sequences of the mean absolute error of the outputs that are judged."""
    test: int = 0
    """Fresh sequences of a test with weights held still; 0: the last 2,000 training sequences."""


@dataclasses.dataclass(frozen=True)
class Judge:
    """An answer is right if each absolute error is below ``tolerance``.

    at: "counted", all steps that count in the objective; "end", the last of them. In `EmbeddedReber` an answer is right
    if at each step every symbol that may follow is more active than all others.
    """

    tolerance: float
    at: str = "counted"

    def __call__(self, task: MemoryTask, outputs: jax.Array, example: Example) -> tuple[jax.Array, jax.Array]:
        """Whether the answer is wrong and its mean absolute error: two float32 scalars."""
        noisy = isinstance(task, TwoSequence) and task.variant == "hochreiter1997-3c"
        targets = task.oracle(example.inputs) if noisy else wanted(task, example)  # without the targets' noise
        steps = example.weights > 0
        if self.at == "end":
            steps &= jnp.cumsum(steps) == jnp.sum(steps)
        errors = jnp.where(steps[:, None], jnp.abs(outputs - targets), 0)
        mean = jnp.sum(errors) / (jnp.sum(steps) * outputs.shape[-1])
        if isinstance(task, EmbeddedReber):
            return 1 - task.accuracy(outputs, example), mean
        return 1 - (jnp.max(errors) < self.tolerance).astype(jnp.float32), mean  # NaN is wrong


def wanted(task: MemoryTask, example: Example) -> jax.Array:
    """Targets of the output units, ``[T, O]``; of classes, one unit each."""
    if example.targets.ndim == 2:
        return example.targets
    return jax.nn.one_hot(example.targets, task.out_features)


def objective(task: MemoryTask, outputs: jax.Array, example: Example) -> jax.Array:
    """``E = 1/2 sum_t sum_o (y_to - target_to)^2`` over the steps that count."""
    errors = jnp.where(example.weights[:, None] > 0, outputs - wanted(task, example), 0)
    return jnp.sum(errors**2) / 2


@dataclasses.dataclass(frozen=True)
class Setup:
    """One row of the experiment: a task, a net and how it is trained and judged."""

    task: MemoryTask
    net: Net
    rate: float
    judge: Judge
    rules: tuple[Rule, ...]
    trials: int
    cap: int
    """Sequences after which a trial is given up."""
    chunk: int = 1000
    """Sequences between two looks."""
    adam: bool = False
    """Adam in place of plain gradient descent."""
    stepwise: bool = False
    """An update after every step, not after every sequence."""
    grows: bool = False
    """The hidden layer is added once the error has stopped decreasing."""

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Batch 1, no momentum."""
        return optax.adam(self.rate) if self.adam else optax.sgd(self.rate)


def setups(length: int = LENGTH) -> dict[str, Setup]:
    """Every row by name; a shorter length is for tests."""
    return {**reber(), **lags(length), **sequences(length), **numbers(length), **orders(length)}


def reber() -> dict[str, Setup]:
    """Experiment 1: output gates start at -1, -2, ...; only gates have biases; 3 sets of strings by 10 trials."""
    four = Net(4, bound=0.2, biased="gates", output_gates=(-1, -2, -3, -4), output_biased=False)
    three = Net(3, 2, bound=0.2, biased="gates", output_gates=(-1, -2, -3), output_biased=False)
    exact = dataclasses.replace(three, truncated=False)
    rules, judge = (Rule(test=512),), Judge(0.5)
    plain = Setup(EmbeddedReber(STRING), three, 0.5, judge, rules, trials=30, cap=60_000, chunk=200)
    return {
        "1-264": dataclasses.replace(plain, net=four, rate=0.1),
        "1-276": plain,
        "1-stepwise": dataclasses.replace(plain, stepwise=True),
        "1-exact": dataclasses.replace(plain, net=exact),
        "1-adam": dataclasses.replace(plain, net=exact, rate=0.01, adam=True),
    }


def lags(length: int) -> dict[str, Setup]:
    """Experiment 2: one cell and direct weights, grown, for a and b; two cells without biases for c.

    Of b one would not expect much: what a cell of a and b is given, i g, is positive: its state never falls. The
    units of x and y must be quiet at all steps but the last, so both need a positive weight from it, and then the one
    of the sequence with the larger state at the end is active where that of the other should be.
    """
    one = Net(1, bound=0.2, biased="none", output_biased=False, kind="B")
    simple = dataclasses.replace(one, kind="simple")
    two = Net(2, bound=0.2, biased="none", output_biased=False)
    rules, every, end = (Rule(test=10_000),), Judge(0.25), Judge(0.25, at="end")

    def a(lag: int, net: Net) -> Setup:
        task = TimeLag(lag, "hochreiter1997-2a")
        return Setup(task, net, 1.0, every, rules, trials=18, cap=20_000, chunk=100, grows=net.kind == "B")

    def b(lag: int, net: Net) -> Setup:
        return dataclasses.replace(a(lag, net), task=TimeLag(lag, "hochreiter1997-2b"), judge=end)

    def c(lag: int, distractors: int, trials: int, cap: int) -> Setup:
        task = TimeLag(lag, "hochreiter1997-2c", distractors)
        return Setup(task, two, 0.01, Judge(0.2), rules, trials=trials, cap=cap, chunk=500)

    scaled = length / LENGTH
    short, medium = (max(3, round(lag * scaled)) for lag in (10, 20))
    half, double, long = (round(q * scaled) for q in (50, 200, 1000))
    return {
        "2a": a(length, one),
        "2a-20": a(medium, one),
        "2a-10": a(short, one),
        "2a-simple": a(short, simple),
        "2b": b(length, one),
        "2b-simple": b(short, simple),
        "2c-50": c(half, half, 20, 150_000),
        "2c-100": c(length, length, 20, 150_000),
        "2c-200": c(double, double, 20, 150_000),
        "2c-1000-1000": c(long, long, 20, 250_000),
        "2c-1000-50": c(long, half, 20, 500_000),
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
        rows[f"3b-{values}"] = dataclasses.replace(first, task=b, rules=noisy)
        only = (Rule(error=0.015, test=256),)
        rows[f"3c-{values}"] = dataclasses.replace(
            first, task=c, rate=0.1, judge=Judge(0.1), rules=only, cap=1_500_000, chunk=500
        )
    return rows


def numbers(length: int) -> dict[str, Setup]:
    """Experiments 4 and 5: two blocks of two cells, all biased. In 4 the mean squared error < 0.01 is implied."""
    net = Net(2, 2, input_gates=(-3, -6))
    adding = Adding(length, "hochreiter1997")
    logistic = Setup(adding, net, 0.5, Judge(0.04), (Rule(),), trials=10, cap=300_000)
    return {
        "4": dataclasses.replace(logistic, net=dataclasses.replace(net, logistic=False)),
        "4-logistic": logistic,
        "5": dataclasses.replace(
            logistic,
            task=Multiplication(length, "hochreiter1997"),
            net=dataclasses.replace(net, input_gates=None),
            rate=0.1,
            rules=(Rule(wrong=140), Rule(wrong=13)),
            cap=800_000,
        ),
    }


def orders(length: int) -> dict[str, Setup]:
    """Experiment 6: blocks of two cells, one for each symbol that counts, all biased."""
    rules, judge = (Rule(error=0.1),), Judge(0.3)
    two, three = (TemporalOrder(length, "hochreiter1997", symbols) for symbols in (2, 3))
    a = Setup(two, Net(2, 2, input_gates=(-2, -4)), 0.5, judge, rules, trials=20, cap=100_000)
    exact = dataclasses.replace(a.net, truncated=False)
    b = Setup(three, Net(3, 2, input_gates=(-2, -4, -6)), 0.1, judge, rules, trials=10, cap=1_500_000)
    return {"6a": a, "6a-exact": dataclasses.replace(a, net=exact), "6b": b}
