"""The adding problem: two numbers of a sequence are marked, and the answer is their sum.

One example of `Adding(length=8)`, variant arjovsky2016 (``.`` is zero; only the last step counts):

    step       0     1     2     3     4     5     6     7
    value    0.31  0.72  0.05  0.88  0.46  0.93  0.17  0.64
    marker     .     1     .     .     .     .     1     .
    target     .     .     .     .     .     .     .   0.89

In every variant the values are independent and uniform, and the loss is the squared error of the last step.
Everything else depends on the variant. L is `length`, l the length drawn for one example, and X1 and X2 are the marked
values. The last column says which answers are correct:

    variant         values  length l        X1 at step       X2 at step               target         |error| <
    hochreiter1997  [-1,1)  L .. L+L//10    0 .. 9           0 .. L//2-1, not X1's    1/2+(X1+X2)/4  0.04
    arjovsky2016    [0,1)   L               0 .. L//2-1      L//2 .. 2(L//2)-1        X1+X2          0.04 (ours)
    bai2018         [0,1)   L               0 .. L-1         0 .. L-1, not X1's       X1+X2          0.04 (ours)
    helfrich2018    [0,1)   L               0 .. (L-1)//2-1  (L-1)//2 .. L-1          X1+X2          0.04 (ours)
    pascanu2013     [0,1)   L .. L+L//10-1  0 .. l//10-1     l//10 .. l//10+4l//10-1  (X1+X2)/2      0.2

Inputs are (value, marker), and (marker, value) in pascanu2013. hochreiter1997 always shows the marker -1 at the first
and the last pair. So it hides a mark that falls on the first pair, and the value of this pair then counts 0.

Sources:
    hochreiter1997  Hochreiter, Schmidhuber 1997, experiment 4 (text only). X2 is one of "the first T/2 - 1
                    still unmarked pairs", hence one of the first T/2: the answer is due T/2 later or more.
    arjovsky2016    Arjovsky, Shah, Bengio 2016; amarshah/complex_RNN adding_problem.py. As in S4 for even L;
                    for odd L only S4 can mark the last pair. The code trains on 100,000 fixed examples.
    bai2018         Bai, Kolter, Koltun 2018; locuslab/TCN TCN/adding_problem/utils.py. The code trains on
                    50,000 fixed examples.
    helfrich2018    Helfrich, Willmott, Ye 2018; SpartinStuff/scoRNN scoRNN_adding.py, whose first part is one pair
                    shorter than half for even L. The code trains on 100,000 fixed examples.
    pascanu2013     Pascanu, Mikolov, Bengio 2013; pascanur/trainingRNNs addition.py, and RNN.py, where a
                    squared error above 0.04 is wrong. There one length serves a minibatch; here each example
                    has its own.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import jax.numpy as jnp
from jax import Array

from .task import (
    Example,
    MemoryTask,
    as_integers,
    as_uniform,
    check_choice,
    check_size,
    draw_bits,
    squared_error,
    weighted_mean,
)


class _Rules(NamedTuple):
    """The settings of a variant, a row of the table above; `Adding._draw_marks` draws the two marks."""

    lowest: float  # lower end of the values, which are uniform in [lowest, 1)
    offset: float  # target = offset + scale (X1 + X2)
    scale: float
    tolerance: float  # an answer is correct if |output - target| is below this
    shortest: int  # the least length at which the published ranges of marks are not empty
    value_channel: int = 0  # the other channel holds the marker
    sentinels: bool = False  # whether -1 marks the first and the last pair
    any_unmarked: bool = False  # whether X2 is drawn from all pairs but X1's


_RULES = {
    # With less than 20 steps X1, one of the first ten, could fall in the second half, and the lag would be below L/2.
    "hochreiter1997": _Rules(-1.0, 0.5, 0.25, tolerance=0.04, shortest=20, sentinels=True, any_unmarked=True),
    "arjovsky2016": _Rules(0.0, 0.0, 1.0, tolerance=0.04, shortest=2),
    "bai2018": _Rules(0.0, 0.0, 1.0, tolerance=0.04, shortest=2, any_unmarked=True),
    "helfrich2018": _Rules(0.0, 0.0, 1.0, tolerance=0.04, shortest=3),
    "pascanu2013": _Rules(0.0, 0.0, 0.5, tolerance=0.2, shortest=10, value_channel=1),
}


@final
@dataclass(frozen=True)
class Adding(MemoryTask):
    """The adding problem: the sum of the two marked values. The module's docstring shows an example.

    Args:
        length: L, the least number of steps; at least 2 (hochreiter1997: 20, helfrich2018: 3, pascanu2013: 10).
        variant: one of `VARIANTS`.

    Raises:
        TypeError: length is not an int.
        ValueError: length is too short for the variant, or the variant is unknown.
    """

    length: int
    variant: str = "arjovsky2016"

    name: ClassVar[str] = "adding"
    VARIANTS: ClassVar[tuple[str, ...]] = tuple(_RULES)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, self._rules.shortest)

    @property
    def in_features(self) -> int:
        """D = 2: value and marker."""
        return 2

    @property
    def out_features(self) -> int:
        """O = 1: the sum."""
        return 1

    @property
    def marker_channel(self) -> int:
        """The channel of the inputs that holds the markers; the other holds the values."""
        return 1 - self._rules.value_channel

    @property
    def sequence_length(self) -> int:
        """T: the longest l that can be drawn; shorter examples are padded with zeros."""
        if self.variant == "hochreiter1997":
            return self.length + self.length // 10
        if self.variant == "pascanu2013":
            return self.length + self.length // 10 - 1
        return self.length

    @property
    def criterion(self) -> str:
        """The success criterion as text."""
        if self.variant == "hochreiter1997":
            return "every held-out |error| < 0.04"
        if self.variant == "pascanu2013":
            return "held-out |error| < 0.2 on more than 99% of examples"
        return "held-out MSE < 0.01"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, 2], targets [T, 1], weights [T] 1 at step l-1. key: one PRNG key."""
        T, lowest = self.sequence_length, self._rules.lowest
        bits = draw_bits(key, T + 3)
        length = as_integers(bits[T], self.length, T + 1)
        steps = jnp.arange(T)
        values = jnp.where(steps < length, lowest + (1 - lowest) * as_uniform(bits[:T]), 0)
        first, second = self._draw_marks(bits[T + 1 :], length)
        markers = ((steps == first) | (steps == second)).astype(jnp.float32)
        if self._rules.sentinels:  # set last, so that they hide a mark on the first pair
            markers = jnp.where((steps == 0) | (steps == length - 1), -1, markers)
        pair = (values, markers) if self._rules.value_channel == 0 else (markers, values)
        weights = (steps == length - 1).astype(jnp.float32)
        targets = weights * self._answers(values, markers)  # zero at steps without an answer
        return Example(jnp.stack(pair, axis=-1), targets[:, None], weights)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Squared error of the last valid step. outputs: [T, 1]; returns a scalar."""
        return squared_error(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """1 if ``|output - target| < tolerance`` at the last valid step, else 0. outputs: [T, 1]."""
        right = jnp.abs(outputs - example.targets)[:, 0] < self._rules.tolerance
        return weighted_mean(right, example.weights)

    def chance_level(self) -> float:
        """Mean squared error of the best constant prediction, the mean target.

        It is the target's variance, scale^2 n v, where v = (1 - lowest)^2 / 12 is the variance of one value and n the
        expected number of values that count. For n = 2 it is 1/6 for the sum and 1/24 for the mean (pascanu2013). Bai
        et al. print 0.1767 for the sum, which is more than the error of the best constant.

        In hochreiter1997 a hidden mark on the first pair counts 0. X1 falls on this pair with probability 1/10;
        otherwise X2 does with probability 1/(L//2 - 1). So n = 2 - 1/10 - (9/10)/(L//2 - 1): at L = 100 the level is
        0.0392, not 1/24 = 0.0417. (Values have mean 0 in this variant, so the varying number of values adds no
        variance.)
        """
        counted = 2.0
        if self._rules.sentinels:
            counted -= 0.1 + 0.9 / (self.length // 2 - 1)
        return self._rules.scale**2 * counted * (1 - self._rules.lowest) ** 2 / 12

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether held-out means meet `criterion`; elementwise on arrays.

        hochreiter1997: all errors are below 0.04, the stopping rule of the paper for its last 2,000 training sequences;
        the other part of the rule, a mean error below 0.01, then holds for the squared error. pascanu2013: less
        than 1% of 10,000 answers are wrong, as published. The other papers publish only curves, so MSE < 0.01 is
        our criterion. It lies well below 1/12, the plateau of a network that remembers one marked value X and
        answers X + 1/2.
        """
        if self.variant == "hochreiter1997":
            return accuracy > 1 - 1e-6  # the float32 mean of ones may round to less than 1
        if self.variant == "pascanu2013":
            return accuracy > 0.99
        return loss < 0.01

    def oracle(self, inputs: Array) -> Array:
        """The answer at every step if the sequence ended there. [T, 2] -> [T, 1]."""
        channel = self._rules.value_channel
        return self._answers(inputs[:, channel], inputs[:, 1 - channel])[:, None]

    @property
    def _rules(self) -> _Rules:
        return _RULES[self.variant]

    def _answers(self, values: Array, markers: Array) -> Array:
        """a_t = offset + scale sum_{s <= t} x_s [m_s = 1]. values, markers: [T]; returns [T]."""
        return self._rules.offset + self._rules.scale * jnp.cumsum(jnp.where(markers == 1, values, 0))

    def _draw_marks(self, bits: Array, length: Array) -> tuple[Array, Array]:
        """Draws two different marked steps. bits: [2]; length: the l of this example."""
        half, tenth = self.length // 2, length // 10
        (start1, stop1), (start2, stop2) = {
            "hochreiter1997": ((0, 10), (0, half - 1)),
            "arjovsky2016": ((0, half), (half, 2 * half)),
            "bai2018": ((0, self.length), (0, self.length - 1)),
            "helfrich2018": ((0, (self.length - 1) // 2), ((self.length - 1) // 2, self.length)),
            "pascanu2013": ((0, tenth), (tenth, tenth + 4 * length // 10)),
        }[self.variant]
        first, second = as_integers(bits, jnp.array([start1, start2]), jnp.array([stop1, stop2]))
        if self._rules.any_unmarked:  # `second` counts only unmarked pairs, so it is one too low from `first` on
            second += second >= first
        return first, second
