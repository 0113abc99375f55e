"""Random permutation: the first symbol says which one comes last.

One example of `Permutation(length=10)` (``.`` is not asked for; only the last step counts):

    step      0  1  2  3  4  5  6  7  8  9
    input     1 57  8 99 23  8  2 71 40 64
    target    .  .  .  .  .  .  .  .  .  1

The symbol 0 or 1 comes first, each with probability 1/2, then length - 1 independent symbols, uniform in 2 .. 99. The
next symbol, which is not shown, is the first one again; that one alone is asked for.

    variant      symbols  classes  length  loss on
    pascanu2013  100      100      L       last step

Sources:
    pascanu2013  Pascanu, Mikolov, Bengio 2013; pascanur/trainingRNNs permutation.py. It is "2b" of Hochreiter &
                 Schmidhuber 1997 without its error at the other steps. (In spite of the name nothing is permuted.)
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
    """The first of many symbols; the module's docstring draws an example.

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
        """O = 100: the same."""
        return SYMBOLS

    @property
    def sequence_length(self) -> int:
        """T = L."""
        return self.length

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, 100] one-hot, targets [T] int32, weights [T] 1 at step T-1."""
        symbols = as_integers(draw_bits(key, self.length), 2, SYMBOLS)
        first = symbols[0] % 2  # 98 symbols are drawn: as many even ones as odd ones
        symbols, last = symbols.at[0].set(first), at_step(self.length - 1, self.length)
        return Example(one_hot(symbols, SYMBOLS), jnp.where(last > 0, first, 0), last)

    def chance_level(self) -> float:
        """Entropy of the first symbol, ln 2: that the answer is 0 or 1 is known without the inputs."""
        return math.log(2)

    def oracle(self, inputs: Array) -> Array:
        """Certain of the first symbol at every step. [T, 100] -> [T, 100]."""
        return jnp.broadcast_to(CERTAIN * inputs[0], inputs.shape)
