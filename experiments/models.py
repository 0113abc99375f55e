"""The models of the experiments: one recurrent layer of a cell and a linear head that reads every step."""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import nnx

from recurrax.cell import Cell
from recurrax.cells import GRU, LSTM, RNN
from recurrax.layers import RNN as Layer
from recurrax.layers import SequenceModel
from recurrax.tasks import Task

CELLS: dict[str, Callable[..., Cell]] = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}


def builder(cell: str, task: Task, hidden: int) -> Callable[..., SequenceModel]:
    """``build(key) -> model`` for a task; that of the LSTM also takes a ``forget_bias``, so that it can be swept."""

    def model(key: jax.Array, **options: jax.Array | float) -> SequenceModel:
        rngs = nnx.Rngs(key)
        layer = Layer(CELLS[cell](task.in_features, hidden, rngs=rngs, **options))
        return SequenceModel(layer, task.out_features, rngs=rngs)

    def lstm(key: jax.Array, forget_bias: jax.Array | float = 1.0) -> SequenceModel:
        return model(key, forget_bias=forget_bias)

    def plain(key: jax.Array) -> SequenceModel:
        return model(key)

    return lstm if cell == "LSTM" else plain
