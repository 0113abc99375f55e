"""A Transformer beside recurrent nets of equally many weights: what does each learn, and how far does it carry?

    python -m experiments.transformer                    # LSTM and Transformer, adding and recall; a few minutes
    recurrax datasets get kjv                            # the text of the table, once
    python -m experiments.transformer --preset table     # a cell of each family, all tasks, and text
    python -m experiments.transformer --help

Two blocks of a Transformer with rotary positions, against one layer of a cell or one `recurrax.layers.Block` around it.
Learning rates come from one grid on seeds that are not reported (see `experiments.tuning`). Every net is trained at one
length and tested there and at twice and four times that length. Text is read in windows of 128 characters that begin
anew, and every model trains for equally many seconds.

Expected: the Transformer recalls associations and copies at the length of training soonest, and loses most at longer
ones; parity is for nets with a state. A CPU does not show what a Transformer gains by working on all steps at once.
"""

from experiments.transformer.figures import draw as draw
from experiments.transformer.pages import page as page
from experiments.transformer.training import PRESETS as PRESETS
from experiments.transformer.training import Config as Config
from experiments.transformer.training import parts as parts
