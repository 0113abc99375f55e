"""The command line of `experiments.claims`."""

from __future__ import annotations

from experiments.claims import __doc__ as description
from experiments.claims.config import PRESETS
from experiments.command import run

if __name__ == "__main__":
    run("experiments.claims.experiment", PRESETS, description)
