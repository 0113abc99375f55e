"""What does a byte of state remember?

    python -m experiments.memory_capacity                       # three cells at one size, one seed: three minutes
    python -m experiments.memory_capacity --preset table        # four cells, three sizes, three seeds: half an hour
    python -m experiments.memory_capacity --preset accelerator  # more cells, sizes and pairs, longer training
    python -m experiments.memory_capacity --help

Cells of each family (a dense one, diagonal linear ones, a matrix memory) stand in the same `recurrax.layers.Block` and
have states of equally many bytes. They learn two tasks: multi-query associative recall, where the value of every key
that was shown has to be given when the key comes again (Arora et al., 2023, "Zoology"), and copying ten symbols in
order. How many pairs, and how many symbols, does a state of so many bytes hold after the same training?

Expected: the matrix memory answers most pairs from 256 bytes on and copies badly; the linear recurrent unit with
complex eigenvalues copies perfectly and recalls nothing; the LSTM copies well from 256 bytes on, and learns recall
slowest.
"""

from experiments.memory_capacity.figures import draw as draw
from experiments.memory_capacity.pages import page as page
from experiments.memory_capacity.training import PRESETS as PRESETS
from experiments.memory_capacity.training import Config as Config
from experiments.memory_capacity.training import parts as parts
