"""The forward and the backward kernel of `Pallas`, and their division into a device's tiles.

All arguments of a kernel but ``update`` are trees of references: ``weights: {k: [U_k of each gate]}`` with matrices
``[out, in]``; ``rows: [B, H]``; ``flags: [T, B, 1]`` and ``streams: [T, B, H]`` of one chunk of time. On a GPU they
have another layout, see `Tiles`, and a read gives ``[H, B]``.

JAX's Pallas is imported only when a kernel is built, because most programs that import recurrax need no kernel.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.cell import Carry, cast
from recurrax.engines.engine import hold, where
from recurrax.engines.pallas.tiles import Tiles, multiple, pad

KIB = 1024
BLOCK_BYTES = 12 * KIB * KIB  # TPU: part of the 16 MiB of VMEM of a kernel; the rest is for temporaries
LONGEST_CHUNK = 16  # steps in one block of the pipeline


def forward_kernel(
    update: Any, tiles: Tiles, weights: Any, flags: Any, rows: Any, us: Any, last: Any, carries: Any
) -> None:
    """Runs one chunk of time for one block of sequences. ``rows``: the initial carry, and each gate's b or None."""
    start, b = _read(rows)
    weights = tiles.matrices(weights) if tiles.gpu else weights

    def step(t: Any, carry: Carry, u: Any) -> Carry:
        carry = where(_flag(flags, "reset", t, carry), start, carry)
        states, v = jax.tree.leaves(carry), b
        for k, gates in weights.items():
            products = [_dot(states[k], U[...], tiles) for U in gates]
            v = [product if bias is None else bias + product for bias, product in zip(v, products, strict=True)]
        new = jax.tree.map(lambda n, c: n.astype(c.dtype), update(carry, u, v), carry)
        carry = hold(_flag(flags, "keep", t, carry), new, carry)
        tiles.write(carries, carry, t)
        return carry

    _write(last, _loop(tiles, us, step, _resume(start, last)))


def backward_kernel(
    update: Any,
    tiles: Tiles,
    mixed: tuple[int, ...],
    weights: Any,
    flags: Any,
    rows: Any,
    streams: Any,
    d_rows: Any,
    d_carries: Carry,
) -> None:
    """Runs one chunk of time backwards. ``d_rows``: cotangents of the initial carry, directly and through resets.

    ``mixed`` are the indices of the gates that the matrices belong to. Every step writes the cotangent of the carry
    after it, including the contributions of later steps.
    """
    del rows
    weights = tiles.matrices(weights) if tiles.gpu else weights

    def step(t: Any, d_rows: Any, stream: Any) -> Any:
        (d_carry, d_start), (carry, a, d_out) = d_rows, stream
        d_carry = jax.tree.map(lambda d, more: d + more.astype(d.dtype), d_carry, d_out)
        tiles.write(d_carries, d_carry, t)
        zeros, keep = jax.tree.map(jnp.zeros_like, d_carry), _flag(flags, "keep", t, d_carry)
        carry, a = cast((carry, a), jax.tree.leaves(d_carry)[0].dtype)
        d_new, d_a = jax.vjp(update, carry, a)[1](hold(keep, d_carry, zeros))
        d_states, tree = jax.tree.flatten(d_new)
        for k, gates in weights.items():
            for place, U in zip(mixed, gates, strict=True):
                d_states[k] = d_states[k] + _dot(d_a[place].astype(U.dtype), U[...], tiles)
        d_carry = hold(keep, jax.tree.unflatten(tree, d_states), d_carry)
        reset = _flag(flags, "reset", t, d_carry)
        if reset is None:
            return d_carry, d_start
        return where(reset, zeros, d_carry), jax.tree.map(jnp.add, d_start, where(reset, d_carry, zeros))

    start = jax.tree.map(lambda ref: jnp.zeros(ref.shape, ref.dtype), d_rows)
    _write(d_rows, _loop(tiles, streams, step, _resume(start, d_rows), reverse=True))


def _loop(tiles: Tiles, streams: Any, step: Any, start: Any, reverse: bool = False) -> Any:
    """Runs ``step(t, rows, streams_t)`` over a chunk; the counter is always int32, as a TPU requires."""
    zero, T = np.int32(0), np.int32(jax.tree.leaves(streams)[0].shape[0])

    def at(i: Any) -> Any:
        return T - 1 - i if reverse else i

    def ahead(i: Any, state: Any) -> Any:
        rows, stream = state
        following = tiles.read(streams, at(jnp.minimum(i + 1, T - 1)))
        return step(at(i), rows, stream), following

    if tiles.gpu:
        return jax.lax.fori_loop(zero, T, ahead, (start, tiles.read(streams, at(zero))))[0]
    return jax.lax.fori_loop(zero, T, lambda i, rows: step(at(i), rows, tiles.read(streams, at(i))), start)


def _resume(start: Any, rows: Any) -> Any:
    """``start`` in the first chunk; later the result of the last chunk, which stays in an output until the end."""
    from jax.experimental import pallas as pl

    first = pl.program_id(1) == 0
    return jax.tree.map(lambda a, b: jax.lax.select(first, a, b), start, _read(rows))


def _read(refs: Any) -> Any:
    return jax.tree.map(lambda ref: ref[...], refs)


def _write(refs: Any, values: Any) -> None:
    for ref, value in zip(jax.tree.leaves(refs), jax.tree.leaves(values), strict=True):
        ref[...] = value.astype(ref.dtype)


def _flag(flags: Any, name: str, t: Any, carry: Carry) -> jax.Array | None:
    """The flag of a step with the carry's shape; it is broadcast as a number because devices handle booleans badly."""
    return jnp.broadcast_to(flags[name][t], jax.tree.leaves(carry)[0].shape) != 0 if name in flags else None


def _dot(a: jax.Array, U: jax.Array, tiles: Tiles) -> jax.Array:
    """``U a`` for columns, ``a U^T`` for rows; exact products of bfloat16, summed in float32 or wider."""
    precision = None if a.dtype == jnp.bfloat16 else tiles.precision
    (left, right), axis = ((U, a), 0) if tiles.gpu else ((a, U), 1)
    return jax.lax.dot_general(
        left, right, (((1,), (axis,)), ((), ())), precision=precision, preferred_element_type=wide(a.dtype)
    )


def wide(dtype: Any) -> Any:
    """The dtype of the computation: float64 if the dtype is float64, else float32."""
    return jnp.promote_types(dtype, jnp.float32)


def launch(
    tiles: Tiles, kernel: Any, weights: Any, flags: Any, rows: Any, streams: Any, out: Any, reverse: bool = False
) -> Any:
    """Pads to the tiles, runs the kernel over blocks of sequences and chunks of time, and cuts the padding off.

    Every block gets all ``weights: [H, H]`` (out, in). ``rows: [B, H]`` are cut along B; ``flags: [T, B]`` and
    ``streams: [T, B, H]`` are cut along T and B. ``kernel(tiles)`` is the kernel, and ``out`` gives the shapes of its
    output rows and streams. Chunks run one after the other; with ``reverse`` the last chunk is first.
    """
    from jax.experimental import pallas as pl

    T, B, H = jax.tree.leaves(streams)[0].shape
    N, padded = tiles.units, multiple(B, tiles.block)
    weights = tiles.weights_to_device(jax.tree.map(lambda a: pad(a, N, N), weights))
    flags = jax.tree.map(lambda a: jnp.expand_dims(pad(a, T, padded), 1 if tiles.gpu else 2), flags)
    turn = functools.partial(jax.tree.map, lambda a: tiles.to_device(tiles.pad(a)))
    rows, streams, out = turn(rows), turn(streams), jax.eval_shape(turn, out)
    chunk = _chunk(tiles, T, jax.tree.leaves(weights), jax.tree.leaves((flags, rows, streams, out)))

    def cut(a: Any, axis: int, size: int | None) -> pl.BlockSpec:
        """Cuts the axis of sequences into blocks, and time, the first of three axes, into chunks."""

        def index(b: Any, t: Any) -> tuple[Any, ...]:
            t = T // chunk - 1 - t if reverse else t
            return tuple(b if i == axis else t if i == a.ndim - 3 else 0 for i in range(a.ndim))

        shape = [size if i == axis else chunk if i == a.ndim - 3 else n for i, n in enumerate(a.shape)]
        return pl.BlockSpec(tuple(shape), index)

    def spec(a: Any, flag: bool = False) -> pl.BlockSpec:
        if tiles.gpu and a.ndim == 3 and not flag:
            return cut(a, 1, None)
        return cut(a, a.ndim - (1 if tiles.gpu else 2), tiles.block)

    whole = jax.tree.map(lambda a: cut(a, axis=-1, size=None), weights)
    in_specs = whole, jax.tree.map(lambda a: spec(a, flag=True), flags), *jax.tree.map(spec, (rows, streams))

    def call(tiles: Tiles) -> Any:
        return pl.pallas_call(
            kernel(tiles),
            out_shape=out,
            grid=(padded // tiles.block, T // chunk),
            in_specs=in_specs,
            out_specs=jax.tree.map(spec, out),
            interpret=tiles.platform == "interpret",
            compiler_params=_parameters(tiles),
        )

    operands = weights, flags, rows, streams
    if tiles.fallback:  # a program for a GPU may run on the host's CPU
        out = jax.lax.platform_dependent(*operands, cuda=call(tiles), default=call(tiles.interpreted()))
    else:
        out = call(tiles)(*operands)
    out = jax.tree.map(tiles.from_device, out)
    return jax.tree.map(lambda a: a[..., :B, :H], out)


def has_triton() -> bool:
    """Whether JAX still compiles such kernels for a GPU; version 0.12 deprecates them."""
    return importlib.util.find_spec("jax.experimental.pallas.triton") is not None


def _parameters(tiles: Tiles) -> Any:
    """Options of the device's compiler, each from its own module because JAX 0.12 deprecates the one for Triton."""
    if tiles.platform == "cuda":
        from jax.experimental.pallas import triton

        return triton.CompilerParams(num_warps=tiles.warps, num_stages=1)
    if tiles.platform == "tpu":
        from jax.experimental.pallas import tpu

        return tpu.CompilerParams(dimension_semantics=("parallel", "arbitrary"))
    return None


def _chunk(tiles: Tiles, T: int, weights: list[Any], others: list[Any]) -> int:
    """Steps in one block: all on CUDA, where a block is an address; else a divisor of T that fits the TPU's memory."""
    if tiles.platform == "cuda":
        return T
    lanes = max(128, tiles.units)
    for chunk in (size for size in range(min(T, LONGEST_CHUNK), 0, -1) if T % size == 0):
        block = sum(tiles.block * lanes * a.dtype.itemsize * (chunk if a.ndim == 3 else 1) for a in others)
        used = 2 * (block + sum(a.size * a.dtype.itemsize for a in weights))  # the next block loads meanwhile
        if tiles.platform == "interpret" or used <= BLOCK_BYTES:
            return chunk
    raise ValueError(
        f"Pallas needs {used // KIB} KiB on a TPU for H={tiles.units} and block={tiles.block}; allowed: "
        f"{BLOCK_BYTES // KIB} KiB. Use a smaller block, or Adjoint()."
    )
