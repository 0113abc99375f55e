"""Parity: whether the number of ones is odd.

One example of `Parity(length=10)` (``.`` has no target; only the last step counts):

    step      0  1  2  3  4  5  6  7  8  9
    input     1  0  1  1  0  0  1  1  0  0
    target    .  .  .  .  .  .  .  .  .  1

The bits are independent and fair. The class at the last step, l-1, is the number of ones modulo 2.

    variant       length l             input
    deletang2023  L                    one-hot, 2
    bengio1994    L - L//2 .. L        1 or -1

Sources:
    deletang2023  Deletang et al. 2023; google-deepmind/neural_networks_chomsky_hierarchy tasks/regular/parity_check.py.
                  They train on lengths 1 to 40 and test on lengths up to 500.
    bengio1994    Bengio, Simard, Frasconi 1994, as summarised by Schmidhuber, Hochreiter, Bengio 2001 and Hochreiter,
                  Schmidhuber 1997; we have not read the paper itself. Two classes instead of one real target are our
                  choice.
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


@final
@dataclass(frozen=True)
class Parity(Classification):
    """Parity: the number of ones modulo 2. The module's docstring shows an example.

    Args:
        length: L, the largest number of steps, at least 2.
        variant: one of `VARIANTS`.

    Raises:
        TypeError: length is not an int.
        ValueError: length is less than 2, or the variant is unknown.
    """

    length: int
    variant: str = "deletang2023"

    name: ClassVar[str] = "parity"
    VARIANTS: ClassVar[tuple[str, ...]] = ("deletang2023", "bengio1994")

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, 2)

    @property
    def in_features(self) -> int:
        """D: 2 (one-hot) or 1."""
        return 2 if self.variant == "deletang2023" else 1

    @property
    def out_features(self) -> int:
        """O = 2: the classes even and odd."""
        return 2

    @property
    def sequence_length(self) -> int:
        """T = L; shorter examples are padded with zeros."""
        return self.length

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, D], targets [T] int32, weights [T] 1 at step l-1. key: one PRNG key."""
        T, fixed = self.length, self.variant == "deletang2023"
        bits = draw_bits(key, T + 1)
        length = as_integers(bits[T], T if fixed else T - T // 2, T + 1)
        real = jnp.arange(T) < length
        ones = as_integers(bits[:T], 0, 2) * real
        inputs = one_hot(ones, 2) if fixed else (2 * ones - real).astype(jnp.float32)[:, None]
        last = at_step(length - 1, T)
        return Example(inputs, jnp.where(last > 0, jnp.sum(ones) % 2, 0).astype(jnp.int32), last)

    def chance_level(self) -> float:
        """Entropy of the parity, ln 2, because the parity of fair bits is a fair bit."""
        return math.log(2)

    def oracle(self, inputs: Array) -> Array:
        """Logits certain of the parity so far, at every step. [T, D] -> [T, 2]."""
        ones = jnp.cumsum(inputs[:, -1] == 1)
        return CERTAIN * one_hot(ones % 2, 2)
