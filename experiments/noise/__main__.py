"""The command line of `experiments.noise`."""

from __future__ import annotations

from experiments.command import run
from experiments.noise import __doc__ as description
from experiments.noise.config import PRESETS

if __name__ == "__main__":
    run("experiments.noise.experiment", PRESETS, description)
