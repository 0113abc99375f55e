"""recurrax: recurrent memory in JAX and Flax, measured.

The letters of all shapes: S runs, T time, B batch, D input, H state, G gates, O output. Inside engines arrays are
time-major, ``[T, B, D]``; the layers take batch-major ones by default, ``[B, T, D]``, as Flax does.

``RNN`` here is the layer that runs any cell over a sequence; the cell of that name is ``cells.RNN``.
"""

from recurrax import _flax as _flax
from recurrax import cells as cells
from recurrax import initializers as initializers
from recurrax.cell import Cell as Cell
from recurrax.cell import Foreign as Foreign
from recurrax.cell import Structure as Structure
from recurrax.cells import GRU as GRU
from recurrax.cells import LSTM as LSTM
from recurrax.engines import ENGINES as ENGINES
from recurrax.engines import Adjoint as Adjoint
from recurrax.engines import Associative as Associative
from recurrax.engines import Cudnn as Cudnn
from recurrax.engines import Newton as Newton
from recurrax.engines import Pallas as Pallas
from recurrax.engines import Scan as Scan
from recurrax.engines import unroll as unroll
from recurrax.layers import RNN as RNN
from recurrax.layers import Bidirectional as Bidirectional
from recurrax.layers import SequenceModel as SequenceModel
from recurrax.layers import Stack as Stack
