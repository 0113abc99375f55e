"""Latching: remember one bit, shown at the start, in spite of noise.

One example of `Latch(length=10)`, variant schmidhuber2001, l = 8 (``.`` is zero; only step l-1 counts):

    step       0     1     2     3     4     5     6     7     8     9
    value   1.00 -0.53  0.31  0.12  0.77 -0.20 -0.09  0.41     .     .
    target     .     .     .     .     .     .     .  1.00     .     .

The class is +1 or -1 with probability 1/2 each, and the length l is uniform in L - L//2 .. L. The inputs show the class
first and then independent noise from N(0, 0.2) with variance 0.2. At step l-1 the target is the class times a constant.
The loss is the squared error at this step, and an answer is correct if its sign is.

    variant          class shown                noise at steps  inputs                          target
    bengio1994       at steps 0 .. 2            3 .. l-1        one-hot (class, step); noise    +-0.8
    schmidhuber2001  at step 0, as a value +-1  1 .. l-1        value                           +-1

Sources:
    bengio1994       Bengio, Simard, Frasconi 1994, as summarised by Schmidhuber, Hochreiter, Bengio 2001 ("latch
                     variant I") and Hochreiter, Schmidhuber 1997; the paper itself was not read. In the paper the
                     inputs of the first 3 steps are trained, one set for each class; here they are the weights of a
                     one-hot code of class and step. In the paper the noise has a fixed weight; here the weight is
                     trained.
    schmidhuber2001  Schmidhuber, Hochreiter, Bengio 2001, "latch variant II". The paper gives no lengths; we use those
    of bengio1994.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import jax.numpy as jnp
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

NOISE = math.sqrt(0.2)  # standard deviation of the noise


class _Rules(NamedTuple):
    """The settings of a variant, a row of the table above."""

    shown: int  # the number of steps that show the class
    target: float
    coded: bool  # whether the class is a one-hot code beside the noise, or a value +-1 instead of noise


_RULES = {"bengio1994": _Rules(3, 0.8, coded=True), "schmidhuber2001": _Rules(1, 1.0, coded=False)}


@final
@dataclass(frozen=True)
class Latch(MemoryTask):
    """Latching: the class shown at the start. The module's docstring shows an example.

    Args:
        length: L, the largest number of steps; at least 8, so that noise follows the class.
        variant: one of `VARIANTS`.

    Raises:
        TypeError: length is not an int.
        ValueError: length is less than 8, or the variant is unknown.
    """

    length: int
    variant: str = "bengio1994"

    name: ClassVar[str] = "latch"
    VARIANTS: ClassVar[tuple[str, ...]] = tuple(_RULES)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, 8)

    @property
    def in_features(self) -> int:
        """D = 7 (two classes at three steps, and the noise), or 1."""
        return 2 * self._rules.shown + 1 if self._rules.coded else 1

    @property
    def out_features(self) -> int:
        """O = 1: the class times a constant."""
        return 1

    @property
    def sequence_length(self) -> int:
        """T = L; shorter examples are padded with zeros."""
        return self.length

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        return "held-out accuracy > 0.99"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, D], targets [T, 1], weights [T] 1 at step l-1. key: one PRNG key."""
        T, rules = self.length, self._rules
        bits = draw_bits(key, T + 2)
        positive, length = as_integers(bits[T:], jnp.array([0, T - T // 2]), jnp.array([2, T + 1]))
        sign, steps = 2.0 * positive.astype(jnp.float32) - 1, jnp.arange(T)
        noise = jnp.where((steps >= rules.shown) & (steps < length), as_normal(bits[:T], NOISE), 0)
        shown = jnp.eye(T, rules.shown, dtype=jnp.float32)
        if rules.coded:
            inputs = jnp.concatenate([(1 - positive) * shown, positive * shown, noise[:, None]], axis=-1)
        else:
            inputs = sign * shown + noise[:, None]
        last = at_step(length - 1, T)
        return Example(inputs, (rules.target * sign * last)[:, None], last)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Squared error of the last valid step. outputs: [T, 1]; returns a scalar."""
        return squared_error(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """1 if output and target have the same sign at the last valid step, else 0. outputs: [T, 1]."""
        return weighted_mean((outputs * example.targets)[:, 0] > 0, example.weights)

    def chance_level(self) -> float:
        """Squared error of the best constant prediction, 0: the target's variance c^2 with c = 0.8 or 1."""
        return self._rules.target**2

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Accuracy > 0.99, our criterion; elementwise on arrays."""
        return accuracy > 0.99

    def oracle(self, inputs: Array) -> Array:
        """The answer at every step if the sequence ended there. [T, D] -> [T, 1]."""
        shown, T = self._rules.shown, len(inputs)
        sign = inputs[0, shown] - inputs[0, 0] if self._rules.coded else inputs[0, 0]
        return jnp.full((T, 1), self._rules.target * sign)

    @property
    def _rules(self) -> _Rules:
        return _RULES[self.variant]
