"""The multiplication problem: two numbers of a sequence are marked, and the answer is their product.

It is the adding problem (`adding`) with values in [0, 1) in every variant and the product X1 X2 as the target. One
example of `Multiplication(length=8)`, variant arjovsky2016 of the adding problem, would be:

    step       0     1     2     3     4     5     6     7
    value    0.31  0.72  0.05  0.88  0.46  0.93  0.17  0.64
    marker     .     1     .     .     .     .     1     .
    target     .     .     .     .     .     .     .   0.12

Lengths, marked steps, channels and sentinels of the two variants are those of `Adding`:

    variant         target  |error| <  criterion
    hochreiter1997  X1 X2   0.04       fewer than 13 of 2,000 wrong
    pascanu2013     X1 X2   0.2        fewer than 1% wrong

In hochreiter1997 the sentinel -1 hides a mark that falls on the first pair, and the value of this pair counts 1.

Sources:
    hochreiter1997  Hochreiter, Schmidhuber 1997, experiment 5 (text only; the paper gives the same for fewer than 140).
    pascanu2013     Pascanu, Mikolov, Bengio 2013; pascanur/trainingRNNs multiplication.py, and RNN.py, where a squared
                    error above 0.04 is wrong.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax.numpy as jnp
from jax import Array

from .adding import Adding
from .task import Example, MemoryTask, check_choice, squared_error, weighted_mean

_TOLERANCE = {"hochreiter1997": 0.04, "pascanu2013": 0.2}
_WRONG = {"hochreiter1997": 13 / 2000, "pascanu2013": 0.01}  # the share of wrong answers must be below this


@final
@dataclass(frozen=True)
class Multiplication(MemoryTask):
    """The multiplication problem: the product of the two marked values. The module's docstring shows an example.

    Args:
        length: L, the least number of steps; at least 20 (pascanu2013: 10).
        variant: one of `VARIANTS`.

    Raises:
        TypeError: length is not an int.
        ValueError: length is too short for the variant, or the variant is unknown.
    """

    length: int
    variant: str = "hochreiter1997"

    name: ClassVar[str] = "multiplication"
    VARIANTS: ClassVar[tuple[str, ...]] = tuple(_TOLERANCE)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        Adding(self.length, self.variant)  # raises for invalid lengths

    @property
    def in_features(self) -> int:
        """D = 2: value and marker."""
        return 2

    @property
    def out_features(self) -> int:
        """O = 1: the product."""
        return 1

    @property
    def marker_channel(self) -> int:
        """The channel of the inputs that holds the markers; the other holds the values."""
        return self._adding.marker_channel

    @property
    def sequence_length(self) -> int:
        """T: the longest l that can be drawn; shorter examples are padded with zeros."""
        return self._adding.sequence_length

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        right = 1 - _WRONG[self.variant]
        return f"held-out |error| < {_TOLERANCE[self.variant]} on more than {right:.2%} of examples"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, 2], targets [T, 1], weights [T] 1 at step l-1. key: one PRNG key."""
        inputs, _, weights, *_ = self._adding.sample(key)
        if self.variant == "hochreiter1997":  # the adding problem has values in [-1, 1)
            channel, steps = 1 - self.marker_channel, jnp.arange(len(weights))
            exists = steps <= jnp.argmax(weights)
            inputs = inputs.at[:, channel].set(jnp.where(exists, (inputs[:, channel] + 1) / 2, 0))
        return Example(inputs, weights[:, None] * self.oracle(inputs), weights)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Squared error of the last valid step. outputs: [T, 1]; returns a scalar."""
        return squared_error(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """1 if ``|output - target| < tolerance`` at the last valid step, else 0. outputs: [T, 1]."""
        right = jnp.abs(outputs - example.targets)[:, 0] < _TOLERANCE[self.variant]
        return weighted_mean(right, example.weights)

    def chance_level(self) -> float:
        """Mean squared error of the best constant prediction: the target's variance.

        A product of n independent values has mean 2^-n and mean square 3^-n, so with n = 2 it is 1/9 - 1/16 = 7/144. In
        hochreiter1997 n = 1 if a mark is hidden on the first pair, with probability h = 1/10 + (9/10)/(L//2 - 1).
        """
        hidden = 0.0
        if self.variant == "hochreiter1997":
            hidden = 0.1 + 0.9 / (self.length // 2 - 1)
        mean = (1 - hidden) / 4 + hidden / 2
        return (1 - hidden) / 9 + hidden / 3 - mean**2

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether the share of wrong answers is below the paper's limit; elementwise on arrays."""
        return accuracy > 1 - _WRONG[self.variant]

    def oracle(self, inputs: Array) -> Array:
        """The answer at every step if the sequence ended there: a_t = prod_{s <= t} x_s [m_s = 1]. [T, 2] -> [T, 1]."""
        marked = inputs[:, self.marker_channel] == 1
        return jnp.cumprod(jnp.where(marked, inputs[:, 1 - self.marker_channel], 1))[:, None]

    @property
    def _adding(self) -> Adding:
        return Adding(self.length, self.variant)
