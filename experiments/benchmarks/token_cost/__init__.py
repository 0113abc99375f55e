"""What does the next token cost: a recurrent net, or a Transformer that keeps all it has read?

    python -m experiments.benchmarks.token_cost              # one CPU core, about ten minutes
    python -m experiments.benchmarks.token_cost --help

Models of equally many weights write one token after another on one core. A recurrent net has a state of fixed size; a
Transformer keeps keys and values of its context, all of it or a window. For each length of the context the models take
turns in a fresh process, and every token is timed by itself: median, 99th percentile, bytes of state. Other fresh
processes give the peak memory. Whether a cache is written in place, not copied, is read off the compiled program.

Expected: the time of a recurrent net does not depend on the context, that of a Transformer rises with it. After 128
tokens the Transformer is still close to the recurrent nets; after thousands it is slower by far.
"""

from experiments.benchmarks.token_cost.figure import draw as draw
from experiments.benchmarks.token_cost.measurements import PRESETS as PRESETS
from experiments.benchmarks.token_cost.measurements import Config as Config
from experiments.benchmarks.token_cost.measurements import parts as parts
from experiments.benchmarks.token_cost.page import page as page

KEEP_PROGRAMS = False  # every program is compiled in its own process
