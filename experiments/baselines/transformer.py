r"""A decoder-only Transformer, the rival of a recurrent net: all steps at once, or one at a time with a cache.

A block with norms before both halves and rotary positions, u = norm(x):

    q, k, v = W_q u, W_k u, W_v u
    x += W_o softmax(R_t q (R_s k)^T / sqrt(d)) v     over the steps s <= t, the last w of them with a window
    x += W_2 gelu(W_1 norm(x))

R_t turns each pair of features by angles that grow with the step, so that the product depends on t - s alone.

Source: Vaswani et al. (2017), "Attention is all you need"; norms first: Xiong et al. (2020); rotary positions: Su et
al. (2021), "RoFormer"; window: Beltagy, Peters & Cohan (2020), "Longformer".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

BASE = 10_000.0  # base of the slowest rotation
WIDER = 4  # hidden features of the second half, in features of the model


class Cache(NamedTuple):
    """Keys and values of the steps so far, those of step t in row t, or t modulo w with a window.

    Every head of every sequence has arrays of its own: on a CPU, XLA copies a larger array before each product, which
    takes longer than the product.
    """

    keys: tuple[jax.Array, ...]  # B N arrays [S, D / N]
    values: tuple[jax.Array, ...]  # B N arrays [S, D / N]


def rotated(a: jax.Array, steps: jax.Array) -> jax.Array:
    """Pairs of features turned by angles of their step: ``a: [*batch, T, N, F], steps: [T]``."""
    half = a.shape[-1] // 2
    angles = steps[:, None, None] * BASE ** (-jnp.arange(half) / half)  # [T, 1, F / 2]
    cos, sin = jnp.cos(angles).astype(a.dtype), jnp.sin(angles).astype(a.dtype)
    first, second = a[..., :half], a[..., half:]
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


class TransformerBlock(nnx.Module):
    """Causal self-attention and an MLP, each with a norm before it and a residual connection around it.

    Args:
        features: D, of what goes in and comes out.
        heads: N.
        window: steps that a step sees, itself included; None: all before it.
        rngs: source of keys.
    """

    def __init__(self, features: int, heads: int, window: int | None, rngs: nnx.Rngs):
        self.heads, self.window = heads, window
        self.norms = nnx.List([nnx.RMSNorm(features, rngs=rngs) for _ in range(2)])
        self.qkv = nnx.Linear(features, 3 * features, use_bias=False, rngs=rngs)
        self.output = nnx.Linear(features, features, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(features, WIDER * features, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(WIDER * features, features, use_bias=False, rngs=rngs)

    def in_heads(self, xs: jax.Array, steps: jax.Array) -> tuple[jax.Array, ...]:
        """Queries, keys and values of ``xs: [*batch, T, D]``, each ``[*batch, T, N, D / N]``."""
        q, k, v = (a.reshape(*a.shape[:-1], self.heads, -1) for a in jnp.split(self.qkv(self.norms[0](xs)), 3, axis=-1))
        return rotated(q, steps), rotated(k, steps), v

    def after(self, xs: jax.Array, read: jax.Array) -> jax.Array:
        """The rest of the block, behind what attention has read ``[*batch, T, N, D / N]``."""
        xs = xs + self.output(read.reshape(xs.shape))
        return xs + self.down(jax.nn.gelu(self.up(self.norms[1](xs))))

    def __call__(self, xs: jax.Array) -> jax.Array:
        """``[*batch, T, D]`` to the same shape."""
        q, k, v = self.in_heads(xs, jnp.arange(xs.shape[-2]))
        seen = None if self.window is None else (self.window - 1, 0)
        return self.after(xs, jax.nn.dot_product_attention(q, k, v, is_causal=True, local_window_size=seen))

    def step(self, cache: Cache, x: jax.Array, t: jax.Array) -> tuple[Cache, jax.Array]:
        """One step of all sequences, ``x: [B, D]`` at step t."""
        q, k, v = self.in_heads(x[:, None], t[None])
        rows = [a.reshape(-1, a.shape[-1]) for a in (q, k, v)]  # one for each sequence and head
        each = zip(*rows, *cache, strict=True)
        read, keys, values = zip(*[self.look_up(t, *row) for row in each], strict=True)
        return Cache(keys, values), self.after(x[:, None], jnp.stack(read).reshape(q.shape))[:, 0]

    def look_up(self, t: jax.Array, q: Any, k: Any, v: Any, K: Any, V: Any) -> tuple[jax.Array, ...]:
        """The attention output of one head at step t, ``[D / N]``, and its keys and values including the step's."""
        row = t if self.window is None else t % len(K)
        K, V = (jax.lax.dynamic_update_slice_in_dim(old, new[None], row, axis=0) for old, new in ((K, k), (V, v)))
        scores = jnp.where(jnp.arange(len(K)) <= t, K @ q * q.size**-0.5, -jnp.inf)
        return jax.nn.softmax(scores) @ V, K, V


class Transformer(nnx.Module):
    """Blocks between an embedding and a head: inputs ``[*batch, T, D_in]``, or tokens ``[*batch, T]``.

    Args:
        in_features: D_in, or the number of tokens with ``tokens=True``.
        features: D, of the blocks; a multiple of twice the heads.
        out_features: O.
        num_layers: blocks.
        heads: N, of every block.
        window: steps that a step of a block sees; None: all before it.
        tokens: inputs are ints.
        rngs: source of keys.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        out_features: int,
        num_layers: int = 2,
        *,
        heads: int = 4,
        window: int | None = None,
        tokens: bool = False,
        rngs: nnx.Rngs,
    ):
        if features % (2 * heads):
            raise ValueError(f"features={features}; allowed: a multiple of 2 heads = {2 * heads}")
        self.features, self.window = features, window
        make = nnx.Embed if tokens else nnx.Linear
        self.embed = make(in_features, features, rngs=rngs)
        self.blocks = nnx.List([TransformerBlock(features, heads, window, rngs) for _ in range(num_layers)])
        self.norm = nnx.RMSNorm(features, rngs=rngs)
        self.head = nnx.Linear(features, out_features, rngs=rngs)

    def __call__(self, xs: jax.Array) -> jax.Array:
        """Outputs of all steps, ``[*batch, T, O]``."""
        xs = self.embed(xs)
        for block in self.blocks:
            xs = block(xs)
        return self.head(self.norm(xs))

    def initialize_carry(self, batch: int, context: int) -> tuple[jax.Array, tuple[Cache, ...]]:
        """Step 0 and empty caches for so many steps, or for the window where that is shorter."""
        size = context if self.window is None else min(self.window, context)

        def empty(block: Any) -> tuple[jax.Array, ...]:
            return tuple(jnp.zeros((size, self.features // block.heads)) for _ in range(batch * block.heads))

        return jnp.int32(0), tuple(Cache(empty(block), empty(block)) for block in self.blocks)

    def step(self, carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        """One step of all sequences, ``x: [B, D_in]`` or tokens ``[B]``, to outputs ``[B, O]``."""
        t, caches = carry
        x, kept = self.embed(x), []
        for block, cache in zip(self.blocks, caches, strict=True):
            cache, x = block.step(cache, x, t)
            kept.append(cache)
        return (t + 1, tuple(kept)), self.head(self.norm(x))
