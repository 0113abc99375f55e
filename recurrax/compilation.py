"""Keeps compiled programs on disk, so that the second run of a command starts at once.

JAX has such a cache, but it is off by default. JAX does not write an entry atomically, never replaces an existing
entry, and warns at every run about an entry that it cannot read. So every process that uses the cache holds its own
lock. If a process finds a lock without an owner, another one was killed, and it deletes the entries that cannot be
read.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import jax

try:
    import fcntl as _fcntl
except ImportError:  # Windows, where nothing is kept
    _fcntl = None

fcntl: Any = _fcntl

LIMIT = 2**30  # bytes; the oldest entries are deleted when the folder is larger
ENTRIES, LOCKS = "*-cache", "*.lock"
ZSTANDARD = b"\x28\xb5\x2f\xfd"  # the magic number of the format
TOLERATED = "Error (reading|writing) persistent compilation cache entry"  # partial entry, or full disk

_held: list[int] = []  # file descriptors of this process's locks: the lock lives as long as they do


def keep(wanted: bool = True) -> Path | None:
    """Keeps compiled programs between runs of a command line, in the user's cache folder.

    The folder is ``recurrax/programs`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``. If the user has set
    ``JAX_COMPILATION_CACHE_DIR``, JAX uses that folder and manages it alone. ``JAX_ENABLE_COMPILATION_CACHE=0`` turns
    all of it off.

    Args:
        wanted: False does nothing; programs that measure the time of compilation use it.

    Returns:
        The folder, or None if nothing is kept.
    """
    config: Any = jax.config
    if not wanted or fcntl is None or not config.jax_enable_compilation_cache:
        return None
    if config.jax_compilation_cache_dir:
        return Path(config.jax_compilation_cache_dir)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "recurrax" / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        clean(folder)
        _hold(folder)
    except OSError:  # the home folder is not writable: everything works, but is compiled each time
        return None
    warnings.filterwarnings("ignore", TOLERATED)
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def clean(folder: Path) -> None:
    """Deletes the entries that a killed process left incomplete, and the oldest entries beyond `LIMIT`."""
    abandoned = {lock: found.st_mtime for lock, found in _stats(folder, LOCKS).items() if _is_free(lock)}
    since = min(abandoned.values(), default=float("inf")) - 1  # file systems record times coarsely
    entries = _stats(folder, ENTRIES)
    total = 0
    for entry in sorted(entries, key=lambda entry: entries[entry].st_mtime, reverse=True):
        total += entries[entry].st_size
        if total > LIMIT or (entries[entry].st_mtime >= since and not is_whole(entry)):
            entry.unlink(missing_ok=True)
    for lock in abandoned:
        lock.unlink(missing_ok=True)


def is_whole(entry: Path) -> bool:
    """Whether an entry can be read to its end: JAX compresses with Zstandard where that is installed, else zlib."""
    try:
        data = entry.read_bytes()
        return bool(_zstandard(data) if data[:4] == ZSTANDARD else zlib.decompress(data))
    except Exception:  # any error means that the entry is unusable
        return False


def _zstandard(data: bytes) -> bytes:
    try:
        from compression import zstd  # type: ignore[import-not-found]  # Python 3.14
    except ImportError:
        import zstandard  # type: ignore[import-not-found]

        return zstandard.ZstdDecompressor().decompress(data)
    return zstd.decompress(data)


def _stats(folder: Path, pattern: str) -> dict[Path, os.stat_result]:
    """The stat results of a folder's files; another process may delete files meanwhile."""
    found = {}
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat()
    return found


def _hold(folder: Path) -> None:
    """Creates a lock for this process; it stays behind without an owner if the process is killed."""
    while True:
        descriptor, name = tempfile.mkstemp(".lock", dir=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)  # another process found the lock before it was held, and deleted it as abandoned
    _held.append(descriptor)
    atexit.register(Path(name).unlink, missing_ok=True)


def _is_free(lock: Path) -> bool:
    """Whether the process that made a lock has ended."""
    with contextlib.suppress(OSError), lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
