"""The leaves of a model by name, and how each is kept in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recurrax.storage.description import describe, kind

MODES = ("backend", "deterministic", "use_running_average")  # how a model is run at the moment, not what it is
NUMBERS = (bool, int, float, complex, np.generic)
Model = Any  # a Flax module, or another pytree of arrays and numbers


def structure(model: Model) -> Any:
    """What a model is without its numbers and without how it is run at the moment, in plain values."""

    def without_modes(told: Any) -> Any:
        if isinstance(told, list):
            return [without_modes(part) for part in told]
        if not isinstance(told, dict):
            return told
        library = str(told.get("class", "")).startswith(("recurrax.", "flax."))
        return {key: without_modes(part) for key, part in told.items() if not (library and key in MODES)}

    if not _is_graph(model):
        model = jax.tree.map(lambda leaf: type(leaf).__name__ if isinstance(leaf, NUMBERS) else leaf, model)
    return without_modes(describe(model, values=False))


def named_leaves(model: Model) -> dict[str, Any]:
    """The arrays and numbers of a model by the attributes on the path to them, e.g. ``layer.cell.kernel``."""
    found: dict[str, Any] = {}
    for path, _, value in places(_state(model)):
        name = ".".join(quote(step, safe="") for step in path)
        found[f"{name}#{len(found)}" if name in found else name] = value
    return found


def places(tree: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The leaves of a tree in order: the names on the path to each, the variable that holds it (or itself), itself."""
    for path, holder in jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_variable)[0]:
        for inner, value in jax.tree_util.tree_flatten_with_path(holder)[0]:
            inner = () if _is_variable(holder) and len(inner) == 1 else inner  # how Flax names a variable's array
            yield tuple(map(entry_name, (*path, *inner))) or ("model",), holder, value


def with_leaves(model: Model, leaves: list[Any]) -> Model:
    """A new model with other arrays, in the order of `named_leaves`."""
    if not _is_graph(model):
        return jax.tree.unflatten(jax.tree.structure(model), leaves)
    graph, state = nnx.split(model)
    return nnx.merge(graph, jax.tree.unflatten(jax.tree.structure(state), leaves))


def _state(model: Model) -> Any:
    return nnx.state(model) if _is_graph(model) else model


def _is_graph(model: Model) -> bool:
    """Whether two attributes hold one variable, which is then one leaf, or a module is not a pytree."""
    nodes = jax.tree.leaves(model, is_leaf=_is_variable)
    variables = [id(node) for node in nodes if _is_variable(node)]
    return len(set(variables)) < len(variables) or any(isinstance(node, nnx.Module) for node in nodes)


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)


def entry_name(step: Any) -> str:
    """The attribute, key or number that a step of JAX's path stands for."""
    return str(getattr(step, "name", getattr(step, "key", getattr(step, "idx", step))))


def kind_of(leaf: Any) -> str:
    """Dtype and shape of an array, the type of a number."""
    return kind(leaf) if hasattr(leaf, "dtype") else type(leaf).__name__


def stored(name: str, leaf: Any) -> tuple[Any, str | None]:
    """A leaf as Orbax takes it, and of random keys the generator."""
    if isinstance(leaf, NUMBERS):
        return np.asarray(leaf), None
    if not isinstance(leaf, jax.Array | np.ndarray) or leaf.dtype == object:
        raise TypeError(
            f"model.{name} is {type(leaf).__name__}; allowed: arrays, random keys and numbers. Save a model that is "
            "built, without other leaves (nnx.eval_shape makes an abstract one)."
        )
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(leaf), str(jax.random.key_impl(leaf))
    return leaf, None


def template(leaf: Any) -> Any:
    """What tells Orbax dtype, shape and place of a leaf."""
    if not isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
        return np.zeros_like(np.asarray(leaf))
    sharding = leaf.sharding or jnp.zeros(()).sharding
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def restored(leaf: Any, array: Any, generator: str | None) -> Any:
    """The array as what stands in its place in ``like``."""
    if generator is not None:
        return jax.random.wrap_key_data(array, impl=generator)
    if isinstance(leaf, np.generic):
        return array[()]
    return array if hasattr(leaf, "dtype") else type(leaf)(array.item())
