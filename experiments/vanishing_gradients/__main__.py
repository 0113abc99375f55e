"""The command line of `experiments.vanishing_gradients`."""

from __future__ import annotations

from experiments.command import run
from experiments.vanishing_gradients import __doc__ as description
from experiments.vanishing_gradients.config import PRESETS

if __name__ == "__main__":
    run("experiments.vanishing_gradients.experiment", PRESETS, description)
