"""Long time lags without and with distractors: the first symbol returns at the end, and the others are irrelevant.

One example of `TimeLag(lag=8)`, variant hochreiter1997-2a (each step's target is the next symbol):

    step      0  1  2  3  4  5  6  7
    symbol    y  1  2  3  4  5  6  7
    target    1  2  3  4  5  6  7  y

and of `TimeLag(lag=8, variant="hochreiter1997-2c")`, whose distractors are one of p and whose k is drawn:

    step      0  1  2  3  4  5  6  7  8  9 10 11 12
    symbol    b  x  5  2  8  8  1  4  7  3  6  1  e
    target                                        x

The symbol to remember is x or y with probability 1/2. q is `lag`, and p is the number of distinct distractors: q as
well, or `distractors` in hochreiter1997-2c.

    variant            symbols  sequence (its last symbol is a target only)    error at     right if right at
    hochreiter1997-2a  q + 1    x, 1, 2, ..., q-1, x                           every step   every step
    hochreiter1997-2b  q + 1    x, q-1 times one of 1 .. q-1, x                every step   the last step
    hochreiter1997-2c  p + 4    b, x, q + k times one of 1 .. p, e, x          e            e

k is geometric, P(k) = (9/10)^k / 10; here k >= 99 (probability 3e-5) becomes 99, so that arrays are finite.
(The mean of k is 9, so the mean length of a sequence is q + 13; the paper prints q + 14.)

Sources:
    hochreiter1997  Hochreiter, Schmidhuber 1997, experiments 2a, 2b and 2c (text only). In the paper an answer is right
    if each output, in (0, 1), is within 0.25 (2c: 0.2) of its target; here it is right if the likeliest class is.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
from jax import Array

from .task import (
    CERTAIN,
    Example,
    MemoryTask,
    as_integers,
    at_step,
    check_choice,
    check_size,
    cross_entropy,
    draw_bits,
    one_hot,
)

MORE = 99  # largest k
STOP = 0.1  # probability at each step that the suffix of distractors ends
VARIANTS = ("hochreiter1997-2a", "hochreiter1997-2b", "hochreiter1997-2c")


@final
@dataclass(frozen=True)
class TimeLag(MemoryTask):
    """Long time lags: remember a symbol for `lag` steps. The module's docstring shows examples.

    Args:
        lag: steps from the symbol to its return, or the least number of distractors in hochreiter1997-2c; at least 3.
        variant: one of `VARIANTS`.
        distractors: p of hochreiter1997-2c, at least 1; None takes `lag`. The other variants fix p.

    Raises:
        TypeError: lag or distractors is not an int.
        ValueError: lag or distractors is too small, distractors is given for a variant that fixes it, or the variant is
            unknown.
    """

    lag: int
    variant: str = "hochreiter1997-2a"
    distractors: int | None = None

    name: ClassVar[str] = "time_lag"
    VARIANTS: ClassVar[tuple[str, ...]] = VARIANTS

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("lag", self.lag, 3)
        if self.distractors is None:
            return
        check_size("distractors", self.distractors, 1)
        if not self._trigger:
            last = self.VARIANTS[-1]
            raise ValueError(f"distractors={self.distractors} with {self.variant!r}; allowed is None, or {last!r}")

    @property
    def in_features(self) -> int:
        """D: the alphabet, one-hot: first distractors 1, 2, ..., then e and b if the variant has them, then x and y."""
        return self._others + (4 if self._trigger else 2)

    @property
    def out_features(self) -> int:
        """O: the alphabet, or x and y in hochreiter1997-2c."""
        return 2 if self._trigger else self.in_features

    @property
    def sequence_length(self) -> int:
        """T: the longest sequence without its last symbol; shorter sequences are padded with zeros."""
        return self.lag + MORE + 3 if self._trigger else self.lag

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        return "every held-out answer right"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, D], targets [T] int32, weights [T]. key: one PRNG key."""
        T, x = self.sequence_length, self.in_features - 2
        bits = draw_bits(key, T + 2)
        kept, steps = as_integers(bits[T], 0, 2), jnp.arange(T)
        if self._trigger:
            e, b = x - 2, x - 1
            # k is the number of thresholds P(k > j) = (9/10)^(j+1) above a uniform random number.
            below = (bits[T + 1] >> 8) < jnp.asarray(_THRESHOLDS)
            end = self.lag + 2 + jnp.sum(below)
            symbols = as_integers(bits[:T], 0, self._others).at[:2].set(jnp.stack([jnp.int32(b), x + kept]))
            symbols = jnp.where(steps < end, symbols, e)
            inputs = one_hot(symbols, self.in_features) * (steps <= end)[:, None]
            last = at_step(end, T)
            return Example(inputs, jnp.where(last > 0, kept, 0), last)
        middle = as_integers(bits[: T - 1], 0, self._others) if self.variant[-1] == "b" else jnp.arange(T - 1)
        ends = (x + kept)[None]
        symbols = jnp.concatenate([ends, middle.astype(jnp.int32), ends])
        inputs = one_hot(symbols[:-1], self.in_features)
        return Example(inputs, symbols[1:], jnp.ones(T, jnp.float32))

    def loss(self, outputs: Array, example: Example) -> Array:
        """Cross entropy in nats, mean over the steps that count. outputs: [T, O] logits; returns a scalar."""
        return cross_entropy(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """1 if the likeliest class is right at the last valid step (hochreiter1997-2a: at every step), else 0."""
        right = jnp.argmax(outputs, axis=-1) == example.targets
        if self.variant[-1] == "a":
            return jnp.all(right).astype(jnp.float32)
        last = len(right) - 1 - jnp.argmax(example.weights[::-1])
        return right[last].astype(jnp.float32)

    def chance_level(self) -> float:
        """Loss of a predictor that knows the step but not the symbols.

        It is ln 2 for x or y, and ln(q-1) for each of the q-1 distractors of hochreiter1997-2b. Averaged over the q
        steps, it is (ln 2) / q in 2a and (ln 2 + (q-1) ln(q-1)) / q in 2b.
        """
        if self._trigger:
            return math.log(2)
        return math.log(2) / self.lag + self.least_loss()

    def least_loss(self) -> float:
        """Loss of the best predictor: ((q-1) ln(q-1)) / q in hochreiter1997-2b, with random distractors, else 0."""
        return (self.lag - 1) * math.log(self.lag - 1) / self.lag if self.variant[-1] == "b" else 0.0

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether every answer is right (published: 10,000 successive answers); elementwise on arrays."""
        return accuracy > 1 - 1e-6

    def oracle(self, inputs: Array) -> Array:
        """Logits of the next symbol (2c: of the answer if the sequence ended here). [T, D] -> [T, O]."""
        T, x = self.sequence_length, self.in_features - 2
        if self._trigger:
            return CERTAIN * jnp.cumsum(inputs[:, x:], axis=0)
        answer = one_hot(jnp.argmax(inputs[0]), self.in_features)
        if self.variant[-1] == "b":
            middle = jnp.where(jnp.arange(self.in_features) < x, 1.0, 0.0)
            middle = jnp.broadcast_to(middle, (T, self.in_features))
        else:
            after = jnp.where(inputs[:, x:].sum(-1) > 0, 0, jnp.argmax(inputs, axis=-1) + 1)
            middle = one_hot(after, self.in_features)
        return CERTAIN * jnp.where(jnp.arange(T)[:, None] == T - 1, answer, middle)

    @property
    def _trigger(self) -> bool:
        return self.variant[-1] == "c"

    @property
    def _others(self) -> int:
        """The number of distinct distractors."""
        return (self.distractors or self.lag) if self._trigger else self.lag - 1


_THRESHOLDS = np.ceil(2**24 * (1 - STOP) ** np.arange(1, MORE + 1)).astype(np.uint32)
