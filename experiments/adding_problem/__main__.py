"""The command line of `experiments.adding_problem`."""

from __future__ import annotations

from experiments.adding_problem import __doc__ as description
from experiments.adding_problem.config import PRESETS
from experiments.command import run

if __name__ == "__main__":
    run("experiments.adding_problem.experiment", PRESETS, description)
