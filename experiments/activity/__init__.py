"""Which exercise is a person doing, told from a smartwatch by a model that has never seen that person?

    recurrax datasets get watch
    python -m experiments.activity                   # 2 CPU cores, about three minutes
    python -m experiments.activity --preset table    # LSTM and GRU, three seeds, about six minutes
    python -m experiments.activity --help

Ten people do seven exercises of the shoulder while a watch records acceleration and rotation. A window of five seconds
is one example. People are split into five folds, so that nobody is in training and test; accuracy is counted for each
person, because people differ more than seeds. Beside the networks stand the most frequent exercise and a random forest
on statistics of the same windows. Two checks: windows split at random (a trap: neighbours leak), and shuffled labels.

Expected: about 0.8 for the networks and the forest, far more if windows are split at random,
chance for shuffled labels.
"""

from experiments.activity.pages import draw as draw
from experiments.activity.pages import page as page
from experiments.activity.training import PRESETS as PRESETS
from experiments.activity.training import Config as Config
from experiments.activity.training import parts as parts
