"""The models of the experiments, one recurrent layer of a cell and a linear head that reads every step; and Adam."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from recurrax import Cell, cells
from recurrax.initializers import identity, normal
from recurrax.layers import RNN, SequenceModel
from recurrax.tasks import MemoryTask
from recurrax.training import adam

IDENTITY = functools.partial(cells.RNNCell, activation_fn=jax.nn.relu, recurrent_kernel_init=identity())
IRNN = functools.partial(
    IDENTITY, kernel_init=normal(1e-3)
)  # Le, Jaitly & Hinton (2015): input weights near zero at initialisation
CELLS: dict[str, Callable[..., Cell]] = {
    **{cell.short: cell for cell in cells.ALL},
    "IRNN": IRNN,
    "identity RNN": IDENTITY,
}
clipped_adam = functools.partial(adam, clip_norm=1.0)  # where the settings of an experiment name no other norm


def builder(
    cell: str | Callable[..., Cell], task: MemoryTask, hidden: int, **options: Any
) -> Callable[..., SequenceModel]:
    """``build(key) -> model`` for a task; with a forget gate it also takes the ``forget_bias``, to be swept.

    Args:
        cell: a name in `CELLS`, or ``(D, H, *, rngs, **options) -> cell``.
        task: what the model is for.
        hidden: H.
        options: of the cell.
    """
    make = CELLS[cell] if isinstance(cell, str) else cell

    def model(key: jax.Array, **swept: Any) -> SequenceModel:
        rngs = nnx.Rngs(key)
        return SequenceModel(
            RNN(make(task.in_features, hidden, rngs=rngs, **options, **swept)), task.out_features, rngs=rngs
        )

    def gated(key: jax.Array, forget_bias: jax.Array | float = 1.0) -> SequenceModel:
        return model(key, forget_bias=forget_bias)

    def plain(key: jax.Array) -> SequenceModel:
        return model(key)

    takes = inspect.signature(make.__init__ if isinstance(make, type) else make).parameters
    sweepable = "forget_bias" in takes and "forget_bias" not in options
    return gated if sweepable else plain


def cell_of(model: SequenceModel) -> Any:
    """The cell of a model that `builder` makes."""
    assert isinstance(model.layer, RNN)
    return model.layer.cell
