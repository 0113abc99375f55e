"""The command line of `experiments.engine_options`."""

from __future__ import annotations

from experiments.command import run
from experiments.engine_options import __doc__ as description
from experiments.engine_options.config import PRESETS

if __name__ == "__main__":
    run("experiments.engine_options.experiment", PRESETS, description)
