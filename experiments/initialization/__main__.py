"""The command line of `experiments.initialization`."""

from __future__ import annotations

from experiments.command import run
from experiments.initialization import __doc__ as description
from experiments.initialization.config import PRESETS

if __name__ == "__main__":
    run("experiments.initialization.experiment", PRESETS, description)
