"""Recurrent networks of other libraries as functions of their weights, to compare with `recurrax.interop`."""

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import jit

import recurrax as rx
from recurrax import interop

T, B, D, H, P = 4, 2, 3, 4, 2


@dataclasses.dataclass(frozen=True)
class Net:
    """Which network: kind of cell, layers, both directions, biases."""

    kind: str
    layers: int = 1
    both: bool = False
    bias: bool = True

    def ours(self) -> rx.Stack:
        """The same layers of recurrax, in double precision where JAX has it on, without numbers."""

        def build() -> rx.Stack:
            rngs, size, layers = nnx.Rngs(0), D, []
            for _ in range(self.layers):
                one = rx.RNN(self.cell(size, rngs))
                layers.append(rx.Bidirectional(one, rx.RNN(self.cell(size, rngs))) if self.both else one)
                size = layers[-1].out_features
            return rx.Stack(layers)

        return nnx.eval_shape(build)

    def cell(self, size: int, rngs: nnx.Rngs) -> rx.Cell:
        options: dict[str, Any] = {"param_dtype": jnp.result_type(float), "rngs": rngs}
        if self.kind == "LSTM projected":
            return rx.cells.ProjectedLSTMCell(size, H, P, **options)
        if self.kind == "RNN relu":
            return rx.RNNCell(size, H, activation_fn=jax.nn.relu, **options)
        if self.kind.startswith("GRU"):
            return rx.GRUCell(size, H, reset_after=self.kind == "GRU", **options)
        return {"RNN": rx.RNNCell, "LSTM": rx.LSTMCell}[self.kind.split()[0]](size, H, **options)

    def __str__(self) -> str:
        ends = (f"{self.layers}", *(["both"] if self.both else []), *([] if self.bias else ["without-bias"]))
        return "-".join([*self.kind.split(), *ends])


@dataclasses.dataclass(frozen=True)
class Peer:
    """A network of another library.

    ``weights`` are random, in the form that the library has; ``run(weights, xs)`` gives outputs, and
    ``gradient(weights, xs, ys)`` the gradients of ``sum(outputs * ys)``, by weights and by inputs.
    """

    weights: Any
    run: Callable[[Any, np.ndarray], Any]
    gradient: Callable[[Any, np.ndarray, np.ndarray], tuple[Any, Any]]
    load: Callable[[Any, Any], Any]
    save: Callable[[Any], Any]
    dtype: str = "float64"  # to which tolerance it computes


def random(tree: Any, seed: int = 0) -> Any:
    """Normal numbers of the tree's shapes: every gate has its own."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.4, np.shape(leaf)), tree)


def of_jax(tree: Any, run: Callable[[Any, Any], Any], load: Any, save: Any, dtype: str = "float64") -> Peer:
    """A peer whose ``run`` is a function of JAX."""

    def loss(weights: Any, xs: Any, ys: Any) -> Any:
        return jnp.sum(run(weights, xs) * ys)

    return Peer(random(tree), jit(run), jit(jax.grad(loss, argnums=(0, 1))), load, save, dtype)


def torch(net: Net) -> Peer:
    library = pytest.importorskip("torch", reason="PyTorch is not installed; the peers need recurrax[bench]")
    kind = {"nonlinearity": "relu"} if net.kind == "RNN relu" else {}
    kind |= {"proj_size": P} if net.kind == "LSTM projected" else {}
    module = getattr(library.nn, net.kind.split()[0])(
        D, H, net.layers, bias=net.bias, batch_first=True, bidirectional=net.both, dtype=library.float64, **kind
    )

    def outputs(weights: Any, xs: Any) -> Any:
        module.load_state_dict({name: library.from_numpy(np.array(array)) for name, array in weights.items()})
        return module(xs)[0]

    def run(weights: Any, xs: np.ndarray) -> np.ndarray:
        with library.no_grad():
            return outputs(weights, library.from_numpy(xs)).numpy()

    def gradient(weights: Any, xs: np.ndarray, ys: np.ndarray) -> Any:
        inputs = library.from_numpy(xs).requires_grad_()
        module.zero_grad()
        (outputs(weights, inputs) * library.from_numpy(ys)).sum().backward()
        return {name: p.grad.numpy() for name, p in module.named_parameters()}, inputs.grad.numpy()

    weights = random({name: array.numpy() for name, array in module.state_dict().items()})
    return Peer(weights, run, gradient, interop.from_torch, functools.partial(interop.to_torch, bias=net.bias))


def keras_library() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    library = pytest.importorskip("keras", reason="Keras is not installed; the peers need recurrax[bench]")
    if library.backend.backend() != "jax":
        pytest.skip(f"Keras runs on {library.backend.backend()} here; set KERAS_BACKEND=jax")
    return library


def keras(net: Net) -> Peer:
    library = keras_library()
    name = {"RNN": "SimpleRNN"}.get(net.kind.split()[0], net.kind.split()[0])
    options: dict[str, Any] = {"return_sequences": True, "use_bias": net.bias}
    options |= {"activation": "relu"} if net.kind == "RNN relu" else {}
    options |= {"reset_after": net.kind == "GRU"} if name == "GRU" else {}
    make = functools.partial(getattr(library.layers, name), H, **options)
    layers = [library.layers.Bidirectional(make()) if net.both else make() for _ in range(net.layers)]
    model = library.Sequential([library.Input((None, D)), *layers])
    rest = [variable.value for variable in model.non_trainable_variables]

    def run(weights: Any, xs: Any) -> Any:
        return model.stateless_call(weights, rest, xs)[0]

    save = functools.partial(interop.to_keras, bias=net.bias)
    return of_jax(model.get_weights(), run, interop.from_keras, save, "float32")


def linen(net: Net) -> Peer:
    library = flax.linen
    make = {"RNN": library.SimpleCell, "GRU": library.GRUCell, "LSTM": library.LSTMCell}.get(net.kind)
    make = library.OptimizedLSTMCell if net.kind == "LSTM optimized" else make

    def layer() -> Any:
        assert make is not None
        one = [library.RNN(make(H, dtype=jnp.float64, param_dtype=jnp.float64)) for _ in range(1 + net.both)]
        return library.Bidirectional(*one) if net.both else one[0]

    module = library.Sequential([layer() for _ in range(net.layers)]) if net.layers > 1 else layer()
    tree = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((B, T, D)))

    def run(weights: Any, xs: Any) -> Any:
        return module.apply(weights, xs)

    return of_jax(tree, run, interop.from_linen, lambda ours: {"params": interop.to_linen(ours)})


def of_nnx(net: Net) -> Peer:
    make = {
        "RNN": nnx.SimpleCell,
        "GRU": nnx.GRUCell,
        "LSTM": nnx.LSTMCell,
        "LSTM optimized": nnx.OptimizedLSTMCell,
    }[net.kind]

    def layer(size: int) -> Any:
        options: dict[str, Any] = {"dtype": jnp.float64, "param_dtype": jnp.float64, "rngs": nnx.Rngs(0)}
        one = [nnx.RNN(make(size, H, **options), rngs=nnx.Rngs(0)) for _ in range(1 + net.both)]
        return nnx.Bidirectional(*one, rngs=nnx.Rngs(0)) if net.both else one[0]

    layers = [layer(D if number == 0 else H * (1 + net.both)) for number in range(net.layers)]
    module = nnx.Sequential(*layers) if net.layers > 1 else layers[0]
    graph, params, rest = nnx.split(module, nnx.Param, ...)
    others, kind = jax.tree.flatten(rest)

    def run(weights: Any, xs: Any) -> Any:
        state = jax.tree.map(lambda leaf: leaf, params)
        nnx.replace_by_pure_dict(state, weights)
        return nnx.merge(graph, state, jax.tree.unflatten(kind, others), copy=True)(xs)

    save = functools.partial(interop.to_nnx, optimized=net.kind == "LSTM optimized")
    return of_jax(nnx.to_pure_dict(params), run, interop.from_nnx, save)


def haiku(net: Net) -> Peer:
    library = pytest.importorskip("haiku", reason="Haiku is not installed; the peers need recurrax[bench]")
    make = {"RNN relu": library.VanillaRNN, "LSTM": library.LSTM, "GRU reset before": library.GRU}[net.kind]
    make = functools.partial(make, H, **({} if net.bias else {"double_bias": False}))

    def whole(xs: Any) -> Any:
        for _ in range(net.layers):
            cores = [make() for _ in range(1 + net.both)]
            start = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), cores[0].initial_state(len(xs)))
            ys = [library.dynamic_unroll(cores[0], xs, start, time_major=False)[0]]
            if net.both:
                back = library.dynamic_unroll(cores[1], jnp.flip(xs, 1), start, time_major=False)[0]
                ys.append(jnp.flip(back, 1))
            xs = jnp.concatenate(ys, -1)
        return xs

    pure = library.without_apply_rng(library.transform(whole))
    tree = jax.eval_shape(pure.init, jax.random.key(0), jax.ShapeDtypeStruct((B, T, D), jnp.float64))
    return of_jax(tree, pure.apply, interop.from_haiku, interop.to_haiku)


def equinox(net: Net) -> Peer:
    library = pytest.importorskip("equinox", reason="Equinox is not installed; the peers need recurrax[bench]")
    make = {"GRU": library.nn.GRUCell, "LSTM": library.nn.LSTMCell}[net.kind]
    sizes = [D if number == 0 else H * (1 + net.both) for number in range(net.layers) for _ in range(1 + net.both)]
    cells = [make(size, H, use_bias=net.bias, dtype=jnp.float64, key=jax.random.key(0)) for size in sizes]
    names = [[name for name in interop.equinox.FIELDS if getattr(cell, name, None) is not None] for cell in cells]

    def loaded(cell: Any, arrays: Any) -> Any:
        return library.tree_at(lambda one: [getattr(one, name) for name in arrays], cell, list(arrays.values()))

    def one(cell: Any, xs: Any) -> Any:
        start = jnp.zeros((len(xs), H))

        def step(carry: Any, x: Any) -> Any:
            carry = jax.vmap(cell)(x, carry)
            return carry, carry[0] if net.kind == "LSTM" else carry

        first = (start, start) if net.kind == "LSTM" else start
        return jnp.swapaxes(jax.lax.scan(step, first, jnp.swapaxes(xs, 0, 1))[1], 0, 1)

    def run(weights: Any, xs: Any) -> Any:
        modules = [loaded(cell, arrays) for cell, arrays in zip(cells, weights, strict=True)]
        for forward, *backward in zip(*[iter(modules)] * (1 + net.both), strict=True):
            back = [jnp.flip(one(cell, jnp.flip(xs, 1)), 1) for cell in backward]
            xs = jnp.concatenate([one(forward, xs), *back], -1)
        return xs

    tree = [{name: getattr(cell, name) for name in mine} for cell, mine in zip(cells, names, strict=True)]
    return of_jax(tree, run, interop.from_equinox, functools.partial(interop.to_equinox, bias=net.bias))


# Of each library the kinds of cells that it has, and whether its layers may have no biases.
LIBRARIES: dict[str, tuple[Callable[[Net], Peer], tuple[str, ...], tuple[str, ...]]] = {
    "torch": (torch, ("RNN", "RNN relu", "LSTM", "LSTM projected", "GRU"), ("RNN", "LSTM", "GRU")),
    "keras": (keras, ("RNN", "LSTM", "GRU", "GRU reset before"), ("RNN", "LSTM", "GRU", "GRU reset before")),
    "linen": (linen, ("RNN", "LSTM", "LSTM optimized", "GRU"), ()),
    "nnx": (of_nnx, ("RNN", "LSTM", "LSTM optimized", "GRU"), ()),
    "haiku": (haiku, ("RNN relu", "LSTM", "GRU reset before"), ("RNN relu",)),
    "equinox": (equinox, ("LSTM", "GRU"), ("LSTM", "GRU")),
}
