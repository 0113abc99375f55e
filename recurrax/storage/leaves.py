"""The leaves of a model by name, and their form in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recurrax.storage.description import describe, kind

MODES = ("backend", "deterministic", "use_running_average")  # attributes that say how a model is run, not what it is
NUMBERS = (bool, int, float, complex, np.generic)
Model = Any  # a Flax module, or another pytree of arrays and numbers


def structure(model: Model) -> Any:
    """The structure of a model in plain values, without its numbers and its mode."""

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
    """The arrays and numbers of a model by their paths of attributes, e.g. ``layer.cell.kernel``."""
    found: dict[str, Any] = {}
    for path, _, value in places(_state(model)):
        name = ".".join(quote(step, safe="") for step in path)
        found[f"{name}#{len(found)}" if name in found else name] = value
    return found


def places(tree: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The leaves of a tree in order: the path of names, the variable that holds it (or itself), and the leaf."""
    for path, holder in jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_variable)[0]:
        for inner, value in jax.tree_util.tree_flatten_with_path(holder)[0]:
            inner = () if _is_variable(holder) and len(inner) == 1 else inner  # Flax's name for a variable's array
            yield tuple(map(entry_name, (*path, *inner))) or ("model",), holder, value


def with_leaves(model: Model, leaves: list[Any]) -> Model:
    """A new model with other arrays, given in the order of `named_leaves`."""
    if not _is_graph(model):
        return jax.tree.unflatten(jax.tree.structure(model), leaves)
    graph, state = nnx.split(model)
    return nnx.merge(graph, jax.tree.unflatten(jax.tree.structure(state), leaves))


def _state(model: Model) -> Any:
    return nnx.state(model) if _is_graph(model) else model


def _is_graph(model: Model) -> bool:
    """Whether two attributes share a variable, which is then one leaf, or a module is not a pytree."""
    nodes = jax.tree.leaves(model, is_leaf=_is_variable)
    variables = [id(node) for node in nodes if _is_variable(node)]
    return len(set(variables)) < len(variables) or any(isinstance(node, nnx.Module) for node in nodes)


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)


def entry_name(step: Any) -> str:
    """The attribute, key or index of an entry of a JAX path."""
    return str(getattr(step, "name", getattr(step, "key", getattr(step, "idx", step))))


def kind_of(leaf: Any) -> str:
    """The dtype and shape of an array, or the type of a number."""
    return kind(leaf) if hasattr(leaf, "dtype") else type(leaf).__name__


def stored(name: str, leaf: Any) -> tuple[Any, str | None]:
    """A leaf in a form that Orbax accepts, and the generator of random keys."""
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
    """A template that gives Orbax the dtype, shape and sharding of a leaf."""
    if not isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
        return np.zeros_like(np.asarray(leaf))
    sharding = leaf.sharding or jnp.zeros(()).sharding
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def restored(leaf: Any, array: Any, generator: str | None) -> Any:
    """The array converted to the kind of leaf in ``like``."""
    if generator is not None:
        return jax.random.wrap_key_data(array, impl=generator)
    if isinstance(leaf, np.generic):
        return array[()]
    return array if hasattr(leaf, "dtype") else type(leaf)(array.item())
