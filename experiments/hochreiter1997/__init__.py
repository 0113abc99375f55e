"""Do the experiments of Long Short-Term Memory (1997) come out as the paper says, with its own cell and algorithm?

    python -m experiments.hochreiter1997                   # 2 CPU cores, some six minutes: 4, 6a, parts of 2
    python -m experiments.hochreiter1997 --preset long     # every row but the longest, some two hours
    python -m experiments.hochreiter1997 --rows 6b 5       # any rows
    python -m experiments.hochreiter1997 --help

The cell of 1997 (input and output gates, no forget gate, gates that see gates), truncated gradient, one sequence, one
update, plain gradient descent on half the squared error, the paper's learning rates, initial gate biases, numbers of
trials and stop rules, then a test on 2,560 fresh sequences. A trial that is not stopped by its cap is censored.

Expected: experiments 4 (with a linear output), 6a and 3 stop where the paper's did. Experiment 4 with the logistic
output that the text asks for does not: targets near 0 and 1 stay out of reach.
"""

from experiments.hochreiter1997.config import PRESETS as PRESETS
from experiments.hochreiter1997.config import Config as Config
from experiments.hochreiter1997.measurements import parts as parts
from experiments.hochreiter1997.page import baseline_rows as baseline_rows
from experiments.hochreiter1997.page import draw as draw
from experiments.hochreiter1997.page import page as page
