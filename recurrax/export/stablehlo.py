"""Exports any model as StableHLO, JAX's portable program format."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from recurrax.cell import Cell
from recurrax.layers import RNN, SequenceModel


def to_stablehlo(
    model: Any, *, stream: bool = False, lengths: bool = False, platforms: Sequence[str] | None = None
) -> bytes:
    """Exports a model with its weights as a program that needs only JAX, for any batch size and number of steps.

    After ``import jax.export``, ``jax.export.deserialize(bytearray(program)).call(inputs)`` runs it, even without
    recurrax, with the same JAX version or a newer one (JAX guarantees half a year of compatibility). With ``lengths``
    the call is ``call(inputs, seq_lengths)``. With ``stream`` it is one step, from ``call(carry, inputs, reset)`` to
    ``(carry, outputs)``; if ``reset`` is true, the step starts from the initial carry and ignores ``carry``, so the
    first call may pass zeros. The shapes are in ``.in_avals``, in the order of the arguments.

        inputs          float32 [batch, time, D], or int32 tokens [batch, time]; a step has no time axis
        seq_lengths     int32 [batch]
        reset           bool [batch]

    Args:
        model: a `SequenceModel`, `Stack`, `RNN`, `Bidirectional`, `Block`, or any cell.
        stream: export one step.
        lengths: add the argument ``seq_lengths``.
        platforms: target platforms, some of "cpu", "cuda", "rocm" and "tpu"; None means the platform of this process.

    Raises:
        ImportError: flatbuffers is not installed.
        TypeError: the model is neither a layer nor a cell.
        ValueError: ``stream`` is used with a reversed layer or with ``lengths``; or the layer does not know its
            ``in_features``, has several feature axes, or is time-major.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError('to_stablehlo needs flatbuffers, which is not installed: pip install "recurrax[export]"')
    layer = RNN(model) if isinstance(model, Cell) else model
    _check(layer, stream, lengths)
    batch, time = jax.export.symbolic_shape("batch, time")
    axes = (batch,) if stream else (batch, time)
    tokens = isinstance(layer, SequenceModel) and layer.embed is not None
    inner = layer.layer if isinstance(layer, SequenceModel) else layer
    xs = jax.ShapeDtypeStruct(axes if tokens else (*axes, inner.in_features), jnp.int32 if tokens else jnp.float32)
    flags = jax.ShapeDtypeStruct((batch,), jnp.bool_ if stream else jnp.int32)
    if stream:
        function, carry = _step(layer, batch)
        arguments: tuple[Any, ...] = (carry, xs, flags)
    else:
        function, arguments = _whole(layer), (xs, flags) if lengths else (xs,)
    exported = jax.export.export(jax.jit(function), platforms=platforms)(*arguments)
    return bytes(exported.serialize())


def _check(layer: Any, stream: bool, lengths: bool) -> None:
    inner = layer.layer if isinstance(layer, SequenceModel) else layer
    if not hasattr(inner, "initialize_carry") or not hasattr(inner, "in_features"):
        raise TypeError(
            f"got {type(layer).__name__}; allowed: a cell, RNN, Bidirectional, Block, Stack or SequenceModel. Export "
            "other functions with jax.export itself."
        )
    if stream and lengths:
        raise ValueError("stream=True with lengths=True; allowed: one of the two, as a step has no length.")
    if inner.time_major:
        raise ValueError("the layer is time-major; allowed: a batch-major one. Build it with time_major=False.")
    if inner.in_features is None or getattr(inner, "num_feature_axes", 1) != 1:
        raise ValueError(
            "the layer does not know its in_features, or its inputs have several feature axes; allowed: a cell with "
            "in_features and inputs [batch, time, D]. Export it with jax.export itself, for shapes of your own."
        )


def _whole(layer: Any) -> Any:
    def whole(inputs: jax.Array, seq_lengths: jax.Array | None = None) -> jax.Array:
        outputs = layer(inputs, seq_lengths=seq_lengths, return_carry=True)[1]
        return outputs

    return whole


def _step(layer: Any, batch: Any) -> tuple[Any, Any]:
    """The step, and the shapes of its carry."""

    def start(size: Any) -> Any:
        if isinstance(layer, SequenceModel):
            return layer.initialize_carry((size,))
        return layer.initialize_carry((size, layer.in_features))

    def step(carry: Any, inputs: jax.Array, reset: jax.Array) -> tuple[Any, jax.Array]:
        def choose(first: jax.Array, now: jax.Array) -> jax.Array:
            return jnp.where(reset.reshape(-1, *(1,) * (now.ndim - 1)), first, now)

        return layer.step(jax.tree.map(choose, start(inputs.shape[0]), carry), inputs)

    return step, jax.eval_shape(lambda: start(batch))
