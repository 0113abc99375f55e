"""Modular counting: a random walk on a circle; the answer is the last position.

One example of `ModularCounting(length=10)`, modulus 5 (``.`` has no target; only the last step counts):

    step      0  1  2  3  4  5  6  7  8  9
    input     1 -1  0 -1 -1  1  0  0 -1 -1
    target    .  .  .  .  .  .  .  .  .  2

Every input is an independent move -1, 0 or +1 with equal probability. The class at the last step is the sum of all
moves modulo `modulus`.

    variant       moves      input
    deletang2023  -1, 0, +1  one-hot, 3

Sources:
    deletang2023  Deletang et al. 2023, "cycle navigation"; google-deepmind/neural_networks_chomsky_hierarchy
                  tasks/regular/cycle_navigation.py, modulus 5. They train on lengths 1 to 40 and test on lengths up to
                  500. With two moves, 0 and +1, and modulus 2 it would be parity.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np
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
class ModularCounting(Classification):
    """Modular counting: the sum of the moves modulo a number. The module's docstring shows an example.

    Args:
        length: L, steps, at least 1.
        variant: one of `VARIANTS`.
        modulus: positions on the circle, at least 2.

    Raises:
        TypeError: length or modulus is not an int.
        ValueError: length or modulus is too small, or the variant is unknown.
    """

    length: int
    variant: str = "deletang2023"
    modulus: int = 5

    name: ClassVar[str] = "modular_counting"
    VARIANTS: ClassVar[tuple[str, ...]] = ("deletang2023",)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, 1)
        check_size("modulus", self.modulus, 2)

    @property
    def in_features(self) -> int:
        """D = 3: the moves -1, 0, +1."""
        return 3

    @property
    def out_features(self) -> int:
        """O = modulus: the positions."""
        return self.modulus

    @property
    def sequence_length(self) -> int:
        """T = L."""
        return self.length

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, 3], targets [T] int32, weights [T] 1 at step T-1. key: one PRNG key."""
        moves = as_integers(draw_bits(key, self.length), 0, 3)
        last = at_step(self.length - 1, self.length)
        place = jnp.sum(moves - 1) % self.modulus
        return Example(one_hot(moves, 3), jnp.where(last > 0, place, 0).astype(jnp.int32), last)

    def chance_level(self) -> float:
        """Entropy of the last position, which depends on the length alone and approaches ln modulus for long walks.

        Each step averages the distribution over three neighbours, p'(i) = (p(i-1) + p(i) + p(i+1)) / 3.
        """
        p = np.eye(self.modulus)[0]
        for _ in range(self.length):
            p = (np.roll(p, 1) + p + np.roll(p, -1)) / 3
        return -sum(float(q) * math.log(q) for q in p if q > 0)

    def oracle(self, inputs: Array) -> Array:
        """Logits certain of the current position at every step. [T, 3] -> [T, modulus]."""
        place = jnp.cumsum(jnp.argmax(inputs, axis=-1) - 1) % self.modulus
        return CERTAIN * one_hot(place, self.modulus)
