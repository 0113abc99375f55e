"""Tables of slots, which describe how other libraries pack the weights of a cell into arrays.

Intermediate weights are plain dicts with one block per gate, in float64 so that values are rounded only once:

    kernel [G, H, D], recurrent_kernel [G, H, R], bias [G, H], second_bias [G, H], projection [1, R, H]

Our gates are f, i, c (the candidate) and o of the LSTM; r, z and n of the GRU; and n of the plain network. Libraries
with two biases add the second bias to ``U h``. For the GRU's n it is b_hn, which the reset gate multiplies; for all
other gates only the sum of both biases matters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

Weights = dict[str, np.ndarray]

GATES = {"LSTM": "fico", "GRU": "rzn", "RNN": "n", "Linear": "n", "Embed": "n"}  # keyed by the first word of a variant
OWN_GATES = {"projection": "p", "peephole": "fio"}  # gates of weights that have fewer
BIASES = ("bias", "second_bias")


@dataclasses.dataclass(frozen=True)
class Slot:
    """One array of another library.

    Attributes:
        name: name of the array.
        gates: the gates in the array, in its order.
        parts: the parts of our weights in the array.
        columns: whether matrices are ``[D, G H]`` instead of ``[G H, D]``.
        stacked: whether several parts are stacked along a new axis instead of concatenated along the first axis.
        optional: whether the library leaves it out for a layer without biases.
        negated: gates with the opposite sign.
        raised: gates to whose bias the library adds 1 at run time.
    """

    name: str
    gates: str
    parts: tuple[str, ...]
    columns: bool = False
    stacked: bool = False
    optional: bool = False
    negated: str = ""
    raised: str = ""

    def pack(self, weights: Weights, variant: str) -> np.ndarray:
        """Packs our weights into the array."""
        pieces = []
        for part in self.parts:
            blocks = []
            for gate in self.gates:
                block = weights[part][gates(variant, part).index(gate)]
                block = -block if gate in self.negated else block
                block = block - 1 if part == "bias" and gate in self.raised else block
                blocks.append(block.T if self._transposes(block) else block)
            pieces.append(np.concatenate(blocks, axis=1 if self._transposes(blocks[0]) else 0))
        return np.stack(pieces) if self.stacked else np.concatenate(pieces)

    def unpack(self, array: np.ndarray, weights: Weights, variant: str) -> None:
        """Unpacks the blocks of an array, in the shape from `pack`, into our weights."""
        if self.stacked:
            pieces = list(array)
        else:
            alone = [dataclasses.replace(self, parts=(part,)).pack(weights, variant) for part in self.parts]
            pieces = np.split(array, np.cumsum([len(piece) for piece in alone])[:-1])
        for part, piece in zip(self.parts, pieces, strict=True):
            axis = 1 if self._transposes(piece) else 0
            for gate, block in zip(self.gates, np.split(piece, len(self.gates), axis), strict=True):
                block = block.T if axis else block
                block = block + 1 if part == "bias" and gate in self.raised else block
                block = -block if gate in self.negated else block
                weights[part][gates(variant, part).index(gate)] = block

    @property
    def is_bias(self) -> bool:
        """Whether it holds only biases."""
        return set(self.parts) <= set(BIASES)

    def _transposes(self, block: np.ndarray) -> bool:
        return self.columns and block.ndim == 2


def gates(variant: str, part: str) -> str:
    """The gates of one part of our weights, in our order."""
    return OWN_GATES.get(part) or GATES[variant.split()[0]]


@dataclasses.dataclass(frozen=True)
class Library:
    """The tables of another library.

    Attributes:
        name: name of the library.
        slots: the arrays of each supported variant of a cell, in the library's order.
        why_not: the reason why it lacks a variant.
        functions: the allowed functions of a variant that cannot be set in the library, by the names of our attributes.
    """

    name: str
    slots: Mapping[str, tuple[Slot, ...]]
    why_not: Mapping[str, str]
    functions: Mapping[str, Mapping[str, tuple[str, ...]]] = dataclasses.field(default_factory=dict)


def _two_biases(gates: str) -> tuple[Slot, ...]:
    return (
        Slot("weight_ih", gates, ("kernel",)),
        Slot("weight_hh", gates, ("recurrent_kernel",)),
        Slot("bias_ih", gates, ("bias",), optional=True),
        Slot("bias_hh", gates, ("second_bias",), optional=True),
    )


def _columns(name: str, gates: str, part: str = "kernel") -> Slot:
    return Slot(name, gates, (part,), columns=True)


def _dense(kernel: str, bias: str = "bias", optional: bool = False) -> tuple[Slot, ...]:
    return (_columns(kernel, "n"), Slot(bias, "n", ("bias",), optional=optional))


def _flax_lstm(forget: str) -> tuple[Slot, ...]:
    """Slots with one matrix per gate and biases in the recurrent maps; ``forget`` names the forget gate's input map."""
    inputs = {"i": "ii", "f": forget, "c": "ig", "o": "io"}
    recurrent = {"i": "hi", "f": "hf", "c": "hg", "o": "ho"}
    return (
        *(_columns(f"{name}/kernel", gate) for gate, name in inputs.items()),
        *(_columns(f"{name}/kernel", gate, "recurrent_kernel") for gate, name in recurrent.items()),
        *(Slot(f"{name}/bias", gate, ("bias",)) for gate, name in recurrent.items()),
    )


def _flax_dense(gates: str, bias: str) -> tuple[Slot, ...]:
    """Slots with one matrix for the inputs and one for the state, one of them with a bias."""
    return (
        _columns("dense_i/kernel", gates),
        _columns("dense_h/kernel", gates, "recurrent_kernel"),
        Slot(f"{bias}/bias", gates, ("bias",)),
    )


SIGMOID_TANH = {"gate_fn": ("sigmoid",), "activation_fn": ("tanh",)}
NO_PEEPHOLE = {"LSTM peephole": "has no LSTM with peepholes"}
NO_PROJECTION = {"LSTM projected": "has no LSTM with a projection"}
NEITHER = NO_PEEPHOLE | NO_PROJECTION
RESET_AFTER = {"GRU reset before": "has only the GRU that resets the product U_n h, and this one resets h before it"}

TORCH = Library(
    "PyTorch",
    {
        "RNN": _two_biases("n"),
        "LSTM": _two_biases("ifco"),
        "LSTM projected": (*_two_biases("ifco"), Slot("weight_hr", "p", ("projection",))),
        "GRU": _two_biases("rzn"),
        "Linear": (Slot("weight", "n", ("kernel",)), Slot("bias", "n", ("bias",), optional=True)),
        "Embed": (Slot("weight", "n", ("kernel",)),),
    },
    NO_PEEPHOLE | RESET_AFTER,
    {"RNN": {"activation_fn": ("tanh", "relu")}, "LSTM": SIGMOID_TANH, "GRU": SIGMOID_TANH},
)

KERAS = Library(
    "Keras",
    {
        variant: (
            _columns("kernel", order),
            _columns("recurrent_kernel", order, "recurrent_kernel"),
            Slot("bias", order, biases, stacked=len(biases) > 1, optional=True),
        )
        for variant, order, biases in (
            ("RNN", "n", ("bias",)),
            ("LSTM", "ifco", ("bias",)),
            ("GRU", "zrn", BIASES),
            ("GRU reset before", "zrn", ("bias",)),
        )
    }
    | {"Linear": _dense("kernel", optional=True), "Embed": (Slot("embeddings", "n", ("kernel",)),)},
    NEITHER,
)

LINEN = Library(
    "flax.linen",
    {
        "RNN": (
            _columns("i/kernel", "n"),
            Slot("i/bias", "n", ("bias",)),
            _columns("h/kernel", "n", "recurrent_kernel"),
        ),
        "LSTM": _flax_lstm("if"),
        "GRU": (
            *(_columns(f"i{gate}/kernel", gate) for gate in "rzn"),
            *(Slot(f"i{gate}/bias", gate, ("bias",)) for gate in "rzn"),
            *(_columns(f"h{gate}/kernel", gate, "recurrent_kernel") for gate in "rzn"),
            Slot("hn/bias", "n", ("second_bias",)),
        ),
        "Linear": _dense("kernel", optional=True),
        "Embed": (Slot("embedding", "n", ("kernel",)),),
    },
    NEITHER | RESET_AFTER,
)

NNX = Library(
    "flax.nnx",
    {
        "RNN": _flax_dense("n", "dense_i"),
        "LSTM": _flax_lstm("if_"),
        "GRU": _flax_dense("rzn", "dense_i"),
        "Linear": _dense("kernel", optional=True),
        "Embed": (Slot("embedding", "n", ("kernel",)),),
    },
    NEITHER | RESET_AFTER,
)
NNX_OPTIMIZED = dataclasses.replace(NNX, slots={**NNX.slots, "LSTM": _flax_dense("ifco", "dense_h")})

HAIKU = Library(
    "Haiku",
    {
        "RNN": (
            _columns("linear/w", "n"),
            Slot("linear/b", "n", ("bias",)),
            _columns("linear_1/w", "n", "recurrent_kernel"),
            Slot("linear_1/b", "n", ("second_bias",), optional=True),
        ),
        "LSTM": (
            Slot("linear/w", "icfo", ("kernel", "recurrent_kernel"), columns=True),
            Slot("linear/b", "icfo", ("bias",), raised="f"),
        ),
        # Haiku writes 1 - z for our z, and sigmoid(-a) is 1 - sigmoid(a).
        "GRU reset before": (
            Slot("w_i", "zrn", ("kernel",), columns=True, negated="z"),
            Slot("w_h", "zrn", ("recurrent_kernel",), columns=True, negated="z"),
            Slot("b", "zrn", ("bias",), negated="z"),
        ),
        "Linear": _dense("w", "b", optional=True),
        "Embed": (Slot("embeddings", "n", ("kernel",)),),
    },
    NEITHER | {"GRU": "has only the GRU that resets h before the product with U_n, and this one resets the product"},
    {"RNN": {"activation_fn": ("relu",)}, "LSTM": SIGMOID_TANH, "GRU": SIGMOID_TANH},
)

EQUINOX = Library(
    "Equinox",
    {
        "LSTM": (
            Slot("weight_ih", "ifco", ("kernel",)),
            Slot("weight_hh", "ifco", ("recurrent_kernel",)),
            Slot("bias", "ifco", ("bias",), optional=True),
        ),
        "GRU": (
            Slot("weight_ih", "rzn", ("kernel",)),
            Slot("weight_hh", "rzn", ("recurrent_kernel",)),
            Slot("bias", "rzn", ("bias",), optional=True),
            Slot("bias_n", "n", ("second_bias",), optional=True),
        ),
        "Linear": (Slot("weight", "n", ("kernel",)), Slot("bias", "n", ("bias",), optional=True)),
        "Embed": (Slot("weight", "n", ("kernel",)),),
    },
    NEITHER | RESET_AFTER | {"RNN": "has no plain recurrent cell"},
    {"LSTM": SIGMOID_TANH, "GRU": SIGMOID_TANH},
)

# The recurrent operators of ONNX, for one direction; there B holds both biases.
ONNX = Library(
    "ONNX",
    {
        variant: (
            Slot("W", order, ("kernel",)),
            Slot("R", order, ("recurrent_kernel",)),
            Slot("B", order, BIASES),
            *((Slot("P", "iof", ("peephole",)),) if variant == "LSTM peephole" else ()),
        )
        for variant, order in (
            ("RNN", "n"),
            ("LSTM", "iofc"),
            ("LSTM peephole", "iofc"),
            ("GRU", "zrn"),
            ("GRU reset before", "zrn"),
        )
    }
    | {"Linear": _dense("kernel"), "Embed": (Slot("embedding", "n", ("kernel",)),)},
    NO_PROJECTION,
)
