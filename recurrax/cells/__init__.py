"""All cells, one file for each idea. Tests, command lines and docs iterate over `ALL`.

``cells.RNNCell`` is one step of Elman's network; ``recurrax.RNN`` is the layer that runs any cell over a sequence.
"""

from recurrax.cells.ablated import CIFGCell as CIFGCell
from recurrax.cells.ablated import NoForgetGateCell as NoForgetGateCell
from recurrax.cells.ablated import NoInputGateCell as NoInputGateCell
from recurrax.cells.ablated import NoOutputGateCell as NoOutputGateCell
from recurrax.cells.affine import AffineCell as AffineCell
from recurrax.cells.continuous import CfCCell as CfCCell
from recurrax.cells.continuous import CoRNNCell as CoRNNCell
from recurrax.cells.continuous import LEMCell as LEMCell
from recurrax.cells.convolutional import ConvLSTMCell as ConvLSTMCell
from recurrax.cells.delta import DeltaNetCell as DeltaNetCell
from recurrax.cells.delta import GatedDeltaNetCell as GatedDeltaNetCell
from recurrax.cells.delta import GLACell as GLACell
from recurrax.cells.elman import RNNCell as RNNCell
from recurrax.cells.elman_variants import AntisymmetricRNNCell as AntisymmetricRNNCell
from recurrax.cells.elman_variants import IndRNNCell as IndRNNCell
from recurrax.cells.elman_variants import OrthogonalRNNCell as OrthogonalRNNCell
from recurrax.cells.gated import GRUCell as GRUCell
from recurrax.cells.gated import LSTMCell as LSTMCell
from recurrax.cells.hgrn import HGRNCell as HGRNCell
from recurrax.cells.hochreiter1997 import Hochreiter1997Cell as Hochreiter1997Cell
from recurrax.cells.linear import DiagonalRNNCell as DiagonalRNNCell
from recurrax.cells.linear import LRUCell as LRUCell
from recurrax.cells.linear import MinGRUCell as MinGRUCell
from recurrax.cells.linear import MinLSTMCell as MinLSTMCell
from recurrax.cells.lstm_variants import MultiplicativeLSTMCell as MultiplicativeLSTMCell
from recurrax.cells.lstm_variants import PeepholeLSTMCell as PeepholeLSTMCell
from recurrax.cells.lstm_variants import ProjectedLSTMCell as ProjectedLSTMCell
from recurrax.cells.mamba import Mamba2Cell as Mamba2Cell
from recurrax.cells.mamba import MambaCell as MambaCell
from recurrax.cells.matrix import MatrixCell as MatrixCell
from recurrax.cells.matrix import Write as Write
from recurrax.cells.minimal import MGUCell as MGUCell
from recurrax.cells.normalized import LayerNormGRUCell as LayerNormGRUCell
from recurrax.cells.normalized import LayerNormLSTMCell as LayerNormLSTMCell
from recurrax.cells.real_gated import QRNNCell as QRNNCell
from recurrax.cells.real_gated import RGLRUCell as RGLRUCell
from recurrax.cells.regularized import VariationalDropout as VariationalDropout
from recurrax.cells.regularized import WeightDrop as WeightDrop
from recurrax.cells.regularized import Zoneout as Zoneout
from recurrax.cells.sru import SRUCell as SRUCell
from recurrax.cells.state_space import S4DCell as S4DCell
from recurrax.cells.state_space import S5Cell as S5Cell
from recurrax.cells.truncated import TruncatedGradient as TruncatedGradient
from recurrax.cells.xlstm import MLSTMCell as MLSTMCell
from recurrax.cells.xlstm import SLSTMCell as SLSTMCell

ALL = (
    # dense: a matrix product in every step
    RNNCell,
    LSTMCell,
    GRUCell,
    NoForgetGateCell,
    NoInputGateCell,
    NoOutputGateCell,
    CIFGCell,
    Hochreiter1997Cell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    MultiplicativeLSTMCell,
    LayerNormLSTMCell,
    LayerNormGRUCell,
    MGUCell,
    IndRNNCell,
    OrthogonalRNNCell,
    AntisymmetricRNNCell,
    CoRNNCell,
    LEMCell,
    CfCCell,
    SLSTMCell,
    SRUCell,
    # linear: a product of two numbers in every step
    DiagonalRNNCell,
    LRUCell,
    MinGRUCell,
    MinLSTMCell,
    RGLRUCell,
    QRNNCell,
    HGRNCell,
    S5Cell,
    S4DCell,
    MambaCell,
    # matrix: an outer product in every step
    Mamba2Cell,
    MLSTMCell,
    DeltaNetCell,
    GatedDeltaNetCell,
    GLACell,
)
