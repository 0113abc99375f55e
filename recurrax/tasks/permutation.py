"""Random permutation: the last symbol repeats the first one.

One example of `Permutation(length=10)` (``.`` has no target; only the last step counts):

    step      0  1  2  3  4  5  6  7  8  9
    input     1 57  8 99 23  8  2 71 40 64
    target    .  .  .  .  .  .  .  .  .  1

The first symbol is 0 or 1 with probability 1/2 each, followed by length - 1 independent symbols, uniform in 2 .. 99.
The next symbol, which is not shown, is the first one again, and it is the only target.

    variant      symbols  classes  length  loss on
    pascanu2013  100      100      L       last step

Sources:
    pascanu2013  Pascanu, Mikolov, Bengio 2013; pascanur/trainingRNNs permutation.py. It is "2b" of Hochreiter &
                 Schmidhuber 1997 without its error at the other steps. (In spite of its name the task permutes
                 nothing.)
"""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import jax.numpy as jnp
from jax import Array

from .task import (
    CERTAIN,
    Classification,
    Example,
    as_integers,
    at_step,
    check_choice,
    check_size,
    draw_bits,
    one_hot,
)

SYMBOLS = 100


@final
@dataclass(frozen=True)
class Permutation(Classification):
    """Random permutation: the first symbol is the target at the end. The module's docstring shows an example.

    Args:
        length: L, the number of steps, at least 2.
        variant: one of `VARIANTS`.

    Raises:
        TypeError: length is not an int.
        ValueError: length is less than 2, or the variant is unknown.
    """

    length: int
    variant: str = "pascanu2013"

    name: ClassVar[str] = "permutation"
    VARIANTS: ClassVar[tuple[str, ...]] = ("pascanu2013",)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, 2)

    @property
    def in_features(self) -> int:
        """D = 100: the symbols."""
        return SYMBOLS

    @property
    def out_features(self) -> int:
        """O = 100: the symbols."""
        return SYMBOLS

    @property
    def sequence_length(self) -> int:
        """T = L."""
        return self.length

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, 100] one-hot, targets [T] int32, weights [T] 1 at step T-1."""
        symbols = as_integers(draw_bits(key, self.length), 2, SYMBOLS)
        first = symbols[0] % 2  # 98 symbols are drawn, half of them even
        symbols, last = symbols.at[0].set(first), at_step(self.length - 1, self.length)
        return Example(one_hot(symbols, SYMBOLS), jnp.where(last > 0, first, 0), last)

    def chance_level(self) -> float:
        """Entropy of the first symbol, ln 2; without the inputs it is known that the answer is 0 or 1."""
        return math.log(2)

    def oracle(self, inputs: Array) -> Array:
        """Logits certain of the first symbol at every step. [T, 100] -> [T, 100]."""
        return jnp.broadcast_to(CERTAIN * inputs[0], inputs.shape)
