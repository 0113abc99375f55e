"""PyTorch weights, as the mapping from ``state_dict()``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.interop.mapping import Key, Prefix, load, prefixes, save, under
from recurrax.interop.parts import Part, check_directions
from recurrax.interop.slots import TORCH, Slot


def from_torch(layer: Any, weights: Any, *, prefix: Prefix = "") -> Any:
    r"""A layer with the weights of PyTorch's ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, or of one of their cells.

    PyTorch has two biases for each gate. Only their sum matters, :math:`b = b_{ih} + b_{hh}`, except for the GRU's
    candidate: there the reset gate multiplies :math:`b_{hn}`, which becomes ``recurrent_bias``. A layer with
    ``bias=False`` gives biases of 0.

    Args:
        layer: a cell (for ``nn.LSTMCell``), `RNN`, `Bidirectional`, `Stack` (`LSTM`, `GRU` and `SimpleRNN` included)
            with as many layers and directions, or a `SequenceModel`. For ``proj_size`` use
            `recurrax.cells.ProjectedLSTMCell`.
        weights: a ``state_dict``, a module that has one, or the path of a safetensors file. Arrays may be NumPy arrays.
        prefix: the common prefix of the layer's keys, such as ``"encoder.lstm."``; other keys are ignored. The keys of
            a model continue with ``embed.``, ``layer.`` and ``head.``; a mapping of these three words gives other
            prefixes, as in ``{"layer": "lstm.", "head": "fc."}``.

    Returns:
        A new layer; its parameters keep their dtype.

    Raises:
        ValueError: a key is missing or unread, a shape is wrong, or PyTorch has no such layer.
        TypeError: the layer cannot be converted.
        ImportError: a safetensors file is given, but the package is not installed.
    """
    check_directions(layer, TORCH)
    return load(layer, TORCH, under(_state_dict(weights), prefix), _key(layer, prefix))


def to_torch(layer: Any, *, prefix: Prefix = "", bias: bool = True) -> dict[str, np.ndarray]:
    """The ``state_dict`` of the PyTorch module with the same outputs, as NumPy arrays.

    ``bias_ih`` holds the sum of the two biases; ``bias_hh`` is 0 except for b_hn of the GRU. To load it:
    ``module.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})``, and to save it:
    ``safetensors.numpy.save_file(arrays, path)``. A plain network with relu is ``nn.RNN(nonlinearity="relu")``, and
    PyTorch's layers are batch-major with ``batch_first=True``.

    Args:
        layer: see `from_torch`.
        prefix: see `from_torch`.
        bias: False for recurrent modules built with ``bias=False``; the layer's biases must then be 0.

    Raises:
        ValueError: PyTorch has no such layer, or a bias would be lost.
        TypeError: the layer cannot be converted.
    """
    check_directions(layer, TORCH)
    return save(layer, TORCH, _key(layer, prefix), bias)


def _key(layer: Any, prefix: Prefix) -> Key:
    starts = prefixes(layer, prefix, ".")

    def key(part: Part, slot: Slot) -> str:
        if part.role != "layer" or part.alone:
            return f"{starts[part.role]}{slot.name}"
        reverse = "_reverse" if part.direction == "backward" else ""
        return f"{starts['layer']}{slot.name}_l{part.layer}{reverse}"

    return key


def _state_dict(weights: Any) -> Mapping[str, Any]:
    if hasattr(weights, "state_dict"):
        return weights.state_dict()
    if isinstance(weights, str | Path):
        try:
            reader = importlib.import_module("safetensors.numpy")
        except ImportError as error:
            raise ImportError(
                f"reading {weights} needs safetensors, which is not installed: pip install safetensors"
            ) from error
        return reader.load_file(weights)
    return weights
