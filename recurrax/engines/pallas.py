r"""One fused kernel for every real cell of structure DENSE, in Pallas.

    v_t = sum_k s_{t-1,k} U_k + b        s_t = update(s_{t-1}, u_t, v_t)

A law of `Cell` says that ``mix`` is affine: applied to the identity it gives each U, applied to zero it gives b. The
kernel keeps them at hand and runs all T steps; inside it calls the cell's own ``update``. The backward kernel carries
state cotangents only and takes JAX's derivative of ``update`` inside; all that holds a parameter (``project``, ``mix``
for all steps at once, weight gradients) stands outside, as in `Adjoint`, and is JAX's.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure
from recurrax.engines.engine import Engine, where
from recurrax.engines.pallas_kernels import KIB, Tiles, backward_kernel, cast, forward_kernel, launch, multiple, wide

MATRIX_BYTES = 128 * KIB  # CUDA: a product stages its matrix in shared memory (163 KiB on an A100)


@dataclasses.dataclass(frozen=True)
class Pallas(Engine):
    """The whole recurrence in one kernel, forward and backward, with the recurrent weights at hand.

    Computes what `Scan` does, with products in float32 (on CUDA from TF32 in three parts), and with sums and
    ``update`` in float32 where the cell is bfloat16. Keeps the states ``[T, *batch, H]`` for the backward pass. Sizes
    are padded to the device's tiles with zeros, where ``update`` must be finite. First derivatives in
    reverse mode only: forward mode and second derivatives raise TypeError; use `Adjoint` for them.

    Args:
        block: sequences that one kernel instance runs; by default 16 on CUDA, up to 128 on a TPU.
        platform: "cuda" (through Triton), "tpu" (through Mosaic), or "interpret": the same kernel step by step as
            plain JAX on any device, to test it, slowly. None: by `jax.default_backend`, "interpret" on a CPU. It is
            chosen when a function is traced: the tiles and the limits on sizes follow from it.

    Raises:
        ValueError: an option is not allowed; or, in the call, a cell of structure GENERAL, complex states, or sizes or
            dtypes beyond the device: on CUDA float32 up to H = 128 and bfloat16 up to H = 256, on a TPU all weights
            and one step of a block within 6 MiB.

    Source: weights kept on chip through all steps: Diamos et al. (2016), "Persistent RNNs"; gradients of any cell's
    elementwise part fused with them: Pöppel, Beck & Hochreiter (2024), "FlashRNN".
    """

    block: int | None = None
    platform: str | None = None

    def __post_init__(self) -> None:
        block, platform = self.block, self.platform
        if block is not None and (isinstance(block, bool) or not isinstance(block, int) or block < 1):
            raise ValueError(f"Pallas got block={block!r}; allowed: an int >= 1 or None. Try block=16 or leave it out.")
        if platform not in (None, "cuda", "tpu", "interpret"):
            raise ValueError(
                f"Pallas got platform={platform!r}; allowed: 'cuda', 'tpu', 'interpret' or None. Leave it out."
            )

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        T, *batch, D = xs.shape
        tiles = self._tiles(cell, carry, math.prod(batch))
        flags = {"keep": mask, "reset": resets}
        flags = {name: jnp.int32(flag).reshape(T, -1) for name, flag in flags.items() if flag is not None}
        rows = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), carry)
        out: Any = _states(tiles, cell, rows, xs.reshape(T, -1, D), flags)
        last, carries = out
        carries = jax.tree.map(lambda leaf: leaf.reshape(T, *batch, -1), carries)
        return jax.tree.map(lambda leaf: leaf.reshape(*batch, -1), last), cell.readout(carries, xs)

    def _tiles(self, cell: Cell, carry: Carry, B: int) -> Tiles:
        """The sizes of blocks, or ValueError where the kernel cannot run the cell."""
        name, dtype, H = type(cell).__name__, cell.dtype, cell.hidden_features
        if cell.structure is not Structure.DENSE:
            raise ValueError(f"Pallas got {name} of {cell.structure}; allowed: {Structure.DENSE}. Use Scan().")
        if dtype is None or H is None or any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(carry)):
            raise ValueError(f"Pallas got {name} with a complex carry; allowed: real states of H features. Use Scan().")
        platform = self.platform or {"cpu": "interpret", "gpu": "cuda"}.get(jax.default_backend(), "tpu")
        if platform == "interpret":
            return Tiles(platform, self.block or B, H)
        if dtype not in (jnp.float32, jnp.bfloat16):
            raise ValueError(f"Pallas got a cell of {dtype}; allowed on {platform}: float32, bfloat16. Use Adjoint().")
        if platform == "tpu":
            tiles, allowed = Tiles(platform, self.block or min(multiple(B, 16), 128), multiple(H, 128)), "multiples"
        else:
            tiles, allowed = Tiles(platform, self.block or 16, max(16, 1 << (H - 1).bit_length())), "powers of two >="
        if tiles.block % 16 or (platform == "cuda" and tiles.block & (tiles.block - 1)):
            raise ValueError(f"Pallas got block={tiles.block}; allowed on {platform}: {allowed} 16. Leave it out.")
        size = tiles.units**2 * dtype.itemsize
        if platform == "cuda" and size > MATRIX_BYTES:
            raise ValueError(
                f"Pallas got H={H} in {dtype}, {size // KIB} KiB a matrix; allowed on cuda: {MATRIX_BYTES // KIB} KiB "
                "(H up to 128 in float32, 256 in bfloat16). Use Adjoint()."
            )
        return tiles


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _states(tiles: Tiles, cell: Cell, initial: Carry, xs: jax.Array, flags: Any) -> tuple[Carry, Carry]:
    """The last carry and the carry after every step: ``initial: [B, H], xs: [T, B, D], flags: [T, B]``."""
    carries = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(xs), *leaf.shape), leaf.dtype), initial)
    kernel = functools.partial(forward_kernel, _wide_update(cell), tiles.precision)
    weights, b = _affine(cell, initial, derivative=False)
    return launch(tiles, kernel, weights, flags, (initial, b), cell.project(xs), (initial, carries))


def _forward(tiles: Tiles, cell: Cell, initial: Carry, xs: jax.Array, flags: Any) -> tuple[Any, Any]:
    out: Any = _states(tiles, cell, initial, xs, flags)
    return out, (cell, initial, xs, flags, out[1])


def _backward(tiles: Tiles, residuals: Any, cotangents: Any) -> tuple[Any, Any, Any, None]:
    (cell, initial, xs, flags, carries), (d_last, d_carries) = residuals, cotangents
    before = jax.tree.map(lambda c0, cs: jnp.concatenate([c0[None], cs[:-1]]), initial, carries)
    if "reset" in flags:
        start = jax.tree.map(lambda c0, cs: jnp.broadcast_to(c0, cs.shape), initial, before)
        before = where(flags["reset"] != 0, start, before)
    us, project_transposed = jax.vjp(lambda cell, xs: cell.project(xs), cell, xs)
    vs, mix_transposed = jax.vjp(lambda cell: cell.mix(before), cell)

    weights, _ = _affine(cell, initial, derivative=True)
    weights, d_last = jax.tree.map(jnp.transpose, weights), cast(d_last, wide(cell.dtype))
    kernel = functools.partial(backward_kernel, _wide_update(cell), tiles.precision)
    streams = before, us, vs, d_carries
    out = (d_last, d_last if "reset" in flags else ()), (us, vs)
    (d_first, d_start), (dus, dvs) = launch(tiles, kernel, weights, flags, d_last, streams, out, reverse=True)
    d_initial = jax.tree.map(jnp.add, d_first, d_start) if "reset" in flags else d_first
    (d_mix,), (d_project, d_xs) = mix_transposed(dvs), project_transposed(dus)
    return jax.tree.map(jnp.add, d_mix, d_project), cast(d_initial, cell.dtype), d_xs, None


_states.defvjp(_forward, _backward)


def _wide_update(cell: Cell) -> Callable[..., Carry]:
    return lambda *operands: cell.update(*cast(operands, wide(cell.dtype)))


def _affine(cell: Cell, carry: Carry, derivative: bool) -> tuple[dict[int, Any], Any]:
    """``U_k: [H, H]`` for each leaf k of the carry that ``mix`` reads, and ``b: [B, H]``, both in trees like the gates.

    With ``derivative`` they are those of the derivative of ``mix``, which differ where the cell stops its gradient.
    """
    precise = cast(cell, wide(cell.dtype))
    leaves, tree = jax.tree.flatten(carry)
    eye = jnp.eye(leaves[0].shape[-1], dtype=precise.dtype)
    zero = jax.tree.unflatten(tree, [jnp.zeros_like(eye)] * len(leaves))

    def linear(k: int) -> Any:
        unit = jax.tree.unflatten(tree, [eye if j == k else jnp.zeros_like(eye) for j in range(len(leaves))])
        if derivative:
            return jax.jvp(precise.mix, (zero,), (unit,))[1]
        return jax.tree.map(lambda v, b: v - b[:1], precise.mix(unit), b)

    with jax.default_matmul_precision("highest"):  # the default would round U
        b = precise.mix(cast(jax.tree.map(jnp.zeros_like, carry), precise.dtype))
        return {k: cast(linear(k), cell.dtype) for k in _reads(cell, carry)}, b


def _reads(cell: Cell, carry: Carry) -> list[int]:
    """Which leaves of the carry reach ``mix``'s result: those of an LSTM's h, not of its c."""
    jaxpr = jax.make_jaxpr(cell.mix)(carry).jaxpr
    live = {id(out) for out in jaxpr.outvars}
    for equation in reversed(jaxpr.eqns):
        if any(id(out) in live for out in equation.outvars):
            live |= {id(operand) for operand in equation.invars}
    return [k for k, leaf in enumerate(jaxpr.invars) if id(leaf) in live]
