"""Every cell and every engine, and the loops by hand that they are compared with.

Cells come from ``cells.ALL`` and engines from ``ENGINES``: one that is added there is tested without an edit.
"""

import functools
import inspect
from typing import Any, NamedTuple

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import recurrax
from recurrax import Adjoint, Associative, Cell, Chunkwise, Foreign, Newton, Scan, Structure, cells
from recurrax.initializers import Chrono

T, BATCH, D, H = 6, (2, 2), 3, 4


def quick() -> dict[str, Any] | None:
    """Options with which XLA compiles 3 times faster: programs run a few times here, to compile them is the cost."""
    if jax.default_backend() != "cpu":
        return None
    plain = {"xla_backend_optimization_level": 0}
    options = plain | {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
    try:
        jax.jit(jnp.negative, compiler_options=options)(0.0)
    except jax.errors.JaxRuntimeError:  # gone since jax 0.12
        return plain | {"xla_disable_hlo_passes": "fusion"}
    return options


jit = functools.partial(jax.jit, compiler_options=quick())


def linear(a: jax.Array) -> jax.Array:
    return a


def tanh_step(params: dict[str, jax.Array], h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    h = jnp.tanh(x @ params["W"] + h @ params["U"])
    return h, h


def foreign_function(*, rngs: nnx.Rngs) -> Foreign:
    params = {"W": jax.random.normal(rngs.params(), (D, H)), "U": jnp.zeros((H, H))}
    return Foreign(tanh_step, params=params)


def foreign_linen(*, rngs: nnx.Rngs) -> Foreign:
    return Foreign.linen(LINEN, LINEN.init(rngs.params(), jnp.zeros(H), jnp.zeros(D)))


LINEN = flax.linen.GRUCell(features=H)
# Where a cell has parts, more than one of them.
PARTS = {"heads": 2, "state_features": 2, "projection_features": 2}


def made(cell: type[Cell]) -> Any:
    """The cell of these sizes, with its parts."""
    taken = inspect.signature(cell).parameters
    return functools.partial(cell, D, H, **{name: size for name, size in PARTS.items() if name in taken})


CELLS: dict[str, Any] = {
    **{cell.short: made(cell) for cell in cells.ALL},
    "RNN-relu": functools.partial(cells.RNNCell, D, H, activation_fn=jax.nn.relu),
    "RNN-identity": functools.partial(cells.RNNCell, D, H, activation_fn=linear),
    "LSTM-chrono": functools.partial(cells.LSTMCell, D, H, forget_bias=Chrono(t_max=20)),
    "GRU-reset-before": functools.partial(cells.GRUCell, D, H, reset_after=False),
    "Foreign-nnx-LSTM": lambda *, rngs: Foreign(nnx.LSTMCell(D, H, rngs=rngs)),
    "Foreign-linen-GRU": foreign_linen,
    "Foreign-function": foreign_function,
}
ENGINES: dict[str, recurrax.engines.Engine] = {name: engine() for name, engine in recurrax.ENGINES.items()}
OPTIONS: dict[str, recurrax.engines.Engine] = {
    "scan-unroll": Scan(unroll=2),  # half of T is no multiple of it
    "scan-checkpoint": Scan(checkpoint_every=4),  # T is no multiple of it, half of T is below it
    "scan-nested": Scan(checkpoint_every=(4, 2)),
    "adjoint-states": Adjoint(keep="states", projection="hoisted", chunk=2),
    "adjoint-joint": Adjoint(keep="states", projection="joint", chunk=None, unroll=4),
    "adjoint-kept": Adjoint(keep="preactivations", projection="joint", chunk=3, unroll=2),
    "associative-chunks": Associative(chunk=4),
    "newton-diagonal": Newton(jacobian="diagonal", on_failure="nan"),
    "chunkwise-short": Chunkwise(chunk=4),
}
# The rest has forward mode and second derivatives too; "adjoint-kept" stands for the options of Adjoint.
FIRST_ORDER = {*OPTIONS} - {"adjoint-kept"}
# An option or a second derivative sees no more of a cell than its structure and its gates: some cells of each kind.
FEW_CELLS = ("RNN", "LSTM", "GRU", "MinGRU", "LRU", "mLSTM", "GatedDeltaNet", "GLA", "Foreign-function")
SAME_ENGINE = {
    "associative-chunks": "associative",
    "newton-diagonal": "newton",
    "chunkwise-short": "chunkwise",
}  # of those that refuse cells


# Cells whose pairs are compiled in every run of the tests; those of the others are part of the slow tier.
EVERYDAY = {
    *("RNN LSTM GRU NoForgetGate NoInputGate NoOutputGate CIFG Hochreiter1997 DiagonalRNN LRU MinGRU MinLSTM").split(),
    *("mLSTM", "GatedDeltaNet"),
}


def is_everyday(cell: str) -> bool:
    """Whether the cell's contract is tested in every run: an old cell, one of each later kind, or an option of one."""
    return cell in EVERYDAY or cell not in {kind.short for kind in cells.ALL}


def engine_named(name: str) -> recurrax.engines.Engine:
    return (ENGINES | OPTIONS)[name]


@functools.cache
def abstract(name: str) -> Cell:
    """The cell without numbers."""
    return jax.eval_shape(lambda key: CELLS[name](rngs=nnx.Rngs(key)), jax.random.key(0))


def is_run_by(cell: str, engine: str) -> bool:
    """Whether the engine runs cells of that structure; the contract also tests that it refuses all others."""
    one = abstract(cell)
    is_complex = isinstance(one, cells.LRUCell | cells.S5Cell | cells.S4DCell | cells.HGRNCell)
    return {
        "associative": one.structure is Structure.LINEAR,
        "chunkwise": one.structure is Structure.MATRIX,
        "newton": one.structure in (Structure.DENSE, Structure.LINEAR) and not is_complex,
        "pallas": one.structure is Structure.DENSE,
    }.get(SAME_ENGINE.get(engine, engine), True)


CANDIDATES = [(c, e) for c in CELLS for e in (*ENGINES, *(OPTIONS if c in FEW_CELLS else ()))]
PAIRS = [pair for pair in CANDIDATES if is_run_by(*pair)]
REFUSED = [pair for pair in CANDIDATES if not is_run_by(*pair)]
SECOND_ORDER = [(c, e) for c, e in PAIRS if c in FEW_CELLS and e not in FIRST_ORDER]


def cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def noise(tree: Any, seed: int, around: float = 0.0, scale: float = 1.0) -> Any:
    """Normal numbers of the tree's shapes and dtypes, around its own numbers if ``around`` is 1."""
    rng = np.random.default_rng(seed)

    def draw(leaf: Any) -> jax.Array:
        change = scale * rng.normal(size=leaf.shape)
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            change = change + 1j * scale * rng.normal(size=leaf.shape)
        return jnp.asarray(around * np.asarray(leaf, change.dtype) + change if around else change, leaf.dtype)

    with jax.ensure_compile_time_eval():  # constants, inside jit too
        return jax.tree.map(draw, tree)


@functools.cache
def constructor(name: str) -> Any:
    return jit(lambda key: CELLS[name](rngs=nnx.Rngs(key)))


def build(name: str, seed: int, dtype: Any = jnp.float64) -> Cell:
    """The cell, with all of its parameters moved away from their start: no bias is zero."""
    with jax.ensure_compile_time_eval():
        return noise(cast(constructor(name)(jax.random.key(seed)), dtype), seed, around=1, scale=0.4)


class Case(NamedTuple):
    """What gradients are taken with respect to."""

    cell: Cell
    carry: Any
    xs: jax.Array


def case(name: str, seed: int, dtype: Any = jnp.float64) -> Case:
    cell = build(name, seed, dtype)
    try:
        carry = jax.eval_shape(lambda: cell.initialize_carry((*BATCH, D)))
    except ValueError:  # a function, which does not know its carry
        carry = jax.ShapeDtypeStruct((*BATCH, H), dtype)
    if isinstance(cell, Foreign):  # Flax's cells start in float32, whatever their parameters are
        carry = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), carry)
    return Case(cell, *noise((carry, jax.ShapeDtypeStruct((T, *BATCH, D), dtype)), seed))


def pick(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


def loop(cell: Cell, carry: Any, xs: jax.Array) -> tuple[Any, jax.Array]:
    """The recurrence as it is written on paper."""
    ys = []
    for x in xs:
        carry, y = cell(carry, x)
        ys.append(y)
    return carry, jnp.stack(ys)


def where(flag: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
    """One of two arrays ``[*batch, ...]`` by a flag ``[*batch]``."""
    return jnp.where(flag.reshape(*flag.shape, *(1,) * (yes.ndim - flag.ndim)), yes, no)


def take(leaf: jax.Array, index: jax.Array) -> jax.Array:
    """Steps of ``[T, *batch, ...]`` by numbers ``[S, *batch]``."""
    return jnp.take_along_axis(leaf, index.reshape(*index.shape, *(1,) * (leaf.ndim - index.ndim)), 0)


def loop_without_gaps(cell: Cell, carry: Any, xs: jax.Array, mask: jax.Array, resets: jax.Array) -> Any:
    """The recurrence over the steps that exist, moved together to the front."""
    order = jnp.argsort(~mask, axis=0)
    xs, resets = jnp.take_along_axis(xs, order[..., None], 0), jnp.take_along_axis(resets, order, 0)
    initial, carries, ys = carry, [carry], []
    for x, reset in zip(xs, resets, strict=True):
        carry = jax.tree.map(lambda start, now, reset=reset: where(reset, start, now), initial, carry)
        carry, y = cell(carry, x)
        carries.append(carry)
        ys.append(y)
    count = mask.sum(0)[None]
    last = jax.tree.map(lambda *leaves: take(jnp.stack(leaves), count)[0], *carries)
    back = jnp.argsort(order, axis=0)[..., None]
    return last, jnp.where(mask[..., None], jnp.take_along_axis(jnp.stack(ys), back, 0), 0)


def dot(a: Any, b: Any) -> jax.Array:
    return sum(
        (jnp.sum((x * y).real) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)), jnp.zeros(())
    )
