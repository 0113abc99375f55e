"""What checkpoints and saved models share: one kind of error, folders that Orbax can read, who writes, checksums."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

SIGNS = (
    "*?[\\"  # which Orbax does not take as they are: it finds its files by patterns that the folder's name is part of
)

OVERHEAD = 2**17  # bytes of Orbax's own files


class CheckpointError(Exception):
    """A checkpoint or a saved model that cannot be written or read, or that is not the one asked for."""


class OrbaxFolder:
    """A folder as Orbax can read it: by its own path, or where that has signs of a pattern in it, by a link to it.

    Args:
        folder: what exists.

    Raises:
        CheckpointError: a link is needed and cannot be made.
    """

    def __init__(self, folder: Path):
        self.path, self._links = folder.absolute(), None
        if not any(sign in str(self.path) for sign in SIGNS):
            return
        allowed = f"allowed: a path without any of {' '.join(SIGNS)}. Rename the folder, or use another one."
        if jax.process_count() > 1 or any(sign in tempfile.gettempdir() for sign in SIGNS):
            raise CheckpointError(
                f"Orbax cannot read from {folder}, because its path holds a sign of patterns; {allowed}"
            )
        self._links = tempfile.TemporaryDirectory(prefix="recurrax-")
        link = Path(self._links.name) / "folder"
        try:
            link.symlink_to(self.path, target_is_directory=True)
        except OSError as error:
            self.close()
            raise CheckpointError(
                f"Orbax cannot read from {folder}, because its path holds a sign of patterns, and a link to it cannot "
                f"be made ({error.strerror}); {allowed}"
            ) from error
        self.path = link

    def close(self) -> None:
        """Removes the link."""
        if self._links is not None:
            self._links.cleanup()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: Any) -> None:
        self.close()


class quiet:
    """Orbax logs what it then raises, a screenful for each array; the exception is enough."""

    def __enter__(self) -> None:
        self.before = {name: logging.getLogger(name).level for name in ("absl", "asyncio")}
        for name in self.before:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def __exit__(self, *_: Any) -> None:
        for name, level in self.before.items():
            logging.getLogger(name).setLevel(level)


def be_quiet_from_now_on() -> None:
    """After a failure: what Orbax's threads have still to say of it, screens of it, is not shown any more."""
    logging.getLogger("absl").addFilter(_no_orbax)


def _no_orbax(entry: logging.LogRecord) -> bool:
    return "orbax" not in entry.pathname


def check_space(folder: Path, arrays: Any) -> None:
    """Raises OSError if the disk is too full for the arrays: Orbax would only find out in the middle."""
    usage = shutil.disk_usage(folder)
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)) + OVERHEAD
    if jax.process_count() == 1 and usage.total and usage.free < needed:  # some network disks tell no size
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {usage.free:,} bytes are free, {needed:,} are needed"
        )


def barrier(what: str) -> None:
    """Waits until every process has come to this point."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def is_main() -> bool:
    """Whether this process writes what only one may write: records, metrics, settings."""
    return jax.process_index() == 0


def expanded(path: str | Path) -> Path:
    """The path with ``~`` as the home folder."""
    return Path(os.path.expanduser(path))


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by its path in it."""
    return {name: digest(path) for name, path in files(folder).items()}


def files(folder: Path) -> dict[str, Path]:
    """Every file in a folder, by its path in it."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def damage(folder: Path, expected: dict[str, str]) -> str | None:
    """What is wrong with a folder of these checksums, e.g. "d/abc is missing"; None if nothing is."""
    there = files(folder)
    for name, checksum in expected.items():
        if name not in there:
            return f"{name} is missing"
        if digest(there[name]) != checksum:
            return f"{name} is damaged or cut short"
    return None


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: BaseException) -> str:
    """What went wrong in one line; of an error of the operating system, also inside one of Orbax, its own words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    number = re.search(r"os_error_code='(\d+)'|\[Errno (\d+)\]", str(error))
    if number:
        return os.strerror(int(number[1] or number[2]))
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
