"""Cells, one file for each idea. `ALL` is what tests, command lines and docs iterate over.

``cells.RNNCell`` is one step of Elman's network; ``recurrax.RNN`` is the layer that runs any cell over a sequence.
"""

from recurrax.cells.ablated import CIFGCell as CIFGCell
from recurrax.cells.ablated import NoForgetGateCell as NoForgetGateCell
from recurrax.cells.ablated import NoInputGateCell as NoInputGateCell
from recurrax.cells.ablated import NoOutputGateCell as NoOutputGateCell
from recurrax.cells.affine import AffineCell as AffineCell
from recurrax.cells.elman import RNNCell as RNNCell
from recurrax.cells.gated import GRUCell as GRUCell
from recurrax.cells.gated import LSTMCell as LSTMCell
from recurrax.cells.hochreiter1997 import Hochreiter1997Cell as Hochreiter1997Cell
from recurrax.cells.linear import DiagonalRNNCell as DiagonalRNNCell
from recurrax.cells.linear import LRUCell as LRUCell
from recurrax.cells.linear import MinGRUCell as MinGRUCell
from recurrax.cells.linear import MinLSTMCell as MinLSTMCell
from recurrax.cells.truncated import TruncatedGradient as TruncatedGradient

ALL = (
    RNNCell,
    LSTMCell,
    GRUCell,
    NoForgetGateCell,
    NoInputGateCell,
    NoOutputGateCell,
    CIFGCell,
    Hochreiter1997Cell,
    DiagonalRNNCell,
    LRUCell,
    MinGRUCell,
    MinLSTMCell,
)
