"""Exports models of LSTM, GRU and plain layers to ONNX, with one recurrent operator for each layer."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from recurrax.cell import Cell
from recurrax.export.graph import Graph
from recurrax.interop.parts import Part, behaves_like, check_directions, parts_of, weights
from recurrax.interop.slots import ONNX
from recurrax.layers import RNN, SequenceModel, Stack

STATES = {"RNN": ("h",), "GRU": ("h",), "LSTM": ("h", "c")}  # outputs of the operators
FUNCTIONS = {  # activations of each operator, in its order
    "RNN": ("activation_fn",), "GRU": ("gate_fn", "activation_fn"),
    "LSTM": ("gate_fn", "activation_fn", "activation_fn"),
}  # fmt: skip
ACTIVATIONS = {
    "Sigmoid": jax.nn.sigmoid, "Tanh": jax.nn.tanh, "Relu": jax.nn.relu, "Softsign": jax.nn.soft_sign,
    "Softplus": jax.nn.softplus,
}  # fmt: skip


def to_onnx(model: Any, *, stream: bool = False, lengths: bool = False) -> Any:
    """Exports a model to ONNX in float32, e.g. for `onnxruntime`; save it with ``onnx.save(exported, path)``.

    Batch size and number of steps are free. Inputs and outputs:

        inputs                  float32 [batch, time, D], or int64 tokens [batch, time]
        seq_lengths             int32 [batch], only with ``lengths``
        outputs                 float32 [batch, time, O], or [batch, O] if the model reads the last step

    With ``stream`` it is one step with the carry as input and output; the first carry is zeros:

        inputs                  float32 [batch, D], or int64 tokens [batch]
        carry_0_h, carry_0_c    float32 [batch, H] of layer 0, and so on; c only for LSTMs
        outputs                 float32 [batch, O]
        next_carry_0_h, ...     the carry for the next step

    Steps beyond a length have outputs of 0, as in recurrax. The exported model always computes in float32. A token
    outside the vocabulary causes an error of the runtime, except for negative tokens, which count from the end.

    Args:
        model: a `SequenceModel`, `Stack` (`LSTM`, `GRU` and `SimpleRNN` included), `RNN`, `Bidirectional`, or a cell:
            `LSTMCell`, `PeepholeLSTMCell`, `GRUCell` or `RNNCell`.
        stream: export one step.
        lengths: add the input ``seq_lengths``.

    Returns:
        An ``onnx.ModelProto`` of opset 17, checked by ``onnx.checker``.

    Raises:
        ImportError: onnx is not installed.
        TypeError: the model has other cells or layers; use `to_stablehlo` for them.
        ValueError: ONNX has no such layer, or ``stream`` is used with a reversed layer or with ``lengths``.
    """
    layer: Any = RNN(model) if isinstance(model, Cell) else model
    parts = parts_of(layer, ONNX)
    check_directions(layer, ONNX, reverse=True)
    _check(layer, parts, stream, lengths)
    graph = Graph()
    D: Any = layer.layer.in_features if isinstance(layer, SequenceModel) else layer.in_features
    last = isinstance(layer, SequenceModel) and layer.read == "last" and not stream
    xs = _inputs(graph, [part for part in parts if part.role == "embed"], D, stream)
    steps = graph.input("seq_lengths", np.int32, ["batch"]) if lengths else ""
    xs = graph.one("Unsqueeze", xs, graph.integers(0)) if stream else graph.one("Transpose", xs, perm=[1, 0, 2])
    layers = _layers(parts)
    for number, directions in enumerate(layers):
        ys, ends = _recurrent(graph, directions, xs, steps, stream)
        top = number == len(layers) - 1
        xs = _joined(graph, ends[0] if top and last else ys, last=top and last)
    if stream:
        xs = graph.one("Squeeze", xs, graph.integers(0))
    elif not last:
        xs = graph.one("Transpose", xs, perm=[1, 0, 2])
    axes: list[int | str] = ["batch"] if stream or last else ["batch", "time"]
    graph.output("outputs", _head(graph, layer, xs), [*axes, layer.out_features])
    graph.outputs.insert(0, graph.outputs.pop())
    return graph.model("One step of a recurrent network." if stream else "A recurrent network over sequences.")


def _check(layer: Any, parts: list[Part], stream: bool, lengths: bool) -> None:
    stack = layer.layer if isinstance(layer, SequenceModel) else layer
    if stream and lengths:
        raise ValueError("stream=True with lengths=True; allowed: one of the two, as a step has no length.")
    if stack.time_major:
        raise ValueError("the layer is time-major; allowed: a batch-major one. Build it with time_major=False.")
    if stream and any(part.reverse or part.direction for part in parts):
        raise ValueError(
            "stream=True with a layer that runs in reverse, which needs the whole sequence; allowed: forward layers. "
            "Export it with stream=False."
        )
    for one in stack.layers if isinstance(stack, Stack) else [stack]:
        if isinstance(one, RNN) and one.reverse and not one.keep_order:
            raise ValueError(
                "a layer has reverse=True and keep_order=False; allowed: keep_order=True, the order in which ONNX "
                "gives outputs. Build the layer with it."
            )


def _inputs(graph: Graph, embeds: list[Part], D: int, stream: bool) -> str:
    axes: list[int | str] = ["batch"] if stream else ["batch", "time"]
    if not embeds:
        return graph.input("inputs", np.float32, [*axes, D])
    table = graph.weights("embedding", weights(embeds[0])["kernel"][0])
    return graph.one("Gather", table, graph.input("inputs", np.int64, axes))


def _layers(parts: list[Part]) -> list[list[Part]]:
    """The cells of each layer: one, or two for both directions."""
    cells = [part for part in parts if part.role == "layer"]
    return [[part for part in cells if part.layer == number] for number in range(cells[0].layers)]


def _recurrent(graph: Graph, parts: list[Part], xs: str, steps: str, stream: bool) -> tuple[str, list[str]]:
    """Adds a layer's operator: outputs ``[time, directions, batch, H]`` and final states ``[directions, batch, H]``."""
    first, number = parts[0], parts[0].layer
    kind, H = first.variant.split()[0], first.module.hidden_features
    arrays: dict[str, str] = {}
    for slot in ONNX.slots[first.variant]:
        both = np.stack([slot.pack(weights(part), part.variant) for part in parts])
        arrays[slot.name] = graph.weights(f"{slot.name}_{number}", both)
    states: list[str] = [""] * len(STATES[kind])
    if stream:
        names = [f"carry_{number}_{state}" for state in STATES[kind]]
        given = [graph.input(name, np.float32, ["batch", H]) for name in names]
        states = [graph.one("Unsqueeze", name, graph.integers(0)) for name in given]
    inputs = [xs, arrays["W"], arrays["R"], arrays["B"], steps, *states, *([arrays["P"]] if "P" in arrays else [])]
    while not inputs[-1]:
        inputs.pop()  # trailing optional inputs may be left out
    ys, *ends = graph.add(kind, *inputs, outputs=1 + len(STATES[kind]), **_attributes(parts))
    for state, end in zip(STATES[kind] if stream else (), ends, strict=False):
        value = graph.one("Squeeze", end, graph.integers(0))
        graph.output(f"next_carry_{number}_{state}", value, ["batch", H])
    return ys, ends


def _attributes(parts: list[Part]) -> dict[str, Any]:
    module, kind = parts[0].module, parts[0].variant.split()[0]
    direction = "bidirectional" if len(parts) == 2 else "reverse" if parts[0].reverse else "forward"
    reset = {"linear_before_reset": int(module.reset_after)} if kind == "GRU" else {}
    names = [_activation(part, attribute) for part in parts for attribute in FUNCTIONS[kind]]
    return {"hidden_size": module.hidden_features, "direction": direction, "activations": names, **reset}


def _activation(part: Part, attribute: str) -> str:
    function = getattr(part.module, attribute)
    for name, other in ACTIVATIONS.items():
        if behaves_like(function, other):
            return name
    raise ValueError(
        f"{part.label} has {attribute}={getattr(function, '__name__', function)!r}; allowed in ONNX: "
        f"{', '.join(sorted(ACTIVATIONS))}. Export it with to_stablehlo."
    )


def _joined(graph: Graph, ys: str, last: bool) -> str:
    """Concatenates both directions: ``[time, directions, batch, H]`` to ``[time, batch, directions H]``."""
    perm, shape = ([1, 0, 2], (0, -1)) if last else ([0, 2, 1, 3], (0, 0, -1))
    return graph.one("Reshape", graph.one("Transpose", ys, perm=perm), graph.integers(*shape))


def _head(graph: Graph, layer: Any, hs: str) -> str:
    """Adds the head of a model; for a layer it returns the outputs themselves."""
    if not isinstance(layer, SequenceModel):
        return hs
    if layer.head is None:
        table: Any = layer.embed
        kernel, bias = np.asarray(table.embedding[...]).T, None
    else:
        kernel, bias = np.asarray(layer.head.kernel[...]), layer.head.bias
    ys = graph.one("MatMul", hs, graph.weights("head_kernel", kernel))
    if bias is not None:
        ys = graph.one("Add", ys, graph.weights("head_bias", np.asarray(bias[...])))
    return ys
