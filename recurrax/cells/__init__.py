"""Cells, one file for each idea. `ALL` is what tests, command lines and docs iterate over.

``cells.RNN`` is one step of Elman's network; ``recurrax.RNN`` is the layer that runs any cell over a sequence.
"""

from recurrax.cells.ablated import CIFG as CIFG
from recurrax.cells.ablated import NoForgetGate as NoForgetGate
from recurrax.cells.ablated import NoInputGate as NoInputGate
from recurrax.cells.ablated import NoOutputGate as NoOutputGate
from recurrax.cells.elman import RNN as RNN
from recurrax.cells.gated import GRU as GRU
from recurrax.cells.gated import LSTM as LSTM
from recurrax.cells.hochreiter1997 import Hochreiter1997 as Hochreiter1997
from recurrax.cells.linear import LRU as LRU
from recurrax.cells.linear import DiagonalRNN as DiagonalRNN
from recurrax.cells.linear import MinGRU as MinGRU
from recurrax.cells.linear import MinLSTM as MinLSTM
from recurrax.cells.truncated import TruncatedGradient as TruncatedGradient

ALL = (RNN, LSTM, GRU, NoForgetGate, NoInputGate, NoOutputGate, CIFG, Hochreiter1997, DiagonalRNN, LRU, MinGRU, MinLSTM)
