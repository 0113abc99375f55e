"""The command line of `experiments.speed`."""

from __future__ import annotations

from experiments.command import run
from experiments.speed import __doc__ as description
from experiments.speed.config import PRESETS

if __name__ == "__main__":
    run("experiments.speed.experiment", PRESETS, description)
