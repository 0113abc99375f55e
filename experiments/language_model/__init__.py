"""How well does a recurrent net predict the next character of a book, and is it better than counting?

    recurrax datasets get kjv                                # the text, once
    python -m experiments.language_model                     # one LSTM, 2 CPU cores, three minutes
    python -m experiments.language_model --preset table      # four cells, three seeds each: 25 minutes of a CPU core
    python -m experiments.language_model --preset restarts   # settings with which an LSTM gets stuck: 7 minutes
    python -m experiments.language_model --help

The King James Bible is cut in order: 90% of its characters are trained on, the next 5% choose the best evaluation, and
the last 5% are the test. Cells of about equally many weights get the same number of updates. Beside them stand n-grams
with Witten and Bell's smoothing up to six characters, and bz2 and xz, which are given the training text. In training,
places of the book are now and then read on from the initial state; the page also shows what happens without.

Expect about 1.8 bits a character of an LSTM after three minutes, ahead of a 6-gram and just behind bz2, both of which
take seconds; with the fewer updates of the table a GRU needs 1.9 bits and an LSTM 1.95, and the 6-gram is ahead.
"""

from experiments.language_model.figures import draw as draw
from experiments.language_model.pages import page as page
from experiments.language_model.training import PRESETS as PRESETS
from experiments.language_model.training import Config as Config
from experiments.language_model.training import parts as parts
