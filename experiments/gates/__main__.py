"""The command line of `experiments.gates`."""

from __future__ import annotations

from experiments.command import run
from experiments.gates import __doc__ as description
from experiments.gates.config import PRESETS

if __name__ == "__main__":
    run("experiments.gates.experiment", PRESETS, description)
