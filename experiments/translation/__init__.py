"""Can an LSTM of a few thousand verses translate, and what does attention change?

    recurrax datasets get kjv-es                            # the verses, once
    python -m experiments.translation                       # with attention, one seed; 2 CPU cores, five minutes
    python -m experiments.translation --preset table        # with and without it, three seeds each, about 40 minutes
    python -m experiments.translation --help

Verses of the Reina-Valera of 1909 and the King James Bible: those that are tested have up to 20 words and signs, those
that are learnt from up to 30. They are split by the hash of the English verse, and a Spanish verse that is in an
earlier split is taken out of the later ones, so that no sentence is in two splits. Beside the nets stand the Spanish
verse itself, the English of the most similar Spanish training verse, and IBM's first model, a dictionary found by EM,
which writes word by word. BLEU and chrF are sacreBLEU's.

Expected: about 30 BLEU with attention, 23 for the dictionary and 14 for the most similar verse. Without attention the
network hardly translates: 1 BLEU.
"""

from experiments.translation.figures import draw as draw
from experiments.translation.pages import page as page
from experiments.translation.training import PRESETS as PRESETS
from experiments.translation.training import Config as Config
from experiments.translation.training import parts as parts
