"""The command line of `experiments.train`."""

from __future__ import annotations

from experiments.command import run
from experiments.train import __doc__ as description
from experiments.train.config import PRESETS

if __name__ == "__main__":
    run("experiments.train.experiment", PRESETS, description, several_hosts=True)
