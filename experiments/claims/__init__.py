"""What of the textbook comparison of RNN, LSTM and GRU is true?

    python -m experiments.claims              # 2 CPU cores, three to four minutes
    python -m experiments.claims --help

The comparison that articles repeat: memory is limited in the RNN, strong in the LSTM and moderate in the GRU; they have
no, three and two gates; complexity and cost are low, high and medium; training is poor, stable and more stable than the
RNN; the cell state gives constant error flow; forget gate 0 forgets and 1 retains; gates keep out noise; LSTMs are
slower, want more data and are overkill for short sequences; the GRU is a cheaper equal.

Each claim is measured: parameters and FLOP counted, time of a training step, gradient flow at initialisation with its
closed forms, learning of the adding problem at several lengths on a grid that is the same for every cell, stability
over learning rates with and without clipping. The verdict follows from rules stated in the code before the numbers:
holds, holds only if, does not hold, or undecided.
"""

from experiments.claims.measurements import PRESETS as PRESETS
from experiments.claims.measurements import Config as Config
from experiments.claims.measurements import parts as parts
from experiments.claims.page import draw as draw
from experiments.claims.page import page as page
