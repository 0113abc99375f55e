"""Can an LSTM of a few thousand verses translate, and what does attention change?

    recurrax datasets get kjv-es                            # the verses, once
    python -m experiments.translation                       # with attention, one seed, about four minutes on a CPU core
    python -m experiments.translation --preset table        # with and without, three seeds each, a quarter of an hour
    python -m experiments.translation --help

Verses of the Reina-Valera of 1909 and the King James Bible of up to 20 words and signs. They are split by the hash of
the English verse, and a Spanish verse that is in the training split is taken out of the others, so that no sentence is
in two splits. Beside the nets stand the Spanish verse itself, the English of the most similar Spanish training verse,
and IBM's first model, a dictionary found by EM, which writes word by word. BLEU and chrF are sacreBLEU's.
"""

from experiments.translation.figures import draw as draw
from experiments.translation.pages import page as page
from experiments.translation.training import PRESETS as PRESETS
from experiments.translation.training import Config as Config
from experiments.translation.training import parts as parts
