"""Temporal order: two or three symbols of a sequence are relevant, and the answer is their order.

One example of `TemporalOrder(length=20)`, variant pascanu2013 (``.`` is a distractor, X and Y are relevant; only the
last step counts, and its class 2 has the binary digits Y = 1 and X = 0, first symbol first):

    step      0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19
    symbol    .  .  Y  .  .  .  .  .  .  .  X  .  .  .  .  .  .  .  .  .
    target                                                             2

In every variant each relevant symbol is X or Y with probability 1/2, every distractor is one of four symbols, and all
are independent. The rest depends on the variant; L is `length`, l the length of one example, and N is `symbols`:

    variant         alphabet            length l   symbols that count, each at one of the steps
    hochreiter1997  X Y, a b c d, E, B  L..L+L/10  N = 2: 10..20%, 50..60% of L; N = 3: 10..20%, 33..43%, 66..76%
    pascanu2013     A B, c d e f        L          L/10 steps from L/10, L/2 on; N = 3: from L/10, 3L/10, 6L/10 on

Quotients are rounded down, and ranges include both ends. hochreiter1997 starts with E and ends with B, the trigger. In
the paper an answer is right if every output, in (0, 1), is within 0.3 of its target; here it is right if the likeliest
class is.

Sources:
    hochreiter1997  Hochreiter, Schmidhuber 1997, experiments 6a (2 symbols) and 6b (3 symbols), L = 100: lengths 100
                    to 110, 10 to 20 and 50 to 60, or 10 to 20, 33 to 43 and 66 to 76 (text only). Steps are counted
                    from 0, the step of E.
    pascanu2013     Pascanu, Mikolov, Bengio 2013; pascanur/trainingRNNs tempOrder.py and tempOrder3bit.py. Its
    docstring says that the first symbol comes at 1 to L/10; we follow the code. There the first symbol is the lowest
    digit of the class; here it is the highest.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax.numpy as jnp
from jax import Array

from .task import CERTAIN, Classification, Example, as_integers, at_step, check_choice, check_size, draw_bits, one_hot

X, Y = 0, 1  # the input features of the relevant symbols
DISTRACTORS = (2, 6)  # features [start, stop)
START, TRIGGER = 6, 7  # E and B of hochreiter1997
VARIANTS = ("hochreiter1997", "pascanu2013")


@final
@dataclass(frozen=True)
class TemporalOrder(Classification):
    """Temporal order: the order of two or three relevant symbols. The module's docstring shows an example.

    Args:
        length: L, the least number of steps, at least 10.
        variant: one of `VARIANTS`.
        symbols: the number of relevant symbols, 2 or 3.

    Raises:
        TypeError: length or symbols is not an int.
        ValueError: length is less than 10, symbols is neither 2 nor 3, or the variant is unknown.
    """

    length: int
    variant: str = "hochreiter1997"
    symbols: int = 2

    name: ClassVar[str] = "temporal_order"
    VARIANTS: ClassVar[tuple[str, ...]] = VARIANTS

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, 10)
        check_size("symbols", self.symbols, 2)
        if self.symbols > 3:
            raise ValueError(f"symbols={self.symbols} is not defined; allowed are 2 and 3; pass symbols=3")

    @property
    def in_features(self) -> int:
        """D: the alphabet, one-hot."""
        return 8 if self.variant == "hochreiter1997" else 6

    @property
    def out_features(self) -> int:
        """O: a class for each order."""
        return 2**self.symbols

    @property
    def sequence_length(self) -> int:
        """T: the longest l that can be drawn; shorter examples are padded with zeros."""
        return self.length + (self.length // 10 if self.variant == "hochreiter1997" else 0)

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        if self.variant == "hochreiter1997":
            return "every held-out sequence right"
        return "more than 99% of held-out sequences right"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, D], targets [T] int32, weights [T] 1 at step l-1. key: one PRNG key."""
        T, N = self.sequence_length, self.symbols
        bits = draw_bits(key, T + 2 * N + 1)
        length = as_integers(bits[T], self.length, T + 1)
        bounds = jnp.array(self.steps).T
        places, values = as_integers(bits[T + 1 : T + 1 + N], *bounds), as_integers(bits[T + 1 + N :], X, Y + 1)
        symbols = as_integers(bits[:T], *DISTRACTORS).at[places].set(values)
        steps = jnp.arange(T)
        if self.variant == "hochreiter1997":
            symbols = jnp.where(steps == 0, START, jnp.where(steps == length - 1, TRIGGER, symbols))
        inputs = one_hot(symbols, self.in_features) * (steps < length)[:, None]
        weights = at_step(length - 1, T)
        answer = jnp.sum(values * 2 ** jnp.arange(N - 1, -1, -1)).astype(jnp.int32)
        return Example(inputs, jnp.where(weights > 0, answer, 0), weights)

    @property
    def steps(self) -> tuple[tuple[int, int], ...]:
        """The range of steps [start, stop) of each relevant symbol."""
        L, two = self.length, self.symbols == 2
        if self.variant == "hochreiter1997":
            percent = ((10, 20), (50, 60)) if two else ((10, 20), (33, 43), (66, 76))
            return tuple((L * start // 100, L * last // 100 + 1) for start, last in percent)
        return tuple((L * tenths // 10, L * tenths // 10 + L // 10) for tenths in ((1, 5) if two else (1, 3, 6)))

    def chance_level(self) -> float:
        """Loss without knowledge of the symbols: ln 4 or ln 8, because all orders are equally likely."""
        return self.symbols * math.log(2)

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Mean accuracy of 1, the stopping rule of 1997 for its last 2,000 sequences; above 0.99 for pascanu2013."""
        return accuracy > (1 - 1e-6 if self.variant == "hochreiter1997" else 0.99)

    def oracle(self, inputs: Array) -> Array:
        """Logits of the answer if the sequence ended here, with X for later symbols. [T, D] -> [T, O]."""
        counts = inputs[:, X] + inputs[:, Y]
        digits = 2.0 ** (self.symbols - jnp.cumsum(counts))  # the digit of the symbol read at a relevant step
        answers = jnp.cumsum(jnp.where(counts > 0, digits * inputs[:, Y], 0)).astype(jnp.int32)
        return CERTAIN * one_hot(answers, self.out_features)
