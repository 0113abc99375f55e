"""The command line of `experiments.ensembles`."""

from __future__ import annotations

from experiments.command import run
from experiments.ensembles import __doc__ as description
from experiments.ensembles.config import PRESETS

if __name__ == "__main__":
    run("experiments.ensembles.experiment", PRESETS, description)
