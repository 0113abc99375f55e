"""Downloads and checks data sets: ``recurrax datasets get mnist``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recurrax.datasets.__main__ import main


def run(arguments: Sequence[str]) -> None:
    """Runs the command line, the same as for ``python -m recurrax.datasets``."""
    if status := main(list(arguments), "recurrax datasets"):
        sys.exit(status)
