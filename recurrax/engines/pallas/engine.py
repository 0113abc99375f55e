r"""One fused Pallas kernel for every real cell of structure DENSE.

    a_t = u_t + sum_k U_k s_{t-1,k} + b        s_t = update(s_{t-1}, a_t)

By the laws of `Cell`, ``mix`` is affine: applied to the identity it gives each U, and applied to zero it gives b. The
kernel keeps all U on the chip, runs all T steps, and calls the cell's own ``update`` in each step. The tangents of the
states solve a linear system. The backward kernel solves its transpose: it carries only state cotangents and uses JAX's
derivative of ``update``. As in `Adjoint`, everything with a parameter (``project``, ``mix`` for all steps at once,
weight gradients) is computed outside the kernel by JAX. So forward mode, in a loop, and derivatives of any order work
too.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from recurrax.cell import Carry, Cell, Structure, cast, preactivations
from recurrax.engines.checks import check_vectors
from recurrax.engines.engine import Engine, hold, where
from recurrax.engines.pallas.fast_math import fast
from recurrax.engines.pallas.kernels import KIB, backward_kernel, forward_kernel, has_triton, launch, wide
from recurrax.engines.pallas.tiles import Tiles, multiple
from recurrax.engines.sharding import check_not_varying, is_varying
from recurrax.kernels import is_sharded

# KiB of shared memory per block of threads, by CUDA's compute capability (CUDA programming guide).
SHARED = {"7.0": 96, "7.5": 64, "8.0": 163, "8.7": 163, "9.0": 227, "10.0": 227, "10.3": 227}
LEAST_SHARED, MOST_SHARED = 99, 227  # for unlisted capabilities; without a CUDA device
LEAST_BLOCK = 8 if jax.__version_info__ >= (0, 9) else 16  # fewest columns of a matrix product on CUDA
REGISTERS = 128  # registers of a thread for matrices on CUDA, of 255; LSTM and GRU need the others
EXACT = ("highest", "float32")  # values of jax_default_matmul_precision


@dataclasses.dataclass(frozen=True)
class Pallas(Engine):
    """Runs the whole recurrence in one kernel, forward and backward, with the recurrent weights on the chip.

    It computes the same as `Scan`; for a bfloat16 cell, sums and ``update`` are float32. Products of float32 are
    rounded as JAX rounds them on the device, to TF32 on CUDA. Under ``jax.default_matmul_precision("highest")`` they
    have float32 precision; CUDA computes them from three TF32 products, so the last bit or two may differ. The states
    ``[T, *batch, H]`` are stored for the backward pass. Sizes are padded with zeros to the device's tiles, so
    ``update`` must be finite at zero. Forward mode runs a loop like that of `Scan`, and derivatives of any order exist.

    Args:
        block: sequences per kernel instance; by default 8 on CUDA (16 before jax 0.9), and up to 128 on a TPU.
        platform: "cuda" (through Triton), "tpu" (through Mosaic), or "interpret", which runs the same kernel slowly as
            plain JAX on any device, for tests. None follows `jax.default_backend`, with "interpret" on a CPU. The
            platform is chosen when a function is traced; it determines the tiles and the limits on sizes.

    Raises:
        ValueError: an option is not allowed; or, in the call, the cell has structure GENERAL or complex states, or its
            sizes or dtypes are beyond the device. On CUDA all recurrent matrices must fit into the registers and the
            shared memory of one multiprocessor: on an H100, an LSTM or GRU up to H = 128 (up to H = 64 in float32 at
            highest precision), and an RNN in bfloat16 up to H = 256. On a TPU all weights and one step of a block must
            fit into 6 MiB.

    Source: weights on the chip for all steps: Diamos et al. (2016), "Persistent RNNs"; fused gradients of any cell's
    elementwise part: Pöppel, Beck & Hochreiter (2024), "FlashRNN".
    """

    block: int | None = None
    platform: str | None = None

    def __post_init__(self) -> None:
        block, platform = self.block, self.platform
        if block is not None and (isinstance(block, bool) or not isinstance(block, int) or block < 1):
            raise ValueError(f"Pallas got block={block!r}; allowed: an int >= 1 or None. Leave it out.")
        if platform not in (None, "cuda", "tpu", "interpret"):
            raise ValueError(
                f"Pallas got platform={platform!r}; allowed: 'cuda', 'tpu', 'interpret' or None. Leave it out."
            )

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        if is_sharded(xs):
            raise ValueError(
                f"Pallas got inputs on explicit axes of a mesh, {jax.typeof(xs)}; allowed: inputs of one device each. "
                "Call it inside jax.shard_map, or use Adjoint()."
            )
        check_not_varying("Pallas", xs)
        check_vectors("Pallas", cell)
        T, *batch, D = xs.shape
        tiles = self._tiles(cell, carry, math.prod(batch))
        flags = {"keep": mask, "reset": resets}
        flags = {name: jnp.int32(flag).reshape(T, -1) for name, flag in flags.items() if flag is not None}
        rows = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), carry)
        out: Any = _states(tiles, cell, rows, xs.reshape(T, -1, D), flags)
        last, carries = out
        carries = jax.tree.map(lambda leaf: leaf.reshape(T, *batch, -1), carries)
        return jax.tree.map(lambda leaf: leaf.reshape(*batch, -1), last), cell.readout(carries, xs)

    def fits(self, cell: Cell, carry: Carry, xs: jax.Array) -> bool:
        """Whether the default device is an NVIDIA GPU and its kernel can run the cell over ``xs: [T, *batch, D]``."""
        if not _is_cuda() or is_sharded(xs) or is_varying(xs) or cell.num_feature_axes != 1:
            return False
        try:
            self._tiles(cell, carry, math.prod(xs.shape[1:-1]))
        except ValueError:
            return False
        return _is_finite_where_padded(cell, carry)

    def _tiles(self, cell: Cell, carry: Carry, B: int) -> Tiles:
        """The tiles with which the kernel runs the cell; raises ValueError if it cannot."""
        name, dtype, H = type(cell).__name__, cell_dtype(cell), cell.hidden_features
        if cell.structure is not Structure.DENSE:
            raise ValueError(f"Pallas got {name} of {cell.structure}; allowed: {Structure.DENSE}. Use Scan().")
        if dtype is None or H is None or any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(carry)):
            raise ValueError(f"Pallas got {name} with a complex carry; allowed: real states of H features. Use Scan().")
        N = max(16, 1 << (H - 1).bit_length())
        platform = self.platform or {"cpu": "interpret", "gpu": "cuda"}.get(jax.default_backend(), "tpu")
        exact = getattr(jax.config, "jax_default_matmul_precision", None) in EXACT
        precision = lax.Precision.HIGHEST if exact else lax.Precision.DEFAULT
        if platform == "interpret":
            return Tiles(platform, multiple(self.block or B, 2), N, precision, gpu=True, registers=REGISTERS)
        if dtype not in (jnp.float32, jnp.bfloat16):
            raise ValueError(f"Pallas got a cell of {dtype}; allowed on {platform}: float32, bfloat16. Use Adjoint().")
        if platform == "tpu":
            block, allowed = self.block or min(multiple(B, 16), 128), "multiples of 16"
            fits, tiles = block % 16 == 0, Tiles(platform, block, multiple(H, 128), precision)
        else:
            block, allowed, tf32 = self.block or LEAST_BLOCK, f"powers of two >= {LEAST_BLOCK}", lax.DotAlgorithmPreset
            precision = tf32.TF32_TF32_F32_X3 if exact else tf32.TF32_TF32_F32
            fits = block >= LEAST_BLOCK and block & (block - 1) == 0
            registers = 0 if exact and dtype == jnp.float32 else REGISTERS  # three products need two copies of a matrix
            tiles = Tiles(platform, block, N, precision, True, registers, fallback=self.platform is None)
        if not fits:
            raise ValueError(f"Pallas got block={block}; allowed on {platform}: {allowed}. Leave it out.")
        if platform == "cuda":
            _check_shared_memory(tiles, cell, carry, exact)
        return tiles


def _check_shared_memory(tiles: Tiles, cell: Cell, carry: Carry, exact: bool) -> None:
    """Raises ValueError if the matrices outside registers and the tiles of all gates exceed the shared memory."""
    dtype, H = jnp.dtype(cell_dtype(cell)), cell.hidden_features
    N, gates = tiles.units, len(jax.tree.leaves(jax.eval_shape(cell.mix, carry)))
    copies = 2 if exact and dtype == jnp.float32 else 1  # a matrix and its remainder after rounding to TF32
    matrices = max(0, gates * len(_reads(cell, carry)) - tiles.matrices_in_registers(dtype))
    needed = (matrices * copies * N**2 + (gates + 1) * tiles.block * N) * dtype.itemsize // KIB
    device = jax.devices()[0]
    capability = getattr(device, "compute_capability", None) if device.platform == "gpu" else None
    allowed = SHARED.get(capability, LEAST_SHARED) if capability else MOST_SHARED
    if needed > allowed:
        size = f"H={H}" + f" (padded to {N})" * (H != N) + " at highest precision" * (copies == 2)
        raise ValueError(
            f"Pallas needs {needed} KiB of shared memory for {type(cell).__name__} of {dtype} with {size}; allowed on "
            f"this device: {allowed} KiB. Use Adjoint()."
        )


def _is_cuda() -> bool:
    """Whether the default device is an NVIDIA GPU and JAX has a kernel compiler for it."""
    device: Any = jax.config.jax_default_device or jax.devices()[0]  # type: ignore[attr-defined]
    if getattr(device, "platform", device) not in ("gpu", "cuda"):
        return False
    return "cuda" in jax.devices("gpu")[0].client.platform_version.lower() and has_triton()


def _is_finite_where_padded(cell: Cell, carry: Carry) -> bool:
    """Whether ``update`` of zeros is finite; a NaN in the padding would spread to its neighbours."""
    with jax.ensure_compile_time_eval():
        zeros = jax.tree.map(lambda leaf: jnp.zeros((1, 1), leaf.dtype), carry)
        a = jax.eval_shape(lambda: preactivations(cell.project(jnp.zeros((1, cell.in_features or 1))), cell.mix(carry)))
        new = cell.update(zeros, jax.tree.map(lambda leaf: jnp.zeros((1, 1), leaf.dtype), a))
        return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(new))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _states(tiles: Tiles, cell: Cell, initial: Carry, xs: jax.Array, flags: Any) -> tuple[Carry, Carry]:
    """The last carry and the carry after every step: ``initial: [B, H], xs: [T, B, D], flags: [T, B]``."""
    carries = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(xs), *leaf.shape), leaf.dtype), initial)
    weights, b = _affine(cell, initial, derivative=False)
    us = cell.project(xs)
    us, b = _with_bias(us, b)
    us, u_tree = jax.tree.flatten(us)
    v_tree = jax.tree.structure(jax.eval_shape(cell.mix, initial))

    def update(carry: Carry, u: list[Any], v: list[Any]) -> Carry:
        return cell.update(carry, preactivations(u_tree.unflatten(u), v_tree.unflatten(v)))

    def kernel(tiles: Tiles) -> Any:
        return functools.partial(forward_kernel, _on_device(tiles, cell, update), tiles)

    return launch(tiles, kernel, jax.tree.map(jnp.transpose, weights), flags, (initial, b), us, (initial, carries))


@_states.defjvp
def _states_jvp(tiles: Tiles, primals: Any, tangents: Any) -> Any:
    cell, initial, xs, flags = primals
    last, carries = _states(tiles, *primals)
    # Rematerialised, so that the backward pass recomputes the pre-activations instead of storing them.
    run = jax.checkpoint(functools.partial(_tangents, tiles), prevent_cse=False)
    d_carries = run(cell, initial, xs, flags, carries, tangents[:3])
    return (last, carries), (jax.tree.map(lambda d: d[-1], d_carries), d_carries)


def _tangents(
    tiles: Tiles, cell: Cell, initial: Carry, xs: jax.Array, flags: Any, carries: Carry, tangents: Any
) -> Carry:
    """The tangents of all carries, which solve a linear system; linear in ``tangents``."""
    d_cell, d_initial, d_xs = tangents
    keep, reset = (flags[name] != 0 if name in flags else None for name in ("keep", "reset"))
    before = _before(initial, carries, reset)

    def gates(cell: Cell, xs: jax.Array) -> tuple[Any, ...]:
        return preactivations(cell.project(xs), cell.mix(before))

    a, d_a = jax.jvp(gates, (cell, xs), (d_cell, d_xs))
    _, direct = jax.jvp(functools.partial(cell.update, before), (a,), (d_a,))
    direct = hold(keep, direct, jax.tree.map(jnp.zeros_like, direct))
    system, b = System(tiles, cell, keep, reset, before, a), _tied((d_initial, direct), tangents)
    _, d_carries = jax.lax.custom_linear_solve(
        system.residual, b, lambda _, b: system.forward(b), lambda _, d: system.backward(flags, d)
    )
    return d_carries


def _tied(tree: Any, others: Any) -> Any:
    """Makes each array depend on all others, because JAX transposes and differentiates a system only as a whole.

    JAX would fail if an array of the right side had no tangent. The compiler removes the added terms.
    """
    never = jnp.zeros((), bool)
    nothing: Any = sum(jnp.where(never, leaf.ravel()[0], 0) for leaf in jax.tree.leaves(others))
    return jax.tree.map(lambda leaf: leaf + nothing.astype(leaf.dtype), tree)


@dataclasses.dataclass(frozen=True)
class System:
    """The linear system whose solution is the tangents ``d_t`` of the carries.

        d_0 = b_0,    d_t - J_t d_{t-1} = b_t,    J_t = update' + update_a' mix'

    The unknown and the right side are pairs: one part for the initial carry, and one for all carries ``[T, B, H]``. The
    kernel solves the transposed system from the last step back.
    """

    tiles: Tiles
    cell: Cell
    keep: jax.Array | None
    reset: jax.Array | None
    before: Carry  # the carry before each step, after its reset
    a: Any

    def step(self, carry: Carry, a: Any, d_carry: Carry) -> Carry:
        """``J d``, for one step or for all steps."""
        _, d_mixed = jax.jvp(self.cell.mix, (carry,), (d_carry,))
        zeros = jax.tree.map(jnp.zeros_like, a)
        return jax.jvp(self.cell.update, (carry, a), (d_carry, preactivations(zeros, d_mixed)))[1]

    def residual(self, unknown: tuple[Carry, Carry]) -> tuple[Carry, Carry]:
        """The left side of the system, for all steps at once."""
        d_initial, d_carries = unknown
        d_before = _before(d_initial, d_carries, self.reset)
        d_new = hold(self.keep, self.step(self.before, self.a, d_before), d_before)
        return _tied((d_initial, jax.tree.map(jnp.subtract, d_carries, d_new)), (self.before, self.a))

    def forward(self, b: tuple[Carry, Carry]) -> tuple[Carry, Carry]:
        """Solves the system step by step."""
        d_initial, direct = b

        def step(d_carry: Carry, inputs: Any) -> tuple[Carry, Carry]:
            carry, a, direct, keep, reset = inputs
            d_carry = where(reset, d_initial, d_carry)
            d_new = hold(keep, self.step(carry, a, d_carry), d_carry)
            d_carry = jax.tree.map(jnp.add, d_new, direct)
            return d_carry, d_carry

        steps = self.before, self.a, direct, self.keep, self.reset
        return d_initial, jax.lax.scan(step, d_initial, steps)[1]

    def backward(self, flags: Any, d: tuple[Carry, Carry]) -> tuple[Carry, Carry]:
        """Solves the transposed system with the kernel."""
        d_initial, d_carries = d
        a, tree = jax.tree.flatten(self.a)

        def update(carry: Carry, a: list[Any]) -> Carry:
            return self.cell.update(carry, tree.unflatten(a))

        weights, _ = _affine(self.cell, d_initial, derivative=True)

        def kernel(tiles: Tiles) -> Any:
            mixed = _mixed(self.cell, d_initial, self.a)
            return functools.partial(backward_kernel, _on_device(tiles, self.cell, update), tiles, mixed)

        wider = jax.eval_shape(lambda: cast(d_initial, wide(cell_dtype(self.cell))))
        out = (wider, wider if "reset" in flags else ()), d_carries
        rows, d_carries = launch(self.tiles, kernel, weights, flags, (), (self.before, a, d_carries), out, reverse=True)
        for row in rows if "reset" in flags else rows[:1]:
            d_initial = jax.tree.map(lambda d, more: (d + more).astype(d.dtype), d_initial, row)
        return d_initial, d_carries


def _before(initial: Carry, carries: Carry, reset: jax.Array | None) -> Carry:
    """The carry that every step starts from, after its reset."""
    before = jax.tree.map(lambda c0, cs: jnp.concatenate([c0[None], cs[:-1]]), initial, carries)
    start = jax.tree.map(lambda c0, cs: jnp.broadcast_to(c0, cs.shape), initial, before)
    return where(reset, start, before)


def cell_dtype(cell: Cell) -> Any:
    """The dtype of the parameters, which `unroll` has cast to the dtype of the computation; None without parameters."""
    return next((leaf.dtype for leaf in jax.tree.leaves(cell)), None)


def _with_bias(us: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Any]]:
    """The input parts plus the constants of ``mix`` for all steps at once, and the rest for the kernel."""
    if not b:
        return us, []
    pairs = list(zip(us, b, strict=True))
    added = tuple(u if u is None or c is None else (u + c[None]).astype(u.dtype) for u, c in pairs)
    return added, [c if u is None else None for u, c in pairs if c is not None]


def _mixed(cell: Cell, carry: Carry, a: Any) -> tuple[int, ...]:
    """The indices of those gates ``a`` that have a recurrent part."""
    v = jax.eval_shape(cell.mix, carry)
    there = [c is not None for gate, c in zip(a, v, strict=True) if gate is not None] if v else []
    return tuple(place for place, has in enumerate(there) if has)


def _on_device(tiles: Tiles, cell: Cell, update: Callable[..., Carry]) -> Callable[..., Carry]:
    """Wraps ``update`` so that the kernel calls it in float32 or wider."""

    def widened(*operands: Any) -> Carry:
        return update(*cast(operands, wide(cell_dtype(cell))))

    ptx = tiles.platform == "cuda"
    return fast(jax.vmap(widened, in_axes=-1, out_axes=-1), ptx) if tiles.gpu else widened


def _affine(cell: Cell, carry: Carry, derivative: bool) -> tuple[dict[int, list[jax.Array]], Any]:
    """``U_k: [H, H]`` of every gate for each leaf k of the carry that ``mix`` reads, and ``b: [B, H]`` of every gate.

    With ``derivative`` they belong to the derivative of ``mix``, which differs if the cell stops the gradient.
    """
    precise = cast(cell, wide(cell_dtype(cell)))
    leaves, tree = jax.tree.flatten(carry)
    eye = jnp.eye(leaves[0].shape[-1], dtype=cell_dtype(precise))
    zero = jax.tree.unflatten(tree, [jnp.zeros_like(eye)] * len(leaves))

    def linear(k: int) -> Any:
        unit = jax.tree.unflatten(tree, [eye if j == k else jnp.zeros_like(eye) for j in range(len(leaves))])
        if derivative:
            return jax.jvp(precise.mix, (zero,), (unit,))[1]
        return jax.tree.map(lambda v, b: v - b[:1], precise.mix(unit), b)

    with jax.default_matmul_precision("highest"):  # the default precision would round U
        b = precise.mix(cast(jax.tree.map(jnp.zeros_like, carry), cell_dtype(precise)))
        return {k: jax.tree.leaves(cast(linear(k), cell_dtype(cell))) for k in _reads(cell, carry)}, b


def _reads(cell: Cell, carry: Carry) -> list[int]:
    """The leaves of the carry that ``mix`` reads, such as the h of an LSTM but not its c."""
    jaxpr = jax.make_jaxpr(cell.mix)(carry).jaxpr
    live = {id(out) for out in jaxpr.outvars}
    for equation in reversed(jaxpr.eqns):
        if any(id(out) in live for out in equation.outvars):
            live |= {id(operand) for operand in equation.invars}
    return [k for k, leaf in enumerate(jaxpr.invars) if id(leaf) in live]
