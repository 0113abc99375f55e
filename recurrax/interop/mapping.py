"""Converts flat mappings of arrays to weights and back; every key must be read, and every shape is checked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from flax import nnx

from recurrax.interop.parts import ROLES, Part, copied, parts_of, put, shapes, weights
from recurrax.interop.slots import BIASES, Library, Slot

Arrays = dict[str, np.ndarray]
Key = Callable[[Part, Slot], str]  # the key of the array of a slot
Prefix = str | Mapping[str, str]
SHOWN = 6  # the number of keys that a message lists


def load(layer: Any, library: Library, given: Arrays, key: Key) -> Any:
    """A copy of a layer with the weights that another library has under these keys.

    Args:
        layer: cell, layer or model.
        library: the library whose tables to use.
        given: arrays by key, all of which must be read.
        key: function that gives the key of each array.

    Raises:
        ValueError: a key is missing or not read, or an array has another shape.
        TypeError: an array holds no real numbers.
    """
    layer = copied(layer)
    unread = dict.fromkeys(given)
    for part in parts_of(layer, library):
        found, names = shapes(part), {slot: key(part, slot) for slot in library.slots[part.variant]}
        for slot in _present(library, part, names, given):
            name = names[slot]
            array = checked(name, given[name], slot.pack(found, part.variant).shape, part)
            slot.unpack(array, found, part.variant)
            unread.pop(name, None)
        put(part, found)
    if unread:
        raise ValueError(
            f"{_listed(unread)} would not be read: the layer has no place for {'it' if len(unread) == 1 else 'them'}. "
            "Allowed: the arrays of this layer and no others. Build the layer with as many layers and directions as "
            "the weights have, or give the prefix of those that are meant."
        )
    return layer


def save(layer: Any, library: Library, key: Key, bias: bool = True) -> Arrays:
    """The arrays of another library for the layer's weights, in the same dtypes.

    Args:
        layer: cell, layer or model.
        library: the library whose tables to use.
        key: function that gives the key of each array.
        bias: whether the library's recurrent layers have biases.

    Raises:
        ValueError: the library has no place for a bias that is not 0.
    """
    found: Arrays = {}
    for part in parts_of(layer, library):
        values = weights(part)
        slots = [s for s in library.slots[part.variant] if bias or part.role != "layer" or not s.optional]
        _check_biases(part, values, slots, library)
        dtype = (part.module.embedding if part.variant == "Embed" else part.module.kernel).dtype
        for slot in slots:
            array = slot.pack(values, part.variant).astype(dtype)
            found[key(part, slot)] = np.ascontiguousarray(array)  # safetensors writes other arrays incorrectly
    return found


def prefixes(layer: Any, prefix: Prefix, separator: str) -> dict[str, str]:
    """The prefix of each role: the given prefix for a layer; for a model's parts, the names in `ROLES` by default.

    Raises:
        ValueError: the mapping has a key that is not a role.
    """
    if isinstance(prefix, Mapping):
        if wrong := set(prefix) - set(ROLES):
            raise ValueError(f"prefix has the keys {sorted(wrong)}; allowed: {', '.join(ROLES)}. Leave them out.")
        return {role: prefix.get(role, f"{role}{separator}") for role in ROLES}
    inner = hasattr(layer, "head")
    return {role: f"{prefix}{role}{separator}" if inner else prefix for role in ROLES}


def under(given: Mapping[str, Any], prefix: Prefix) -> Arrays:
    """The arrays below a prefix, or all arrays if each role has its own prefix."""
    start = prefix if isinstance(prefix, str) else ""
    found = {name: array_of(name, value) for name, value in given.items() if name.startswith(start)}
    if not found:
        raise ValueError(
            f"no key begins with {start!r}; there are {_listed(given)}. Allowed: the beginning of the layer's keys. "
            "Change the prefix."
        )
    return found


def flat(tree: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The arrays of nested mappings and sequences by path, ``a/b/0/c``."""
    if isinstance(tree, nnx.State):
        tree = nnx.to_pure_dict(tree)
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        items = enumerate(tree)
    else:
        return {"/".join(path): tree}
    return {name: leaf for step, inner in items for name, leaf in flat(inner, (*path, str(step))).items()}


def nested(arrays: Arrays) -> dict[Any, Any]:
    """The inverse of `flat`; a numeric part of a path becomes an int, as in Flax's trees."""
    tree: dict[Any, Any] = {}
    for name, array in arrays.items():
        *steps, last = (int(step) if step.isdigit() else step for step in name.split("/"))
        place = tree
        for step in steps:
            place = place.setdefault(step, {})
        place[last] = array
    return tree


def array_of(name: str, value: Any) -> np.ndarray:
    """Converts an array of any library to NumPy; a PyTorch tensor is copied to the host."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value  # NumPy has no such dtype
    if isinstance(value, nnx.Variable):
        value = value[...]
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(
            f"{name} is a {type(value).__name__}; allowed: an array. Give the mapping of arrays that the layer has."
        )
    return array


def checked(name: str, array: np.ndarray, expected: tuple[int, ...], part: Part) -> np.ndarray:
    """Checks the shape of an array and returns it in float64.

    Raises:
        ValueError: the array has another shape.
        TypeError: the array is complex.
    """
    if array.shape != expected:
        raise ValueError(
            f"{name} has shape {array.shape}; allowed: {expected}, for {part.label} with {_sizes(part)}."
            f"{_about_reset(array, part)} Build the layer with the sizes and the cell of the weights."
        )
    if np.iscomplexobj(array):
        raise TypeError(f"{name} has dtype {array.dtype}; allowed: real numbers. Give the weights of a real layer.")
    return array.astype(np.float64)


def _present(library: Library, part: Part, names: dict[Slot, str], given: Arrays) -> list[Slot]:
    """The slots of a part whose arrays are present: all, or all but biases.

    Raises:
        ValueError: another array is missing.
    """
    missing = [slot for slot in names if names[slot] not in given]
    without = {slot for slot in names if slot.optional}
    if set(missing) in (set(), without):
        return [slot for slot in names if slot not in missing]
    key = names[next(slot for slot in missing if not slot.optional or without - set(missing))]
    near = difflib.get_close_matches(key, given, n=3, cutoff=0.4) or list(given)[:SHOWN]
    raise ValueError(
        f"there is no {key!r}, which {part.label} needs in {library.name}; there are {_listed(near)}. Allowed: all "
        "arrays of the layer, under its keys. Build the layer as the weights' own, or give their prefix."
    )


def _check_biases(part: Part, values: dict[str, np.ndarray], slots: list[Slot], library: Library) -> None:
    """Raises ValueError if the library would lose a bias."""
    if "bias" not in values:
        return
    kept = {part: {gate for slot in slots if part in slot.parts for gate in slot.gates} for part in values}
    if not kept["bias"] and any(values[name].any() for name in BIASES if name in values):
        raise ValueError(
            f"{part.label} has a bias that is not 0, and bias=False leaves it out; allowed: biases that are 0. "
            "Use bias=True."
        )
    if part.variant == "GRU" and "n" not in kept["second_bias"] and values["second_bias"].any():
        raise ValueError(
            f"{part.label} has a recurrent_bias b_hn that is not 0, and the GRU of {library.name} has no place for it: "
            "the reset gate multiplies it, so it cannot be added to the other bias. Allowed: recurrent_bias of 0. Use "
            "a library whose GRU has it, such as flax.linen, PyTorch or Keras."
        )


def _sizes(part: Part) -> str:
    names = ("in_features", "hidden_features", "projection_features", "num_embeddings", "features", "out_features")
    found = {name: vars(part.module)[name] for name in names if isinstance(vars(part.module).get(name), int)}
    return ", ".join(f"{name}={size}" for name, size in found.items())


def _about_reset(array: np.ndarray, part: Part) -> str:
    """A hint derived from the shape of the bias of Keras' GRU."""
    H = getattr(part.module, "hidden_features", None)
    if part.variant == "GRU" and array.shape == (3 * (H or 0),):
        return " A bias of one axis is that of reset_after=False in Keras: build GRUCell with reset_after=False."
    if part.variant == "GRU reset before" and array.shape == (2, 3 * (H or 0)):
        return " A bias of two rows is that of reset_after=True in Keras: build GRUCell with reset_after=True."
    return ""


def _listed(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
