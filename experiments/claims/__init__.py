"""How much of the textbook comparison of RNN, LSTM and GRU is true?

    python -m experiments.claims                  # five seeds, fewer sizes: five minutes
    python -m experiments.claims --preset table   # twenty seeds: the record
    python -m experiments.claims --help

The comparison that articles repeat: memory is limited in the RNN, strong in the LSTM and moderate in the GRU; they have
no, three and two gates; complexity and cost are low, high and medium; training is poor, stable and more stable than the
RNN; the cell state gives constant error flow; forget gate 0 forgets and 1 retains; gates keep out noise; LSTMs are
slower, want more data and are overkill for short sequences; the GRU is a cheaper equal.

Each claim is measured: parameters and FLOP counted; the time of a training step; gradient flow at initialisation with
its closed forms; learning of the adding problem from the shortest to long sequences, and of digits in few steps, beside
a linear model; held-out error against the number of training sequences, for cells with as many weights; stability over
learning rates with and without clipping. Learning rates come from one grid, chosen by seeds that are not reported.

The rules that turn the numbers into verdicts stand beside them. They were fixed before the run, but for two decisions
that the page names. A claim holds, holds only under a condition, or does not hold. A claim of no difference
holds if the difference is shown to be smaller than a margin that was stated in advance. Where neither is shown, the
verdict is "undecided" and gives the bound.
"""

from experiments.claims.config import PRESETS as PRESETS
from experiments.claims.config import Config as Config
from experiments.claims.figure import draw as draw
from experiments.claims.measurements import parts as parts
from experiments.claims.page import page as page
