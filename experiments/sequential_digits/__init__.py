"""Can a recurrent net read a digit pixel by pixel, and is it worth it?

    python -m experiments.sequential_digits                                      # 2 CPU cores, about nine minutes
    python -m experiments.sequential_digits --preset families                    # a cell of each other family
    python -m experiments.sequential_digits --preset mnist --data-dir data       # rows of MNIST
    python -m experiments.sequential_digits --help

The 8 x 8 digits of scikit-learn are read pixel by pixel (64 steps), in a fixed random order, and row by row (8 steps);
with `--data` also MNIST (784 steps, `--preset accelerator`) or CIFAR-10. Every cell has the same grid and the same
budget. The validation split chooses its learning rate and its best model, which is tested once on the test split.
Beside it stand a linear classifier of the same pixels, which needs no memory, and the majority class. The numbers that
are published for MNIST stand beside ours.
"""

from experiments.sequential_digits.pages import baseline_rows as baseline_rows
from experiments.sequential_digits.pages import draw as draw
from experiments.sequential_digits.pages import page as page
from experiments.sequential_digits.training import PRESETS as PRESETS
from experiments.sequential_digits.training import Config as Config
from experiments.sequential_digits.training import parts as parts
