"""The 2-sequence problem: the first values show the class, later values are noise, and the answer is the class.

One example of `TwoSequence(length=10)`, variant hochreiter1997-3a (``.`` is zero; only the last step counts):

    step       0     1     2     3     4     5     6     7     8     9
    value      1     1     1   0.31 -0.72  0.05 -0.33  0.46 -0.19  0.64
    target     .     .     .     .     .     .     .     .     .     1

In every variant the first N = `informative` values are all +1 or all -1 with equal probability, and every later value
is independent noise, N(0, 0.2) (0.2 is the variance). The rest depends on the variant; L is `length`, l the length
drawn for one example:

    variant            length l   values at step < N  target for +1, -1    |error| <  criterion
    hochreiter1997-3a  L..L+L/10  +-1                 1, 0                 0.2        none wrong
    hochreiter1997-3b  L..L+L/10  +-1 + N(0, 0.2)     1, 0                 0.2        fewer than 6 of 256 wrong
    hochreiter1997-3c  L..L+L/10  +-1                 0.2, 0.8, + N(0, .1) 0.1        none wrong
    bengio1994         L/2..L     +-1                 1, 0                 0.2        none wrong

Answers of hochreiter1997-3c are compared with the target without its noise.

Sources:
    hochreiter1997  Hochreiter, Schmidhuber 1997, experiments 3a, 3b and 3c (text only), with N = 1 or 3.
    bengio1994      Bengio, Simard, Frasconi 1994, as described in hochreiter1997; it differs only in the lengths.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import jax.numpy as jnp
import numpy as np
from jax import Array

from .task import (
    Example,
    MemoryTask,
    as_integers,
    as_normal,
    at_step,
    check_choice,
    check_size,
    draw_bits,
    squared_error,
    weighted_mean,
)

VARIANCE = 0.2  # variance of the noise values
TARGET_VARIANCE = 0.1  # variance of the target noise of hochreiter1997-3c


class _Rules(NamedTuple):
    """The settings of a variant, a row of the table above."""

    plus: float = 1.0  # target of the class that starts with +1
    minus: float = 0.0
    tolerance: float = 0.2
    wrong: float = 0.0  # the share of wrong answers must be below this, or zero
    noisy_class: bool = False
    noisy_target: bool = False


_RULES = {
    "hochreiter1997-3a": _Rules(),
    "hochreiter1997-3b": _Rules(wrong=6 / 256, noisy_class=True),
    "hochreiter1997-3c": _Rules(plus=0.2, minus=0.8, tolerance=0.1, noisy_target=True),
    "bengio1994": _Rules(),
}


@final
@dataclass(frozen=True)
class TwoSequence(MemoryTask):
    """The 2-sequence problem: the class of the first values. The module's docstring shows an example.

    Args:
        length: L, the least number of steps (bengio1994: the largest number); at least 10.
        variant: one of `VARIANTS`.
        informative: N, the number of values that show the class; at least 1 and at most L // 2.

    Raises:
        TypeError: length or informative is not an int.
        ValueError: length or informative is out of range, or the variant is unknown.
    """

    length: int
    variant: str = "hochreiter1997-3a"
    informative: int = 3

    name: ClassVar[str] = "two_sequence"
    VARIANTS: ClassVar[tuple[str, ...]] = tuple(_RULES)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, 10)
        check_size("informative", self.informative, 1)
        if self.informative > self.length // 2:
            most = self.length // 2
            raise ValueError(f"informative={self.informative} is too many; allowed is at most L // 2 = {most}; pass 3")

    @property
    def in_features(self) -> int:
        """D = 1: the value."""
        return 1

    @property
    def out_features(self) -> int:
        """O = 1: the class as a number."""
        return 1

    @property
    def sequence_length(self) -> int:
        """T: the longest l that can be drawn; shorter examples are padded with zeros."""
        return self.length if self.variant == "bengio1994" else self.length + self.length // 10

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        if self._rules.wrong:
            return f"held-out |error| < {self._rules.tolerance} on more than {1 - self._rules.wrong:.1%} of examples"
        return f"every held-out |error| < {self._rules.tolerance}"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, 1], targets [T, 1], weights [T] 1 at step l-1. key: one PRNG key."""
        T = self.sequence_length
        bits = draw_bits(key, T + 3)
        shortest = self.length // 2 if self.variant == "bengio1994" else self.length
        length, steps = as_integers(bits[T], shortest, T + 1), jnp.arange(T)
        sign = 2.0 * as_integers(bits[T + 1], 0, 2) - 1
        noise = as_normal(bits[:T], math.sqrt(VARIANCE))
        tells = steps < self.informative
        values = jnp.where(tells, sign + (noise if self._rules.noisy_class else 0), noise)
        inputs = jnp.where(steps < length, values, 0)[:, None]
        answer = self._target(sign)
        if self._rules.noisy_target:
            answer += as_normal(bits[T + 2], math.sqrt(TARGET_VARIANCE))
        weights = at_step(length - 1, T)
        return Example(inputs, (weights * answer)[:, None], weights)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Squared error of the last valid step; in hochreiter1997-3c relative to the noisy target. outputs: [T, 1]."""
        return squared_error(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """1 if the last valid output is within the tolerance of the noiseless target, else 0. outputs: [T, 1]."""
        targets = self.oracle(example.inputs) if self._rules.noisy_target else example.targets
        right = jnp.abs(outputs - targets)[:, 0] < self._rules.tolerance
        return weighted_mean(right, example.weights)

    def chance_level(self) -> float:
        """Mean squared error of the best constant prediction: 1/4, a quarter of the squared difference of the targets.

        In hochreiter1997-3c it is 0.3^2 plus 0.1, the variance of the unpredictable target noise.
        """
        return (self._rules.plus - self._rules.minus) ** 2 / 4 + (TARGET_VARIANCE if self._rules.noisy_target else 0)

    def least_loss(self) -> float:
        """Mean squared error of the best predictor: 0, or the error due to noise.

        In hochreiter1997-3c this is the variance 0.1 of the target noise. In hochreiter1997-3b it is E[p (1 - p)], with
        p the probability of +1 given the N values, whose sum is N(N, 0.2 N) if the class is +1.
        """
        if self._rules.noisy_target:
            return TARGET_VARIANCE
        if not self._rules.noisy_class:
            return 0.0
        z = np.linspace(-8, 8, 4001)
        log_odds = (self.informative + math.sqrt(VARIANCE * self.informative) * z) * 2 / VARIANCE
        density = np.exp(-(z**2) / 2)
        return float(np.sum(density / (2 + 2 * np.cosh(log_odds))) / np.sum(density))

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether no answer is wrong (hochreiter1997-3b: fewer than 6 of 256); elementwise on arrays."""
        return accuracy > 1 - (self._rules.wrong or 1e-6)

    def oracle(self, inputs: Array) -> Array:
        """The best answer if the sequence ended here: the expected target without noise. [T, 1] -> [T, 1].

        This is the class of the first value. In hochreiter1997-3b it is the probability of +1 given all informative
        values so far; the log odds of +1 given a value v are 2 v / 0.2.
        """
        if not self._rules.noisy_class:
            return jnp.broadcast_to(self._target(inputs[:1]), inputs.shape)
        tells = jnp.arange(len(inputs)) < self.informative
        log_odds = jnp.cumsum(jnp.where(tells, inputs[:, 0], 0)) * (2 / VARIANCE)
        return (1 / (1 + jnp.exp(-log_odds)))[:, None]

    @property
    def _rules(self) -> _Rules:
        return _RULES[self.variant]

    def _target(self, sign: Array) -> Array:
        return jnp.where(sign > 0, self._rules.plus, self._rules.minus).astype(jnp.float32)
