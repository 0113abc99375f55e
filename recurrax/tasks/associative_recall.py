"""Multi-query associative recall: store pairs of keys and values, and give the value of each key that is shown again.

One example of `AssociativeRecall(length=12, pairs=2, vocabulary=12)` (``.`` has no target):

    step      0  1  2  3  4  5  6  7  8  9 10 11
    input     2  8  4  7  4 11  3  0  2  9  6  1
    target    .  .  .  .  7  .  .  .  8  .  .  .

K = `pairs` different keys come first, each followed by its value: keys are tokens 1 .. V//2-1, values different ones of
V//2 .. V-1, V = `vocabulary`. Then every key is shown once more, its value is due at the same step, and the loss counts
these K steps. Key j is shown at step 2K + 2 g_j. The gaps g_1, ..., g_K are drawn from 0 .. (length - 2K)//2 - 1
without replacement, with probabilities p(g) ~ (g + 1)^(a - 1), a = 0.01. All other steps show independent tokens,
uniform in 0 .. V-1, which may be keys or values too.

    variant    gaps                   other steps
    arora2023  power law, a = 0.01    random tokens

Sources:
    arora2023  Arora, Eyuboglu et al. 2023 (Zoology); HazyResearch/zoology zoology/data/multiquery_ar.py with its
               defaults, but for its 8,192 tokens, which `vocabulary` can be set to, and 8 pairs in its newer versions.
               The code trains on 100,000 fixed examples, and its vocabulary is larger than its sequences are long.
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
    as_distinct,
    as_integers,
    as_uniform,
    check_choice,
    check_size,
    draw_bits,
    one_hot,
)

POWER = 0.01  # a


@final
@dataclass(frozen=True)
class AssociativeRecall(Classification):
    """Associative recall: the value of every repeated key. The module's docstring shows an example.

    Args:
        length: steps, at least 4 pairs.
        variant: one of `VARIANTS`.
        pairs: K, keys to remember, at least 1.
        vocabulary: V, tokens, at least 2 pairs + 2.

    Raises:
        TypeError: length, pairs or vocabulary is not an int.
        ValueError: length, pairs or vocabulary is too small, or the variant is unknown.
    """

    length: int
    variant: str = "arora2023"
    pairs: int = 4
    vocabulary: int = 64

    name: ClassVar[str] = "associative_recall"
    VARIANTS: ClassVar[tuple[str, ...]] = ("arora2023",)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError if there is no room for all keys and queries."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("pairs", self.pairs, 1)
        check_size("length", self.length, 4 * self.pairs)
        check_size("vocabulary", self.vocabulary, 2 * self.pairs + 2)

    @property
    def in_features(self) -> int:
        """D = V: the tokens."""
        return self.vocabulary

    @property
    def out_features(self) -> int:
        """O = V: the tokens."""
        return self.vocabulary

    @property
    def sequence_length(self) -> int:
        """T = length."""
        return self.length

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, V] one-hot, targets [T] int32, weights [T] 1 at the queries."""
        T, K, V = self.length, self.pairs, self.vocabulary
        chances = np.arange(1, (T - 2 * K) // 2 + 1) ** (POWER - 1)
        sizes = (V // 2 - 1, V - V // 2, len(chances), T)
        bits = jnp.split(draw_bits(key, sum(sizes)), np.cumsum(sizes)[:-1])
        keys, values = 1 + as_distinct(bits[0], K), V // 2 + as_distinct(bits[1], K)
        # Sampling without replacement: take the K smallest of exponential waiting times with these rates.
        waits = -jnp.log1p(-as_uniform(bits[2])) / jnp.asarray(chances, jnp.float32)
        queries = 2 * K + 2 * jnp.argsort(waits)[:K]
        context = jnp.stack([keys, values], axis=-1).ravel()
        tokens = as_integers(bits[3], 0, V).at[: 2 * K].set(context).at[queries].set(keys)
        targets = jnp.zeros(T, jnp.int32).at[queries].set(values)
        return Example(one_hot(tokens, V), targets, jnp.zeros(T, jnp.float32).at[queries].set(1))

    def chance_level(self) -> float:
        """Entropy of a value, ln(V - V//2)."""
        return math.log(self.vocabulary - self.vocabulary // 2)

    def oracle(self, inputs: Array) -> Array:
        """Logits certain of the shown key's value once all pairs have been shown; zeros before. [T, V] -> [T, V]."""
        context = inputs[: 2 * self.pairs]
        asked = (jnp.arange(len(inputs)) >= len(context))[:, None] * inputs
        return CERTAIN * (asked @ context[::2].T) @ context[1::2]
