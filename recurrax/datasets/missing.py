"""The error for a missing data set."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path


class MissingData(FileNotFoundError, ValueError):
    """Raised if a data set is not found; the message lists the folders searched, the command and the files needed."""

    def __init__(self, name: str, folders: Sequence[Path], files: Collection[str]):
        looked = ", ".join(map(str, folders))
        super().__init__(
            f"no data set {name!r} in {looked}; allowed: a folder that holds it. Get it with "
            f"`python -m recurrax.datasets get {name} --data-dir {folders[0]}`, or put there: {', '.join(files)}."
        )
