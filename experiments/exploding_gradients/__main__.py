"""The command line of `experiments.exploding_gradients`."""

from __future__ import annotations

from experiments.command import run
from experiments.exploding_gradients import __doc__ as description
from experiments.exploding_gradients.config import PRESETS

if __name__ == "__main__":
    run("experiments.exploding_gradients.experiment", PRESETS, description)
