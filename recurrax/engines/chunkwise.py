r"""Matrix states in chunks of steps: matrix products replace the loop over steps.

Let S_0 be the state at the beginning of a chunk and :math:`D_{ts} = g_{s+1} + \dots + g_t` the decay from s to t. Then

    S_t = exp(start_t) S_0 + sum_{s <= t} exp(D_ts) k_s u_s^T
    S_t^T q_t = exp(start_t) S_0^T q_t + sum_{s <= t} (q_t . exp(D_ts) k_s) u_s

where u is v or, with the delta rule, the solution of a triangular system of the chunk's size: every step writes the
difference between its value and the value that is already stored, ``u_t = beta_t (v_t - S_{t-1}^T k_t)``.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure, cast
from recurrax.cells.matrix import MatrixCell, Write
from recurrax.engines.chunks import in_chunks
from recurrax.engines.engine import Engine, where

HEAD_CHUNK, CHANNEL_CHUNK = 64, 16  # steps of a chunk with one decay per head, and with one per channel


@dataclasses.dataclass(frozen=True)
class Chunkwise(Engine):
    """Runs cells of structure MATRIX chunk by chunk, each chunk as matrix products.

    The backward pass stores the inputs and the state at the beginning of every chunk, and recomputes the rest. A masked
    step is the identity; a reset cuts a chunk into parts that do not see each other. Exponents are sums of decays
    within a chunk, never differences of longer sums, so decays of 0 or 1 and gains of e^100 are as exact as in a loop.

    Args:
        chunk: C, the steps of a chunk. It needs arrays of C^2 numbers per head, or of C^2 K if every channel has its
            own decay. "auto" is 64, or 16 in the second case.

    Raises:
        ValueError: the chunk is not a positive int, the cell has another structure, or a cell with a gain also has a
            rate or a decay for every channel.

    Source: Yang, Wang, Zhang, Shen & Kim (2024), "Parallelizing linear transformers with the delta rule over sequence
    length"; decay: Yang, Kautz & Hatamizadeh (2025); gain: Beck et al. (2024), "xLSTM", appendix.
    """

    chunk: int | str = "auto"

    def __post_init__(self) -> None:
        chunk = self.chunk
        if chunk != "auto" and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
            raise ValueError(f"Chunkwise got chunk={chunk!r}; allowed: 'auto' or an int >= 1. Try chunk=64.")

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        if not isinstance(cell, MatrixCell):
            raise ValueError(
                f"Chunkwise got {type(cell).__name__} of {cell.structure}; allowed: {Structure.MATRIX}, whose states "
                "are matrices (MLSTM, DeltaNet, GLA, Mamba2). Use backend='auto'."
            )
        writes = jax.eval_shape(cell.project, xs)
        channels = writes.log_decay.shape[-1] > 1
        if writes.log_gain is not None and (channels or writes.rate is not None):
            raise ValueError(
                f"{type(cell).__name__} has a gain with a rate or a decay for every channel; allowed: a gain with one "
                "decay a head and no rate. Use backend='scan'."
            )
        size = (CHANNEL_CHUNK if channels else HEAD_CHUNK) if self.chunk == "auto" else self.chunk
        run = jax.checkpoint(functools.partial(_chunk, cell, carry), prevent_cse=False)
        return in_chunks(run, carry, (xs, mask, resets), size)  # type: ignore[arg-type]


class Decays(NamedTuple):
    """The factors by which earlier writes have decayed at each step of a chunk.

    weights: ``[..., N, C, C, 1 or K]``, the decay of the write of step s at step t; 0 if t does not see s.
    start: ``[..., N, C, 1 or K]``, the decay of the state at the beginning of the chunk or of its part since a reset.
    m: ``[..., N, C]``, the m of a state that is stored as ``e^-m S``; None without a gain.
    """

    weights: jax.Array
    start: jax.Array
    m: jax.Array | None


def _chunk(cell: MatrixCell, initial: Carry, carry: Carry, inputs: Any) -> tuple[Carry, jax.Array]:
    """The carry after the steps of a chunk, and the outputs of the chunk."""
    xs, mask, resets = inputs
    (S, m), (S_0, m_0) = ((c if cell.has_gain else (c, None)) for c in (carry, initial))
    writes, queries = cast((_skipping(cell.project(xs), mask), cell.query(xs)), S.dtype)  # type: ignore
    g, k, v, q = (jnp.moveaxis(a, 0, -2) for a in (writes.log_decay, writes.key, writes.value, queries))
    i, rate = (None if a is None else jnp.moveaxis(a, 0, -1) for a in (writes.log_gain, writes.rate))
    part = None if resets is None else jnp.moveaxis(jnp.cumsum(resets, axis=0), 0, -1)[..., None, :]  # [*batch, 1, C]
    if m is not None:
        m = m[..., None] if part is None else jnp.where(part > 0, m_0[..., None], m[..., None])  # type: ignore
    decays = _decays(g, part, i, m)

    def from_start(rows: jax.Array) -> jax.Array:
        """The values that rows ``[..., N, C, K]`` read from the initial state of their part."""
        rows = decays.start * rows
        return rows @ S if part is None else jnp.where(part[..., None] > 0, rows @ S_0, rows @ S)

    if rate is not None:
        beta = rate[..., None]
        v = inverse(jnp.tril(beta * _scores(k, k, decays), -1)) @ (beta * (v - from_start(k)))
    out = _scores(q, k, decays) @ v + from_start(q)
    began = S if part is None else jnp.where(part[..., -1, None, None] > 0, S_0, S)
    S = decays.start[..., -1, :, None] * began + jnp.swapaxes(decays.weights[..., -1, :, :] * k, -1, -2) @ v
    out = jnp.moveaxis(out, -2, 0)
    if decays.m is None:
        return S, cell.output(out, None, xs)
    return (S, decays.m[..., -1]), cell.output(out, jnp.moveaxis(decays.m, -1, 0), xs)


def _skipping(writes: Write, mask: jax.Array | None) -> Write:
    """The writes, changed so that masked steps have no effect."""
    if mask is None:
        return writes
    g, k, i = writes.log_decay, writes.key, writes.log_gain
    i = None if i is None else where(mask, i, jnp.full_like(i, -jnp.inf))
    return writes._replace(
        log_decay=where(mask, g, jnp.zeros_like(g)), key=where(mask, k, jnp.zeros_like(k)), log_gain=i
    )


def _decays(g: jax.Array, part: jax.Array | None, i: jax.Array | None, m: jax.Array | None) -> Decays:
    """The decays from log decays ``g: [..., N, C, 1 or K]``, the part of each step, gains ``i``, and initial m."""
    steps = jnp.arange(g.shape[-2]).reshape((1,) * (g.ndim - 2) + (-1,))
    sees = steps[..., :, None] >= steps[..., None, :]
    sees = sees if part is None else sees & (part[..., :, None] == part[..., None, :])
    later = (steps[..., :, None] > steps[..., None, :])[..., None]
    D = jnp.cumsum(jnp.where(later, g[..., :, None, :], 0), axis=-3)
    start = jnp.sum(jnp.where(sees[..., None], g[..., None, :, :], 0), axis=-2)
    if i is None:
        return Decays(jnp.exp(jnp.where(sees[..., None], D, -jnp.inf)), jnp.exp(start), None)
    D, start = jnp.where(sees, D[..., 0] + i[..., None, :], -jnp.inf), start[..., 0] + m  # type: ignore
    m = jnp.maximum(start, D.max(axis=-1))
    return Decays(jnp.exp(D - m[..., None])[..., None], jnp.exp(start - m)[..., None], m)


def _scores(a: jax.Array, b: jax.Array, decays: Decays) -> jax.Array:
    """``a_t . exp(D_ts) b_s`` for rows ``[..., C, K]``: ``[..., C, C]``."""
    weights = decays.weights
    if weights.shape[-1] == 1:
        return weights[..., 0] * (a @ jnp.swapaxes(b, -1, -2))
    return jnp.einsum("...tk,...sk,...tsk->...ts", a, b, weights)


def inverse(A: jax.Array) -> jax.Array:
    """``(I + A)^-1`` of strictly lower triangular ``A: [..., C, C]``, by products of blocks of size 1, 2, 4, ....

    The product of all ``I + A^(2^n)`` would be inaccurate: for equal keys it contains binomials of C that cancel.
    """
    C = A.shape[-1]
    size = 1 << (C - 1).bit_length()
    A = jnp.pad(A, [(0, 0)] * (A.ndim - 2) + [(0, size - C)] * 2)
    found = jnp.ones((*A.shape[:-2], size, 1, 1), A.dtype)
    half = 1
    while half < size:
        blocks = A.reshape(*A.shape[:-2], size // (2 * half), 2 * half, size // (2 * half), 2 * half)
        below = jnp.moveaxis(jnp.diagonal(blocks, axis1=-4, axis2=-2), -1, -3)[..., half:, :half]
        above, last = found[..., 0::2, :, :], found[..., 1::2, :, :]
        corner = -last @ below @ above
        found = jnp.block([[above, jnp.zeros_like(above)], [corner, last]])
        half *= 2
    return found[..., 0, :C, :C]
