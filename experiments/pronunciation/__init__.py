"""How is a word pronounced that a net has never seen, and does attention help it to spell it out?

    recurrax datasets get cmudict                           # the dictionary, once
    python -m experiments.pronunciation                     # with attention, one seed; 2 CPU cores, three minutes
    python -m experiments.pronunciation --preset table      # with and without it, three seeds each, about 25 minutes
    python -m experiments.pronunciation --help

Words of the CMU Pronouncing Dictionary of up to 12 letters, split by the hash of the word, so that no word is in two
splits. An LSTM reads the letters in both directions, another one writes the phonemes, with attention or without, by
greedy or beam search. Beside them stand what counting reaches once letters and phonemes are aligned by EM: each letter
alone, a window of five letters, and n-grams of letter-phoneme pairs, which are the classical answer and hard to beat.

Expected: about 9% of the phonemes wrong with attention, 12% without it, most of the difference in long words, and 8%
for the n-grams, which need a minute.
"""

from experiments.pronunciation.figures import draw as draw
from experiments.pronunciation.pages import page as page
from experiments.pronunciation.training import PRESETS as PRESETS
from experiments.pronunciation.training import Config as Config
from experiments.pronunciation.training import parts as parts
