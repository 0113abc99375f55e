"""Keras 3 weights, as the list from ``get_weights()``, or in a ``.weights.h5`` file."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.interop.mapping import Arrays, Key, array_of, load, save
from recurrax.interop.parts import Part, parts_of, shapes
from recurrax.interop.slots import KERAS, Slot

NAMES = {  # names of the layers in a file
    "RNN": "simple_rnn", "LSTM": "lstm", "GRU": "gru", "GRU reset before": "gru", "Linear": "dense",
    "Embed": "embedding",
}  # fmt: skip
OTHERS = ("optimizer", "seed_generator")  # in the paths of other contents of a file


def from_keras(layer: Any, weights: Any) -> Any:
    """A layer with the weights of Keras' ``SimpleRNN``, ``LSTM`` or ``GRU``, alone or in a model.

    The two biases of a GRU with ``reset_after=True`` are added, except for the candidate, whose second bias becomes
    ``recurrent_bias``. ``reset_after=False`` is the different recurrence of ``GRUCell(reset_after=False)``. A layer
    with ``use_bias=False`` gives biases of 0. Weights do not contain activations, directions and the merge of
    directions, so build the layer with Keras' settings. Keras' ``go_backwards`` is ``RNN(cell, reverse=True)``.

    Args:
        layer: a cell, `RNN`, `Bidirectional`, `Stack` (`LSTM`, `GRU` and `SimpleRNN` included) for several layers, or a
            `SequenceModel` for ``Sequential([Embedding, ..., Dense])``.
        weights: the result of ``get_weights()`` of the layer or model, an object with this method, or the path of a
            ``.weights.h5`` file of a Sequential or Functional model.

    Returns:
        A new layer; its parameters keep their dtype.

    Raises:
        ValueError: an array is missing or unread, a shape is wrong, or Keras has no such layer.
        TypeError: the layer cannot be converted.
        ImportError: a file is given, but h5py is not installed.
    """
    if isinstance(weights, str | Path):
        return load(layer, KERAS, _read(Path(weights)), _file_key(layer))
    weights = weights.get_weights() if hasattr(weights, "get_weights") else weights
    given = {f"weights[{index}]": array_of(f"weights[{index}]", array) for index, array in enumerate(weights)}
    return load(layer, KERAS, given, _list_key(layer, given))


def to_keras(layer: Any, path: str | Path | None = None, *, bias: bool = True) -> list[np.ndarray]:
    """The weights of the Keras layer or model with the same outputs, for its ``set_weights``.

    Args:
        layer: see `from_keras`.
        path: also writes a ``.weights.h5`` file for ``load_weights`` of a Sequential or Functional model.
        bias: False for recurrent layers built with ``use_bias=False``; the layer's biases must then be 0.

    Raises:
        ValueError: Keras has no such layer, or a bias would be lost.
        TypeError: the layer cannot be converted.
        ImportError: a path is given, but h5py is not installed.
    """
    if path is not None:
        with _h5py().File(path, "w") as file:
            for name, array in save(layer, KERAS, _file_key(layer), bias).items():
                file[name] = array
    counter = itertools.count()
    return list(save(layer, KERAS, lambda part, slot: str(next(counter)), bias).values())


def _list_key(layer: Any, given: Arrays) -> Key:
    """The positions of the arrays in Keras' list, which leaves out the biases of layers without bias.

    The list does not say which layers have no bias, so the first choice with the right length and shapes is used.
    """
    parts = parts_of(layer, KERAS)
    choices = []
    for recurrent, linear in itertools.product((True, False), repeat=2):
        places = [
            (part, slot)
            for part in parts
            for slot in KERAS.slots[part.variant]
            if not slot.optional or (recurrent if part.role == "layer" else linear)
        ]
        if len(places) == len(given):
            choices.append(places)
    if not choices:
        count = sum(len(KERAS.slots[part.variant]) for part in parts)
        raise ValueError(
            f"there are {len(given)} arrays; allowed: {count} for this layer, or fewer where recurrent layers or the "
            "head have no bias. Build the layer with as many layers and directions as the weights have."
        )

    def fits(places: Sequence[tuple[Part, Slot]]) -> bool:
        expected = [slot.pack(shapes(part), part.variant).shape for part, slot in places]
        return expected == [array.shape for array in given.values()]

    chosen = next((places for places in choices if fits(places)), choices[0])
    names = {(part.place, slot): name for (part, slot), name in zip(chosen, given, strict=True)}
    return lambda part, slot: names.get((part.place, slot), f"{part.label}: {slot.name}")


def _file_key(layer: Any) -> Key:
    """The paths in a file: Keras counts layers of the same class, ``lstm``, ``lstm_1``."""
    bases: dict[tuple[Any, ...], str] = {}
    counts: dict[str, int] = {}
    for part in parts_of(layer, KERAS):
        name = "bidirectional" if part.direction else NAMES[part.variant]
        if part.direction != "backward":
            counts[name] = counts.get(name, -1) + 1
        unique = f"{name}_{counts[name]}" if counts[name] else name
        inner = f"/{part.direction}_layer" if part.direction else ""
        bases[part.place] = f"layers/{unique}{inner}{'/cell' if part.role == 'layer' else ''}/vars"
    slots = KERAS.slots
    return lambda part, slot: f"{bases[part.place]}/{slots[part.variant].index(slot)}"


def _read(path: Path) -> Arrays:
    found: Arrays = {}
    h5py = _h5py()

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and not set(OTHERS) & set(name.split("/")):
            found[name] = node[...]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise ImportError("files of Keras need h5py, which is not installed: pip install h5py") from error
