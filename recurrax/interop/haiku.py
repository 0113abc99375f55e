"""Haiku weights, as the mapping ``{module: {name: array}}`` that ``init`` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recurrax.interop.mapping import Key, flat, load, save, under
from recurrax.interop.parts import parts_of
from recurrax.interop.slots import HAIKU

NAMES = {  # default names of modules
    "RNN": "vanilla_rnn", "LSTM": "lstm", "GRU reset before": "gru", "Linear": "linear", "Embed": "embed",
}  # fmt: skip


def from_haiku(layer: Any, weights: Mapping[str, Any], *, prefix: str = "", modules: Sequence[str] = ()) -> Any:
    """A layer with the weights of Haiku's ``VanillaRNN``, ``LSTM`` or ``GRU``.

    Haiku's plain network uses relu, its LSTM adds 1 to the forget gate's bias at run time, and its GRU is
    ``GRUCell(reset_after=False)`` with 1 - z for our z. All three are converted; other cells are refused.

    Args:
        layer: a cell, `RNN`, `Bidirectional` or `Stack`, or a `SequenceModel` for ``hk.Embed``, such cores and
            ``hk.Linear``.
        weights: the parameters that the transformed function's ``init`` returns.
        prefix: the common prefix of the module names, such as ``"my_model/~/"``; other modules are ignored.
        modules: the names of the modules after the prefix, in the order of the computation: the embedding, then the
            cores from the lowest layer, forward before backward, then the linear map. The default is Haiku's own names,
            ``lstm``, ``lstm_1`` and so on.

    Returns:
        A new layer; its parameters keep their dtype.

    Raises:
        ValueError: an array is missing or unread, a shape is wrong, or Haiku has no such layer.
        TypeError: the layer cannot be converted.
    """
    return load(layer, HAIKU, under(flat(weights), prefix), _key(layer, prefix, modules))


def to_haiku(layer: Any, *, prefix: str = "", modules: Sequence[str] = ()) -> dict[str, dict[str, np.ndarray]]:
    """The parameters of the Haiku modules with the same outputs.

    Arguments and errors are those of `from_haiku`; the result is nested as its ``weights``.
    """
    tree: dict[str, dict[str, np.ndarray]] = {}
    for name, array in save(layer, HAIKU, _key(layer, prefix, modules)).items():
        module, _, last = name.rpartition("/")
        tree.setdefault(module, {})[last] = array
    return tree


def _key(layer: Any, prefix: str, modules: Sequence[str]) -> Key:
    parts = parts_of(layer, HAIKU)
    if modules and len(modules) != len(parts):
        raise ValueError(
            f"modules={list(modules)} has {len(modules)} names; allowed: one for each of the {len(parts)} parts, "
            f"{', '.join(part.label for part in parts)}. Give them in this order."
        )
    counts: dict[str, int] = {}
    names: dict[Any, str] = {}
    for part in parts:
        name = NAMES[part.variant]
        counts[name] = counts.get(name, -1) + 1
        names[part.place] = f"{name}_{counts[name]}" if counts[name] else name
    names |= {part.place: name for part, name in zip(parts, modules, strict=False)}
    return lambda part, slot: f"{prefix}{names[part.place]}/{slot.name}"
