"""The command line of `experiments.copy_memory`."""

from __future__ import annotations

from experiments.command import run
from experiments.copy_memory import __doc__ as description
from experiments.copy_memory.config import PRESETS

if __name__ == "__main__":
    run("experiments.copy_memory.experiment", PRESETS, description)
