"""One layer of a cell in every JAX library, in one form: pure functions of a list of parameters.

The lists make the dispatch of a call the same for all; what a module costs as an argument of `jax.jit` is not measured.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

import recurrax as rx
from recurrax import cells
from recurrax.timing import Refused, Shape

MISSING = "not installed: pip install -e '.[bench]'"
CELLS: dict[str, Any] = {cell.short: cell for cell in cells.ALL}  # recurrax cells, by the names of flags and records


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer of shape (B, T, D, H).

    ``run(parameters, xs: [B, T, D]) -> ys: [B, T, H]``; ``step(parameters, carry, x: [B, D]) -> (carry, y: [B, H])``.
    """

    parameters: list[jax.Array]
    run: Callable[[list[jax.Array], jax.Array], Any]
    carry: Any
    step: Callable[[list[jax.Array], Any, jax.Array], Any]


def layer(name: str, cell: str, shape: Shape, dtype: str = "float32") -> Layer:
    """The layer of a JAX implementation, a key of `PEERS` or ``recurrax ENGINE``.

    Raises:
        Refused: the library is not installed, or has no such cell.
    """
    library, _, engine = name.partition(" ")
    if library == "recurrax":
        return ours(cell, shape, dtype, engine)
    try:
        return PEERS[library](cell, shape, jnp.dtype(dtype))
    except ImportError as error:
        raise Refused(f"{MISSING} ({error})" if error.name is None else MISSING) from error


def loss(run: Callable[..., jax.Array], parameters: Any, xs: jax.Array) -> jax.Array:
    """mean(y^2) in float32, of the modulus where outputs are complex."""
    ys = run(parameters, xs)
    return jnp.mean((ys * ys.conj()).real, dtype=jnp.float32)


def step(layer: Layer, shape: Shape) -> tuple[Callable[..., Any], list[jax.Array], jax.Array]:
    """The training step ``(parameters, xs) -> (loss, gradient)`` of a layer, and its two arguments."""
    xs = jax.random.normal(jax.random.key(1), shape[:3])
    return jax.value_and_grad(functools.partial(loss, layer.run)), layer.parameters, xs


def engine(name: str, **options: Any) -> Any:
    """The engine of recurrax under a name of ``ENGINES``, or the name "auto".

    Raises:
        Refused: there is none of this name.
    """
    if name == "auto":
        return name
    if name not in rx.ENGINES:
        raise Refused(f"recurrax has no engine {name!r}; it has {', '.join(rx.ENGINES)}")
    return rx.ENGINES[name](**options)


def ours(cell: str, shape: Shape, dtype: str = "float32", backend: Any = "auto") -> Layer:
    """The layer of recurrax with an engine or the name of one."""
    B, _, D, H = shape
    if cell not in CELLS:
        raise Refused(f"recurrax has no cell {cell}")
    options = {} if dtype == "float32" else {"dtype": jnp.dtype(dtype), "param_dtype": jnp.dtype(dtype)}
    chosen = engine(backend) if isinstance(backend, str) else backend
    module = rx.RNN(CELLS[cell](D, H, rngs=nnx.Rngs(0), **options), backend=chosen)
    leaves, tree = jax.tree.flatten(module)

    def rebuilt(parameters: list[jax.Array]) -> Any:
        return jax.tree.unflatten(tree, parameters)

    return Layer(
        leaves,
        lambda p, xs: rebuilt(p)(xs),
        module.cell.initialize_carry((B, D)),
        lambda p, carry, x: rebuilt(p).cell(carry, x),
    )


def flax_nnx(cell: str, shape: Shape, dtype: Any) -> Layer:
    """``nnx.RNN`` over SimpleCell, GRUCell or OptimizedLSTMCell."""
    B, _, D, H = shape
    make = {"RNN": nnx.SimpleCell, "GRU": nnx.GRUCell, "LSTM": nnx.OptimizedLSTMCell}[cell]
    options = {"dtype": dtype, "param_dtype": dtype, "recurrent_kernel_init": orthogonal}
    module = nnx.RNN(make(D, H, rngs=nnx.Rngs(0), **options))
    graph, params, rest = nnx.split(module, nnx.Param, ...)
    leaves, tree = jax.tree.flatten(params)
    others, rest_tree = jax.tree.flatten(rest)  # counters of random keys, which a call may advance

    def rebuilt(parameters: list[jax.Array]) -> Any:
        return nnx.merge(graph, jax.tree.unflatten(tree, parameters), jax.tree.unflatten(rest_tree, others))

    return Layer(
        leaves,
        lambda p, xs: rebuilt(p)(xs),
        module.cell.initialize_carry((B, D), rngs=nnx.Rngs(0)),
        lambda p, carry, x: rebuilt(p).cell(carry, x),
    )


def flax_linen(cell: str, shape: Shape, dtype: Any) -> Layer:
    """``linen.RNN`` over SimpleCell, GRUCell or OptimizedLSTMCell."""
    B, _, D, H = shape
    make = {"RNN": linen.SimpleCell, "GRU": linen.GRUCell, "LSTM": linen.OptimizedLSTMCell}[cell]
    module = make(H, dtype=dtype, param_dtype=dtype, recurrent_kernel_init=orthogonal)
    carry = module.initialize_carry(jax.random.key(0), (B, D))
    leaves, tree = jax.tree.flatten(module.init(jax.random.key(0), carry, jnp.zeros((B, D), dtype)))
    runner = linen.RNN(module)

    def run(parameters: list[jax.Array], xs: jax.Array) -> Any:
        variables = jax.tree.unflatten(tree, parameters)
        return runner.apply({"params": {"cell": variables["params"]}}, xs)

    def step(parameters: list[jax.Array], carry: Any, x: jax.Array) -> Any:
        return module.apply(jax.tree.unflatten(tree, parameters), carry, x)

    return Layer(leaves, run, carry, step)


def haiku(cell: str, shape: Shape, dtype: Any) -> Layer:
    """``hk.dynamic_unroll`` over VanillaRNN, GRU or LSTM."""
    import haiku as hk  # type: ignore[import-not-found]

    B, T, D, H = shape
    make = {"RNN": hk.VanillaRNN, "GRU": hk.GRU, "LSTM": hk.LSTM}[cell]

    def whole(xs: jax.Array) -> Any:
        core = make(H)
        carry = jax.tree.map(lambda leaf: leaf.astype(dtype), core.initial_state(B))
        return hk.dynamic_unroll(core, xs, carry, time_major=False)[0]

    def one(carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        y, carry = make(H)(x, carry)
        return carry, y

    run, step = (hk.without_apply_rng(hk.transform(function)) for function in (whole, one))
    leaves, tree = jax.tree.flatten(run.init(jax.random.key(0), jnp.zeros((B, T, D), dtype)))
    state = hk.transform(lambda: make(H).initial_state(B)).apply({}, None)
    carry = jax.tree.map(lambda leaf: leaf.astype(dtype), state)
    return Layer(
        leaves,
        lambda p, xs: run.apply(jax.tree.unflatten(tree, p), xs),
        carry,
        lambda p, carry, x: step.apply(jax.tree.unflatten(tree, p), carry, x),
    )


def equinox(cell: str, shape: Shape, dtype: Any) -> Layer:
    """`jax.lax.scan` over the vmapped GRUCell or LSTMCell; Equinox has no plain recurrent cell."""
    import equinox as eqx  # type: ignore[import-not-found]

    B, _, D, H = shape
    if cell == "RNN":
        raise Refused("has no such cell")
    module = {"GRU": eqx.nn.GRUCell, "LSTM": eqx.nn.LSTMCell}[cell](D, H, dtype=dtype, key=jax.random.key(0))
    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(arrays)
    zeros = jnp.zeros((B, H), dtype)
    initial = zeros if cell == "GRU" else (zeros, zeros)

    def step(parameters: list[jax.Array], carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        carry = jax.vmap(eqx.combine(jax.tree.unflatten(tree, parameters), static))(x, carry)
        return carry, carry if cell == "GRU" else carry[0]

    def run(parameters: list[jax.Array], xs: jax.Array) -> jax.Array:
        ys = jax.lax.scan(lambda carry, x: step(parameters, carry, x), initial, jnp.swapaxes(xs, 0, 1))[1]
        return jnp.swapaxes(ys, 0, 1)

    return Layer(leaves, run, initial, step)


def keras(cell: str, shape: Shape, dtype: Any) -> Layer:
    """``stateless_call`` of keras.layers.SimpleRNN, GRU or LSTM, on JAX."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras as library  # type: ignore[import-not-found]

    B, T, D, H = shape
    if library.backend.backend() != "jax":
        raise Refused(f"runs on {library.backend.backend()} here; set KERAS_BACKEND=jax")
    make = {"RNN": library.layers.SimpleRNN, "GRU": library.layers.GRU, "LSTM": library.layers.LSTM}[cell]
    options = {} if dtype == jnp.float32 else {"recurrent_initializer": "glorot_uniform"}  # see `orthogonal`
    module = make(H, return_sequences=True, dtype=dtype.name, **options)
    module.build((B, T, D))
    leaves = [variable.value for variable in module.trainable_variables]
    rest = [variable.value for variable in module.non_trainable_variables]
    others = [variable.value for variable in module.cell.non_trainable_variables]

    def step(parameters: list[jax.Array], carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        (y, carry), _ = module.cell.stateless_call(parameters, others, x, carry)
        return list(carry), y

    carry = [jnp.zeros((B, H), dtype) for _ in range(2 if cell == "LSTM" else 1)]
    return Layer(leaves, lambda p, xs: module.stateless_call(p, rest, xs)[0], carry, step)


def orthogonal(key: jax.Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
    """Flax's own recurrent initialiser, drawn in float32: JAX factorises no bfloat16 matrix."""
    del out_sharding
    return jax.nn.initializers.orthogonal()(key, shape, jnp.float32).astype(dtype)


PEERS: dict[str, Callable[..., Layer]] = {
    "flax.nnx": flax_nnx, "flax.linen": flax_linen, "haiku": haiku, "equinox": equinox, "keras": keras,
}  # fmt: skip
