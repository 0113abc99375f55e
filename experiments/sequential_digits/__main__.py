"""The command line of `experiments.sequential_digits`."""

from __future__ import annotations

from experiments.command import run
from experiments.sequential_digits import __doc__ as description
from experiments.sequential_digits.config import PRESETS

if __name__ == "__main__":
    run("experiments.sequential_digits.experiment", PRESETS, description)
