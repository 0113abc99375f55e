"""The look of each cell in figures: a colour, a marker and a dash, so that cells can be told apart without colour.

The colours of Okabe & Ito (2008) and of Tol (2021) can be told apart by colour-blind readers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

# By name: colour, dash, marker. Cells of one family share a colour. A cell with another initialisation has the cell's
# marker and its own dash. The three that are named by their activation are the plain RNNs of Pascanu, Mikolov & Bengio
# (2013).
LOOKS = {
    "RNN": ("#D55E00", "-", "o"),
    "IRNN": ("#E69F00", "--", "o"),
    "GRU": ("#009E73", "-", "s"),
    "GRU-chrono": ("#009E73", "--", "s"),
    "LSTM": ("#0072B2", "-", "^"),
    "LSTM-fb1": ("#0072B2", "-", "^"),
    "LSTM-fb0": ("#56B4E9", ":", "^"),
    "LSTM-chrono": ("#003B5C", "--", "^"),
    "ShutLSTM": ("#000000", "-.", "^"),
    "CIFG": ("#56B4E9", "-.", "D"),
    "NoForgetGate": ("#E69F00", ":", "<"),
    "NoInputGate": ("#CC79A7", "--", "d"),
    "NoOutputGate": ("#882255", ":", ">"),
    "sigmoid": ("#E69F00", ":", "o"),
    "basic tanh": ("#D55E00", "-", "o"),
    "smart tanh": ("#CC79A7", "--", "o"),
    "LRU": ("#CC79A7", "-", "P"),
    "MinGRU": ("#999933", "-", "v"),
    "MinGRU-chrono": ("#999933", "--", "v"),
    "MinLSTM": ("#882255", "-", "X"),
    "MinLSTM-chrono": ("#882255", "--", "X"),
    "PeepholeLSTM": ("#0072B2", "--", "d"),
    "ProjectedLSTM": ("#56B4E9", "--", "p"),
    "MultiplicativeLSTM": ("#003B5C", "-.", "*"),
    "LayerNormLSTM": ("#0072B2", ":", "h"),
    "LayerNormGRU": ("#009E73", ":", "h"),
    "MGU": ("#009E73", "-.", "p"),
    "IndRNN": ("#D55E00", "--", "*"),
    "OrthogonalRNN": ("#D55E00", "-.", "h"),
    "AntisymmetricRNN": ("#D55E00", ":", "p"),
    "coRNN": ("#AA4499", "-", "*"),
    "LEM": ("#AA4499", "--", "p"),
    "CfC": ("#AA4499", ":", "h"),
    "sLSTM": ("#003B5C", ":", "8"),
    "Hochreiter1997": ("#000000", "--", "s"),
    "DiagonalRNN": ("#CC79A7", ":", "8"),
    "RG-LRU": ("#CC79A7", "-.", "*"),
    "QRNN": ("#999933", "-.", "*"),
    "SRU": ("#999933", ":", "p"),
    "HGRN": ("#CC79A7", "-.", "h"),
    "S5": ("#882255", "-", "p"),
    "S4D": ("#882255", "--", "h"),
    "Mamba": ("#882255", "-.", "*"),
    "Mamba2": ("#44AA99", "-", "*"),
    "mLSTM": ("#44AA99", "-.", "H"),
    "DeltaNet": ("#117733", "-", "p"),
    "GatedDeltaNet": ("#117733", "--", "h"),
    "GLA": ("#117733", ":", "8"),
}
# Looks for all other names, used in turn.
COLORS = ("#000000", "#E69F00", "#CC79A7", "#56B4E9", "#0072B2", "#D55E00", "#009E73")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 3)))
MARKERS = ("D", "o", "s", "^", "v", "P", "X")


def look(name: str) -> dict[str, Any]:
    """Colour, dash and marker of a cell, as arguments of Matplotlib's ``plot``; black for an unknown name."""
    return looks([name])[name]


def looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The looks of several names: cells get their own looks, and all other names get different ones."""
    others = itertools.cycle(zip(COLORS, DASHES, MARKERS, strict=True))
    found = {name: LOOKS.get(name) or next(others) for name in names}
    return {
        name: {"color": color, "ls": dash, "marker": marker, "ms": 4, "lw": 1.4}
        for name, (color, dash, marker) in found.items()
    }
