"""The error of a data set that is not there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path


class MissingData(FileNotFoundError, ValueError):
    """A data set that is in none of the places looked in; the message names them, the command and the files wanted."""

    def __init__(self, name: str, folders: Sequence[Path], files: Collection[str]):
        looked = ", ".join(map(str, folders))
        super().__init__(
            f"no data set {name!r} in {looked}; allowed: a folder that holds it. Get it with "
            f"`python -m recurrax.datasets get {name} --data-dir {folders[0]}`, or put there: {', '.join(files)}."
        )
