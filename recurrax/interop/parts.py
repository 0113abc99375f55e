"""The parts of a layer or model with weights, in the order of the computation, and their contents."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recurrax.cell import Cell
from recurrax.cells import GRUCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell, RNNCell
from recurrax.interop.slots import Library, Weights
from recurrax.layers import RNN, Bidirectional, SequenceModel, Stack
from recurrax.layers.bidirectional import concatenate

VARIANTS: dict[type, str] = {
    RNNCell: "RNN", LSTMCell: "LSTM", GRUCell: "GRU", ProjectedLSTMCell: "LSTM projected",
    PeepholeLSTMCell: "LSTM peephole", nnx.Linear: "Linear", nnx.Embed: "Embed",
}  # fmt: skip
FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
}
PROBES = np.linspace(-6, 6, 49, dtype=np.float32)  # arguments at which functions are compared, including 0
ROLES = ("embed", "layer", "head")


@dataclasses.dataclass(frozen=True)
class Part:
    """A cell, an embedding or a linear map.

    Attributes:
        module: the Flax module of the part.
        variant: its kind of cell in the tables.
        role: one of `ROLES`, its role in a `SequenceModel`; "layer" without a model.
        layer: its number among the layers, from the lowest.
        layers: the number of layers.
        direction: "forward" or "backward" in a `Bidirectional`, else None.
        reverse: whether its layer runs only in reverse.
        alone: whether it is a cell without a layer.
    """

    module: Any
    variant: str
    role: str = "layer"
    layer: int = 0
    layers: int = 1
    direction: str | None = None
    reverse: bool = False
    alone: bool = False

    @property
    def place(self) -> tuple[str, int, str | None]:
        """A key that identifies the part, also in a copy of the layer."""
        return self.role, self.layer, self.direction

    @property
    def label(self) -> str:
        """Its name in messages."""
        if self.role != "layer":
            return f"the model's {self.role}"
        name = type(self.module).__name__
        where = f" of layer {self.layer}" if self.layers > 1 else ""
        return f"the {name}{where}{f', {self.direction}' if self.direction else ''}"


def copied(layer: Any) -> Any:
    """A copy of a layer, cell or model whose variables may be replaced."""
    return copy.deepcopy(layer)


def parts_of(layer: Any, library: Library) -> list[Part]:
    """All parts of a cell, layer or model for conversion to or from a library.

    Raises:
        TypeError: the module cannot be converted.
        ValueError: the library has no equivalent; the message gives the reason.
    """
    found = _parts(layer)
    for part in found:
        _check_part(part, library)
    return found


def _parts(layer: Any) -> list[Part]:
    if isinstance(layer, Cell):
        return [_part(layer, alone=True)]
    model = layer if isinstance(layer, SequenceModel) else None
    below = [] if model is None or model.embed is None else [_part(model.embed, role="embed")]
    above = [] if model is None or model.head is None else [_part(model.head, role="head")]
    stack: Any = layer if model is None else model.layer
    _check_stack(stack)
    layers = list(stack.layers) if isinstance(stack, Stack) else [stack]
    middle = []
    for number, one in enumerate(layers):
        place = {"layer": number, "layers": len(layers)}
        if isinstance(one, Bidirectional):
            rnns = {"forward": one.forward_rnn, "backward": one.backward_rnn}
            middle += [_part(_cell(rnn), direction=name, **place) for name, rnn in rnns.items()]
        else:
            middle.append(_part(_cell(one), reverse=one.reverse, **place))
    return [*below, *middle, *above]


def _cell(rnn: Any) -> Any:
    if not isinstance(rnn, RNN):
        raise TypeError(
            f"a layer is a {type(rnn).__name__}; allowed: RNN and Bidirectional layers, alone, in a Stack or in a "
            "SequenceModel. Exchange the layers inside it one by one."
        )
    if rnn.initial_carry is not None:
        raise ValueError(
            "a layer has learn_initial_carry=True, and other libraries have no place for that carry; allowed: layers "
            "that start from zeros. Exchange its cell alone, and give the carry to every call."
        )
    return rnn.cell


def _part(module: Any, **place: Any) -> Part:
    variant = VARIANTS.get(type(module))
    if variant is None:
        kept = {"kernel", "recurrent_kernel", "bias", "recurrent_bias", "projection"}
        more = sorted({name for name, value in vars(module).items() if isinstance(value, nnx.Variable)} - kept)
        why = f"its {' and '.join(more)} {'have' if len(more) > 1 else 'has'} no place there" if more else (
            "its step is another one"
        )  # fmt: skip
        raise TypeError(
            f"{type(module).__name__} cannot be exchanged: {why}. Allowed: RNNCell, LSTMCell, GRUCell and, with "
            "PyTorch, ProjectedLSTMCell. Save it with recurrax.save, or export it with recurrax.export.to_stablehlo."
        )
    if variant == "GRU" and not module.reset_after:
        variant = "GRU reset before"
    return Part(module, variant, **place)


def _check_stack(stack: Any) -> None:
    """Raises ValueError for stacks with operations between the cells, which change the outputs."""
    if not isinstance(stack, RNN | Bidirectional | Stack):
        raise TypeError(
            f"got {type(stack).__name__}; allowed: a cell, RNN, Bidirectional, Stack (LSTM, GRU and SimpleRNN "
            "included) or SequenceModel. Give the layer itself."
        )
    if isinstance(stack, Stack) and (stack.residual or stack.norms):
        raise ValueError(
            f"the Stack has residual={stack.residual}, layer_norm={bool(stack.norms)}; allowed: False for both, as the "
            "stacks of other libraries have neither. Exchange its layers one by one, stack.layers[0] first."
        )


def _check_part(part: Part, library: Library) -> None:
    if part.variant not in library.slots:
        raise ValueError(
            f"{part.label} has no counterpart in {library.name}, which {library.why_not[part.variant]}. Allowed: "
            f"{', '.join(name for name in library.slots if name not in ('Linear', 'Embed'))}. Build that cell and "
            "train it, or exchange with another library."
        )
    for attribute, allowed in library.functions.get(part.variant, {}).items():
        function = getattr(part.module, attribute)
        if not any(behaves_like(function, FUNCTIONS[name]) for name in allowed):
            raise ValueError(
                f"{part.label} has {attribute}={getattr(function, '__name__', function)!r}, and {library.name} has "
                f"none but {' or '.join(allowed)} there, so the outputs would differ. Build the cell with "
                f"{attribute}={allowed[0]}."
            )


def check_directions(layer: Any, library: Library, *, reverse: bool = False) -> None:
    """Raises ValueError for reversed layers, unless the library has them, and for other merge functions.

    Raises:
        ValueError: there is such a layer.
    """
    stack = layer.layer if isinstance(layer, SequenceModel) else layer
    for one in stack.layers if isinstance(stack, Stack) else [stack]:
        if isinstance(one, RNN) and one.reverse and not reverse:
            raise ValueError(
                f"a layer has reverse=True, and {library.name} has none that runs in reverse alone; allowed: forward "
                "layers and Bidirectional. Build the layer with reverse=False, and flip what it is given."
            )
        if isinstance(one, Bidirectional) and one.merge_fn is not concatenate:
            raise ValueError(
                f"a Bidirectional layer has a merge_fn of its own, and {library.name} concatenates both directions; "
                "allowed: the default merge_fn. Leave it out."
            )


def behaves_like(function: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether two elementwise functions have the same values, even if they come from different libraries."""
    with jax.ensure_compile_time_eval():  # the layer may be built inside jit
        return bool(np.allclose(function(jnp.asarray(PROBES)), other(jnp.asarray(PROBES)), atol=1e-6))


def shapes(part: Part) -> Weights:
    """Zero weights in the part's shapes, because its own weights may be abstract."""
    return _canonical(part, lambda variable: np.zeros(variable.shape))


def weights(part: Part) -> Weights:
    """The part's weights in float64, one block per gate."""
    return _canonical(part, lambda variable: np.asarray(variable[...]).astype(np.float64))


def _canonical(part: Part, read: Callable[[Any], np.ndarray]) -> Weights:
    module = part.module
    if part.variant == "Embed":
        return {"kernel": read(module.embedding)[None]}
    if part.variant == "Linear":
        bias = np.zeros(module.out_features) if module.bias is None else read(module.bias)
        return {"kernel": read(module.kernel).T[None], "bias": bias[None]}
    found = {name: read(getattr(module, name)) for name in ("kernel", "recurrent_kernel", "bias")}
    found["second_bias"] = np.zeros_like(found["bias"])
    if part.variant == "GRU":
        found["second_bias"][2] = read(module.recurrent_bias)
    if part.variant == "LSTM projected":
        found["projection"] = read(module.projection)[None]
    if part.variant == "LSTM peephole":
        found["peephole"] = read(module.peephole)
    return found


def put(part: Part, found: Weights) -> None:
    """Replaces the part's variables by weights and keeps their dtypes."""
    bias = found.get("bias", np.zeros(()))
    if part.variant == "Embed":
        _set(part.module, "embedding", found["kernel"][0])
    elif part.variant == "Linear":
        _set(part.module, "kernel", found["kernel"][0].T)
        _set(part.module, "bias", bias[0])
    else:
        second = found["second_bias"].copy()
        if part.variant == "GRU":
            _set(part.module, "recurrent_bias", second[2])
            second[2] = 0
        _set(part.module, "bias", bias + second)
        for name in ("kernel", "recurrent_kernel"):
            _set(part.module, name, found[name])
    if part.variant == "LSTM projected":
        _set(part.module, "projection", found["projection"][0])


def _set(module: Any, name: str, array: np.ndarray) -> None:
    variable = getattr(module, name)
    setattr(module, name, variable.replace(jnp.asarray(array.astype(variable.dtype))))
