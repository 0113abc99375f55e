"""Attention over the outputs of an encoder."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import show_signature
from recurrax.pickling import Picklable


class AdditiveAttention(Picklable, nnx.Module):
    r"""Reads a memory, each of whose steps is scored by a network of one hidden layer.

    .. math::
        e_{ts} = v \cdot \tanh(W q_t + U m_s), \quad \alpha_t = \mathrm{softmax}_s(e_{ts}), \quad
        r_t = \sum_s \alpha_{ts} m_s

    Args:
        query_features: Q, of a query.
        memory_features: M, of a step of the memory.
        hidden_features: A, of the hidden layer.
        rngs: source of keys (``rngs.params``).

    Source: Bahdanau, Cho & Bengio (2015), "Neural machine translation by jointly learning to align and translate".
    """

    def __init__(self, query_features: int, memory_features: int, hidden_features: int, *, rngs: nnx.Rngs):
        self.query = nnx.Linear(query_features, hidden_features, rngs=rngs)
        self.memory = nnx.Linear(memory_features, hidden_features, use_bias=False, rngs=rngs)
        self.score = nnx.Linear(hidden_features, 1, use_bias=False, rngs=rngs)

    def __call__(self, queries: jax.Array, memory: jax.Array, mask: Any = None) -> tuple[jax.Array, jax.Array]:
        """``queries: [*batch, T, Q]``, ``memory: [*batch, S, M]`` to what was read and the weights.

        Args:
            queries: what is looked for at each step.
            memory: where it is looked for.
            mask: bool ``[*batch, S]``, which steps of the memory exist; each sequence has one or more.

        Returns:
            What was read, ``[*batch, T, M]``, and the weights alpha, ``[*batch, T, S]``, 0 where the mask is False.

        Raises:
            ValueError: the mask has another shape.
        """
        if mask is not None:
            if jnp.shape(mask) != memory.shape[:-1]:
                raise ValueError(
                    f"mask has shape {jnp.shape(mask)}; allowed: one flag for each step of the memory, "
                    f"{memory.shape[:-1]}. Make it of lengths: jnp.arange(S) < lengths[..., None]."
                )
            # Before anything is computed of it: 0 times NaN of the padding is NaN, in gradients too.
            memory = jnp.where(mask[..., None], memory, 0)
        hidden = jnp.tanh(self.query(queries)[..., :, None, :] + self.memory(memory)[..., None, :, :])
        scores = self.score(hidden)[..., 0]
        if mask is not None:
            scores = jnp.where(mask[..., None, :], scores, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=-1)
        return weights @ memory, weights


show_signature(AdditiveAttention)
