"""How much of "vanishing gradients" is the initialisation?

    python -m experiments.initialization              # 2 CPU cores, six minutes
    python -m experiments.initialization --help

Four measurements: (a) whether each gate's recurrent kernel is orthogonal, in the installed Flax and here, and what the
Jacobian of 30 steps makes of it; (b) the slope of the gradient against lag for every initialisation of LSTM, GRU and
RNN; (c) how soon each of them solves adding, all initialisations, learning rates and seeds of a cell in one program;
(d) the slope of every cell of the library with its own defaults.

Expected: an orthogonal draw of the fused kernel [H, 4H] leaves no gate orthogonal and lets through a small part of what
orthogonal gates do; (c) asks which start learns soonest, and gives the rank
correlation with the slope.
"""

from experiments.initialization.measurements import parts as parts
from experiments.initialization.page import draw as draw
from experiments.initialization.page import page as page
from experiments.initialization.starts import PRESETS as PRESETS
from experiments.initialization.starts import Config as Config
