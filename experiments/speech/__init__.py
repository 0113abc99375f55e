"""Can a recurrent net write down what it hears, learning from eight minutes of speech?

    recurrax datasets get prompts
    recurrax datasets get japanese-vowels
    python -m experiments.speech                     # one model on one fold; 2 CPU cores, about four minutes
    python -m experiments.speech --preset table      # every model on all five folds, three seeds, about 40 minutes
    python -m experiments.speech --help

The prompts of a telephone exchange, one speaker at 8 kHz, are cut into log-mel frames, and a net that reads them in
both directions learns to write the letters by connectionist temporal classification (CTC): nobody tells it which frame
belongs to which letter. No text is in two folds. Beside it stands the text of the nearest training utterance. A second,
smaller task: name the speaker of a vowel (JapaneseVowels), where linear and nearest-neighbour methods are strong.

Expected: a letter error rate below one half for networks that read in both directions, and about 0.6 for the nearest
utterance, which has fewer words wrong; hardly a whole sentence without an error. On the vowels no method is clearly
better than a linear classifier.
"""

from experiments.speech.figures import draw as draw
from experiments.speech.pages import page as page
from experiments.speech.training import PRESETS as PRESETS
from experiments.speech.training import Config as Config
from experiments.speech.training import parts as parts
