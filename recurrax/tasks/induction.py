"""Induction heads: which token followed the special token the first time?

One example of `InductionHeads(length=10)`, variant gu2023, the special token is 15 (``.`` has no target):

    step      0  1  2  3  4  5  6  7  8  9 10
    input     3  7 15  4 11  0  9  9  2  6 15
    target    .  .  .  .  .  .  .  .  .  .  4

The sequence has `length` independent tokens, uniform among the V - S ordinary tokens; the special token replaces one of
them at a random place in 0 .. length - 3. It is also the last of the T = length + 1 inputs, and the target is the token
that followed the first one.

    variant  V, tokens  S, not ordinary  special token
    fu2022   20         2                18
    gu2023   16         1                15

Sources:
    fu2022  Fu, Dao et al. 2022 (H3); HazyResearch/safari src/dataloaders/synthetics.py, `generate_induction_head` with
            one trigger and one token to copy. Token 19, the code's second special token, never occurs. In training the
            code predicts every next token; in the test, as here, only the last one.
    gu2023  Gu, Dao 2023, appendix E.1: 16 tokens, trained at length 256. We count the special token among the 16,
    because no code was published. They test up to length 2^20.
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

_VOCABULARY = {"fu2022": (20, 18), "gu2023": (16, 15)}  # numbers of tokens and of ordinary tokens


@final
@dataclass(frozen=True)
class InductionHeads(Classification):
    """Induction heads: the token after the special token. The module's docstring shows an example.

    Args:
        length: tokens before the last one, at least 3.
        variant: one of `VARIANTS`.

    Raises:
        TypeError: length is not an int.
        ValueError: length is less than 3, or the variant is unknown.
    """

    length: int
    variant: str = "gu2023"

    name: ClassVar[str] = "induction_heads"
    VARIANTS: ClassVar[tuple[str, ...]] = tuple(_VOCABULARY)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, 3)

    @property
    def in_features(self) -> int:
        """D = V: the tokens."""
        return _VOCABULARY[self.variant][0]

    @property
    def out_features(self) -> int:
        """O = V: the same."""
        return self.in_features

    @property
    def sequence_length(self) -> int:
        """T = length + 1."""
        return self.length + 1

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, V] one-hot, targets [T] int32, weights [T] 1 at step T-1. key: one PRNG key."""
        (V, special), T = _VOCABULARY[self.variant], self.sequence_length
        bits = draw_bits(key, T)
        place, last = as_integers(bits[-1], 0, self.length - 2), at_step(T - 1, T)
        tokens = as_integers(bits, 0, special).at[place].set(special).at[-1].set(special)
        return Example(one_hot(tokens, V), jnp.where(last > 0, tokens[place + 1], 0), last)

    def chance_level(self) -> float:
        """Entropy of an ordinary token, the logarithm of the number of ordinary tokens."""
        return math.log(_VOCABULARY[self.variant][1])

    def oracle(self, inputs: Array) -> Array:
        """Logits certain of the token after the first special token, from there on; zeros before. [T, V] -> [T, V]."""
        marks = inputs[:, _VOCABULARY[self.variant][1]]
        first = marks * (jnp.cumsum(marks) == 1)
        follows = jnp.roll(first, 1).at[0].set(0)
        return CERTAIN * jnp.cumsum(follows[:, None] * inputs, axis=0)
