"""Trains any cells on any task, over seeds and a grid of settings.

    recurrax train                                                  # 2 CPU cores, two to three minutes
    recurrax train --task copy --length 20 --cells LSTM MinLSTM --learning-rate 1e-3 3e-3 --forget-bias 0 1
    recurrax train --task recall --length 50 --distractors 0.5 --cells LRU --backend associative
    recurrax list tasks

All seeds at all points of the grid train in one compiled program; cells and sizes run one after another. The same
command resumes a stopped run, even after SIGKILL. A run has solved the task when it meets the task's criterion.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recurrax.cli import command
from recurrax.cli.train.config import PRESETS as PRESETS
from recurrax.cli.train.config import Config as Config
from recurrax.cli.train.training import main as main
from recurrax.cli.train.training import prepare as prepare


def run(arguments: Sequence[str]) -> None:
    """Runs the command line."""
    command.run(sys.modules[__name__], "recurrax train", arguments)
