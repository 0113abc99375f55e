"""Common parts of checkpoints and saved models: the error class, folders for Orbax, the main process, checksums."""

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

SIGNS = "*?[\\"  # Orbax finds its files by patterns that include the folder's name

OVERHEAD = 2**17  # size of Orbax's own files in bytes


class CheckpointError(Exception):
    """Raised if a checkpoint or saved model cannot be written or read, or is not the expected one."""


class OrbaxFolder:
    """A folder under a path that Orbax can read: its own path, or a link if the path contains pattern characters.

    Args:
        folder: an existing folder.

    Raises:
        CheckpointError: a link is needed but cannot be made.
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
    """Suppresses Orbax's logs of errors that it also raises, a screenful for each array."""

    def __enter__(self) -> None:
        self.before = {name: logging.getLogger(name).level for name in ("absl", "asyncio")}
        for name in self.before:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def __exit__(self, *_: Any) -> None:
        for name, level in self.before.items():
            logging.getLogger(name).setLevel(level)


def be_quiet_from_now_on() -> None:
    """Suppresses further logs of Orbax's threads after a failure."""
    logging.getLogger("absl").addFilter(_no_orbax)


def _no_orbax(entry: logging.LogRecord) -> bool:
    return "orbax" not in entry.pathname


def check_space(folder: Path, arrays: Any) -> None:
    """Raises OSError if the disk is too full for the arrays; Orbax would notice only while writing."""
    usage = shutil.disk_usage(folder)
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)) + OVERHEAD
    if jax.process_count() == 1 and usage.total and usage.free < needed:  # some network disks report no size
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {usage.free:,} bytes are free, {needed:,} are needed"
        )


def barrier(what: str) -> None:
    """Waits until every process has come to this point."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def is_main() -> bool:
    """Whether this is the process that writes shared files: records, metrics, settings."""
    return jax.process_index() == 0


def expanded(path: str | Path) -> Path:
    """The path with ``~`` as the home folder."""
    return Path(os.path.expanduser(path))


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder, by relative path."""
    return {name: digest(path) for name, path in files(folder).items()}


def files(folder: Path) -> dict[str, Path]:
    """All files in a folder, by relative path."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def damage(folder: Path, expected: dict[str, str]) -> str | None:
    """The damage of a folder with these checksums, e.g. "d/abc is missing"; None if it is intact."""
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
    """The error in one line; for errors of the operating system, also inside Orbax's errors, the system's message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    number = re.search(r"os_error_code='(\d+)'|\[Errno (\d+)\]", str(error))
    if number:
        return os.strerror(int(number[1] or number[2]))
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
