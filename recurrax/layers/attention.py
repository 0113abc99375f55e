"""Attention over the outputs of an encoder."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import show_signature
from recurrax.pickling import Picklable


class AdditiveAttention(Picklable, nnx.Module):
    r"""Additive attention: reads a memory whose steps are scored by a network with one hidden layer.

    .. math::
        e_{ts} = v \cdot \tanh(W q_t + U m_s), \quad \alpha_t = \mathrm{softmax}_s(e_{ts}), \quad
        r_t = \sum_s \alpha_{ts} m_s

    Args:
        query_features: Q, the size of a query.
        memory_features: M, the size of a memory step.
        hidden_features: A, the size of the hidden layer.
        rngs: source of keys (``rngs.params``).

    Source: Bahdanau, Cho & Bengio (2015), "Neural machine translation by jointly learning to align and translate".
    """

    def __init__(self, query_features: int, memory_features: int, hidden_features: int, *, rngs: nnx.Rngs):
        self.query = nnx.Linear(query_features, hidden_features, rngs=rngs)
        self.memory = nnx.Linear(memory_features, hidden_features, use_bias=False, rngs=rngs)
        self.score = nnx.Linear(hidden_features, 1, use_bias=False, rngs=rngs)

    def __call__(self, queries: jax.Array, memory: jax.Array, mask: Any = None) -> tuple[jax.Array, jax.Array]:
        """Reads ``memory: [*batch, S, M]`` with ``queries: [*batch, T, Q]``; returns the values read and the weights.

        Args:
            queries: one query per step.
            memory: the sequence to read from.
            mask: bool ``[*batch, S]``, the valid steps of the memory; each sequence has at least one.

        Returns:
            The values read, ``[*batch, T, M]``, and the weights alpha, ``[*batch, T, S]``, which are 0 where the mask
            is False.

        Raises:
            ValueError: the mask has another shape.
        """
        if mask is not None:
            if jnp.shape(mask) != memory.shape[:-1]:
                raise ValueError(
                    f"mask has shape {jnp.shape(mask)}; allowed: one flag for each step of the memory, "
                    f"{memory.shape[:-1]}. Make it of lengths: jnp.arange(S) < lengths[..., None]."
                )
            # Zero the padding first: 0 times a NaN of the padding would be NaN, in gradients too.
            memory = jnp.where(mask[..., None], memory, 0)
        hidden = jnp.tanh(self.query(queries)[..., :, None, :] + self.memory(memory)[..., None, :, :])
        scores = self.score(hidden)[..., 0]
        if mask is not None:
            scores = jnp.where(mask[..., None, :], scores, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=-1)
        return weights @ memory, weights


show_signature(AdditiveAttention)
