"""Equinox weights, as mappings of the fields of its modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recurrax.interop.mapping import Key, array_of, load, save
from recurrax.interop.parts import Part, parts_of
from recurrax.interop.slots import EQUINOX, Slot

FIELDS = ("weight", "weight_ih", "weight_hh", "bias", "bias_n")


def from_equinox(layer: Any, weights: Any) -> Any:
    """A layer with the weights of ``eqx.nn.LSTMCell`` or ``eqx.nn.GRUCell``; Equinox has no plain recurrent cell.

    Args:
        layer: a cell, `RNN`, `Bidirectional` or `Stack`, or a `SequenceModel` for ``eqx.nn.Embedding``, such cells and
            ``eqx.nn.Linear``.
        weights: the Equinox module, or a mapping with the names of its fields. For several cells, a sequence of them in
            the order of the computation: the embedding, then the cells from the lowest layer, forward before backward,
            then the linear map.

    Returns:
        A new layer; its parameters keep their dtype.

    Raises:
        ValueError: an array is missing or unread, a shape is wrong, or Equinox has no such cell.
        TypeError: the layer cannot be converted.
    """
    modules = weights if isinstance(weights, Sequence) else [weights]
    count = len(parts_of(layer, EQUINOX))
    if len(modules) != count:
        raise ValueError(
            f"there are {len(modules)} modules; allowed: {count} for this layer. Give those of all layers and "
            "directions in one sequence."
        )
    given = {
        f"{number}/{name}": array_of(name, array)
        for number, module in enumerate(modules)
        for name, array in _fields(module).items()
    }
    return load(layer, EQUINOX, given, _key(layer))


def to_equinox(layer: Any, *, bias: bool = True) -> list[dict[str, np.ndarray]]:
    """The fields of the Equinox modules with the same outputs: a list with one mapping for each.

    To load them::

        values = [jnp.asarray(array) for array in arrays.values()]
        cell = eqx.tree_at(lambda cell: [getattr(cell, name) for name in arrays], cell, values)

    Args:
        layer: see `from_equinox`.
        bias: False for cells built with ``use_bias=False``; the layer's biases must then be 0.

    Raises:
        ValueError: Equinox has no such cell, or a bias would be lost.
        TypeError: the layer cannot be converted.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in save(layer, EQUINOX, _key(layer), bias).items():
        number, _, field = name.partition("/")
        found.setdefault(number, {})[field] = array
    return list(found.values())


def _key(layer: Any) -> Key:
    numbers = {part.place: number for number, part in enumerate(parts_of(layer, EQUINOX))}

    def key(part: Part, slot: Slot) -> str:
        return f"{numbers[part.place]}/{slot.name}"

    return key


def _fields(module: Any) -> Mapping[str, Any]:
    if isinstance(module, Mapping):
        return module
    return {name: value for name in FIELDS if (value := getattr(module, name, None)) is not None}
