"""Flax weights, linen and nnx, as nested mappings."""

from __future__ import annotations

from typing import Any

from flax import nnx

from recurrax.interop.mapping import Key, Prefix, flat, load, nested, prefixes, save, under
from recurrax.interop.parts import Part
from recurrax.interop.slots import LINEN, NNX, NNX_OPTIMIZED, Slot


def from_linen(layer: Any, weights: Any, *, prefix: Prefix = "") -> Any:
    """A layer with the weights of ``flax.linen``.

    Args:
        layer: a cell for the parameters of ``nn.SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` (whose parameters
            are the same) or ``GRUCell``; `RNN` for ``nn.RNN``, `Bidirectional` for ``nn.Bidirectional``, `Stack` for
            ``nn.Sequential`` of these; or a `SequenceModel` for a module whose attributes ``embed``, ``layer`` and
            ``head`` are an Embed, one of those and a Dense.
        weights: the variables ``{"params": ...}`` or the parameters alone.
        prefix: the path to the layer's parameters, such as ``"encoder/"``; other parameters are ignored. A mapping with
            the keys embed, layer and head gives the path of each part of a model.

    Returns:
        A new layer; its parameters keep their dtype.

    Raises:
        ValueError: a parameter is missing or unread, a shape is wrong, or linen has no such layer.
        TypeError: the layer cannot be converted.
    """
    weights = weights["params"] if set(weights) == {"params"} else weights
    return load(layer, LINEN, under(flat(weights), prefix), _key(layer, prefix, "layers_"))


def to_linen(layer: Any, *, prefix: Prefix = "") -> dict[str, Any]:
    """The parameters of the ``flax.linen`` module with the same outputs, for ``module.apply({"params": ...}, xs)``.

    Arguments and errors are those of `from_linen`; the result is nested as its ``weights``.
    """
    return nested(save(layer, LINEN, _key(layer, prefix, "layers_")))


def from_nnx(layer: Any, weights: Any, *, prefix: Prefix = "") -> Any:
    """A layer with the weights of ``flax.nnx``.

    ``nnx.GRUCell`` has no recurrent bias b_hn, so b_hn becomes 0.

    Args:
        layer: a cell for the state of ``nnx.SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` or ``GRUCell``; `RNN`
            for ``nnx.RNN``, `Bidirectional` for ``nnx.Bidirectional``, `Stack` for ``nnx.Sequential`` of these; or a
            `SequenceModel`, see `from_linen`.
        weights: the module, its ``nnx.state``, or that as plain mappings.
        prefix: see `from_linen`.

    Returns:
        A new layer; its parameters keep their dtype.

    Raises:
        ValueError: a parameter is missing or unread, a shape is wrong, or nnx has no such layer.
        TypeError: the layer cannot be converted.
    """
    weights = nnx.state(weights, nnx.Param) if isinstance(weights, nnx.Module) else weights
    given = under(flat(weights), prefix)
    optimized = any(name.endswith("dense_h/bias") for name in given)
    return load(layer, NNX_OPTIMIZED if optimized else NNX, given, _key(layer, prefix, "layers/"))


def to_nnx(layer: Any, *, prefix: Prefix = "", optimized: bool = False) -> dict[Any, Any]:
    """The state of the ``flax.nnx`` module with the same outputs, as nested mappings.

    To load it::

        state = nnx.state(module)
        nnx.replace_by_pure_dict(state, to_nnx(layer))
        nnx.update(module, state)

    Args:
        layer: see `from_nnx`.
        prefix: see `from_linen`.
        optimized: whether LSTMs are ``nnx.OptimizedLSTMCell``, with one matrix for all gates.

    Raises:
        ValueError: nnx has no such layer; its GRU cannot hold a ``recurrent_bias`` other than 0.
        TypeError: the layer cannot be converted.
    """
    return nested(save(layer, NNX_OPTIMIZED if optimized else NNX, _key(layer, prefix, "layers/")))


def _key(layer: Any, prefix: Prefix, layers: str) -> Key:
    starts = prefixes(layer, prefix, "/")

    def key(part: Part, slot: Slot) -> str:
        if part.role != "layer" or part.alone:
            return f"{starts[part.role]}{slot.name}"
        stack = f"{layers}{part.layer}/" if part.layers > 1 else ""
        direction = f"{part.direction}_rnn/" if part.direction else ""
        return f"{starts['layer']}{stack}{direction}cell/{slot.name}"

    return key
