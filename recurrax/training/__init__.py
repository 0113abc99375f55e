"""Training: many seeds of one model in one compiled program, with data made on the device."""

from recurrax.training.fit import History as History
from recurrax.training.fit import Plan as Plan
from recurrax.training.fit import fit as fit
from recurrax.training.run import Run as Run
from recurrax.training.run import adam as adam
from recurrax.training.run import chunk as chunk
from recurrax.training.run import evaluate as evaluate
from recurrax.training.run import start as start
from recurrax.training.run import step as step
