"""The command line of `experiments.temporal_order`."""

from __future__ import annotations

from experiments.command import run
from experiments.temporal_order import __doc__ as description
from experiments.temporal_order.config import PRESETS

if __name__ == "__main__":
    run("experiments.temporal_order.experiment", PRESETS, description)
