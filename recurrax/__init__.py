"""Recurrent neural networks in JAX and Flax: cells, engines, layers, memory tasks, training and gradient flow.

Shapes are written with these letters: S runs, T time, B batch, D input, H state, G gates, O output. Engines take
time-major arrays, ``[T, B, D]``; layers take batch-major arrays by default, ``[B, T, D]``, as Flax does.

A cell is one step, and its name ends in ``Cell``. A layer runs a cell over sequences, and its name does not.
"""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from recurrax import cells as cells
from recurrax import initializers as initializers
from recurrax.cell import Cell as Cell
from recurrax.cell import Structure as Structure
from recurrax.cells import GRUCell as GRUCell
from recurrax.cells import LSTMCell as LSTMCell
from recurrax.cells import RNNCell as RNNCell
from recurrax.engines import ENGINES as ENGINES
from recurrax.engines import Adjoint as Adjoint
from recurrax.engines import Associative as Associative
from recurrax.engines import Chunkwise as Chunkwise
from recurrax.engines import Newton as Newton
from recurrax.engines import Pallas as Pallas
from recurrax.engines import Scan as Scan
from recurrax.engines import unroll as unroll
from recurrax.foreign import Foreign as Foreign
from recurrax.kernels import Kernel as Kernel
from recurrax.kernels import RecurrentKernel as RecurrentKernel
from recurrax.kernels import affine as affine
from recurrax.layers import GRU as GRU
from recurrax.layers import LSTM as LSTM
from recurrax.layers import RNN as RNN
from recurrax.layers import Bidirectional as Bidirectional
from recurrax.layers import Block as Block
from recurrax.layers import SequenceModel as SequenceModel
from recurrax.layers import SimpleRNN as SimpleRNN
from recurrax.layers import Stack as Stack
from recurrax.layers import generate as generate

if _TYPE_CHECKING:
    from recurrax import datasets as datasets
    from recurrax import export as export
    from recurrax import gradflow as gradflow
    from recurrax import interop as interop
    from recurrax import report as report
    from recurrax import tasks as tasks
    from recurrax import training as training
    from recurrax.saving import load as load
    from recurrax.saving import save as save

_LAZY = ("datasets", "export", "gradflow", "interop", "report", "tasks", "training")  # imported at first use
_SAVING = ("save", "load")  # also imported at first use


def __getattr__(name: str) -> _Any:
    if name == "__version__":
        return _importlib.import_module("importlib.metadata").version("recurrax")
    if name in _LAZY:
        return _importlib.import_module(f"recurrax.{name}")
    if name in _SAVING:
        return getattr(_importlib.import_module("recurrax.saving"), name)
    raise AttributeError(f"module 'recurrax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_SAVING, "__version__"})
