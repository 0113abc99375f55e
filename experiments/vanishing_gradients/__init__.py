"""How long a delay does each cell bridge, and what does the gradient have to do with it?

    python -m experiments.vanishing_gradients                 # 2 CPU cores, two to three minutes; again, about one
    python -m experiments.vanishing_gradients --preset grid   # how the learning rates were chosen
    python -m experiments.vanishing_gradients --help

A plain RNN, a GRU and an LSTM of the same size learn two tasks at growing lengths: five-bit copy (Martens & Sutskever,
2011), where five bits must be repeated after a delay, and adding (Hochreiter & Schmidhuber, 1997), where two marked
numbers of a sequence must be added. A run has solved a task when it meets the task's own criterion, which for copy is
that more than 99% of whole sequences are right. Every cell has the same grid of learning rates and the same budget;
the rates were chosen on other seeds than those that are reported.

Beside it stands the cause: how much of the gradient at the last step reaches each earlier step, before training and
after it, and the gates that let it pass.

Expected: the plain RNN solves the short delays, sooner than the others do, and none of the long ones; GRU and LSTM
solve them all. In the trained RNN the gradient vanishes on its way back, in the GRU and the LSTM it arrives.
"""

from experiments.vanishing_gradients.config import PRESETS as PRESETS
from experiments.vanishing_gradients.config import Config as Config
from experiments.vanishing_gradients.figures import draw as draw
from experiments.vanishing_gradients.measurements import parts as parts
from experiments.vanishing_gradients.page import page as page
