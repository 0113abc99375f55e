"""The command line of `experiments.length_generalization`."""

from __future__ import annotations

from experiments.command import run
from experiments.length_generalization import __doc__ as description
from experiments.length_generalization.config import PRESETS

if __name__ == "__main__":
    run("experiments.length_generalization.experiment", PRESETS, description)
