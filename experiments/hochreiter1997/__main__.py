"""The command line of `experiments.hochreiter1997`."""

from __future__ import annotations

from experiments.command import run
from experiments.hochreiter1997 import __doc__ as description
from experiments.hochreiter1997.config import PRESETS

if __name__ == "__main__":
    run("experiments.hochreiter1997.experiment", PRESETS, description)
