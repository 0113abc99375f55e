"""What does a layer cost: recurrax beside Flax, Haiku, Equinox, Keras and PyTorch, in one process?

    python -m experiments.benchmarks.speed                                # 2 CPU cores, an hour
    python -m experiments.benchmarks.speed --parts peers --cells LSTM     # one comparison alone
    python -m experiments.benchmarks.speed --help

We time a training step (value and gradient, with respect to all parameters, of mean(y^2) of one layer), a forward pass
and one streaming step. The implementations of a case take turns, and every call is waited for; compilation and memory
are reported apart. Then we measure how the cost grows with T, H, B and the number of runs, what the engines keep in
memory, the engines that are parallel over time, and what import and first call cost. Ratios travel from machine to
machine, milliseconds do not. An interrupted run keeps what it has measured as long as code, versions and device are the
same.
"""

from experiments.benchmarks.speed.config import PRESETS as PRESETS
from experiments.benchmarks.speed.config import Config as Config
from experiments.benchmarks.speed.figure import draw as draw
from experiments.benchmarks.speed.measurements import parts as parts
from experiments.benchmarks.speed.page import page as page

KEEP_PROGRAMS = False  # it measures how long compilation takes
