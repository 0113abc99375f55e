"""Selective forgetting: do gates keep noise out, and which gate does it?

    python -m experiments.noise              # 2 CPU cores, three to four minutes
    python -m experiments.noise --help

A bit is shown once, at a marked step, under noise that goes on at every step until the answer is due (task `Recall`).
Every cell learns it anew at each noise level and delay, with the same budget and learning rates. On examples that
influenced no choice we measure the accuracy, between guessing, 1/2, and a perfect observer, Phi(1 / noise), and count
the seeds that come nine tenths of the way. Then we ask what lets the noise into a trained model: the gradient of the
answer with respect to the value at the cue over that at the other steps, the share of noise in the answer, and the
write gate at the cue and elsewhere.

Expected: without noise nearly every cell learns it. Under noise cells with a write gate (LSTM, CIFG, GRU) mostly come
to the ceiling; those without one (RNN, IRNN, LSTM without input gate) mostly do at the short delay, and not at the long
one.
"""

from experiments.noise.measurements import PRESETS as PRESETS
from experiments.noise.measurements import Config as Config
from experiments.noise.measurements import parts as parts
from experiments.noise.page import draw as draw
from experiments.noise.page import page as page
