"""Files inside wheels, source distributions and Debian packages, read without installing any of them."""

from __future__ import annotations

import fnmatch
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

AR, HEADER = b"!<arch>\n", 60  # the magic bytes of a Debian package, and the size of a header in it


def files(archive: Path, pattern: str) -> dict[str, bytes]:
    """The files of an archive whose paths match a pattern such as ``*/stocks.csv.gz``, by path in sorted order.

    Raises:
        ValueError: no path matches.
    """
    read = _unzip if zipfile.is_zipfile(archive) else _untar if tarfile.is_tarfile(archive) else _undeb
    found = dict(sorted(read(archive, pattern)))
    if not found:
        raise ValueError(f"{archive.name} holds no {pattern}; allowed: the release that is named. Get it again.")
    return found


def file(archive: Path, pattern: str) -> bytes:
    """The first file that matches."""
    return next(iter(files(archive, pattern).values()))


def _unzip(archive: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as opened:
        for name in fnmatch.filter(opened.namelist(), pattern):
            yield name, opened.read(name)


def _untar(archive: Path | io.BytesIO, pattern: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) if isinstance(archive, Path) else tarfile.open(fileobj=archive) as opened:
        for member in opened:
            content = opened.extractfile(member) if fnmatch.fnmatch(member.name, pattern) and member.isfile() else None
            if content is not None:
                yield member.name, content.read()


def _undeb(archive: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """The files of a Debian package, an ``ar`` archive of three files; the last one is a tar of all files."""
    content = archive.read_bytes()
    if not content.startswith(AR):
        raise ValueError(f"{archive.name} is not a wheel, tar or Debian package; allowed: one of them. Get it again.")
    place = len(AR)
    while place < len(content):
        name, size = content[place : place + 16].decode().strip(), int(content[place + 48 : place + 58])
        if name.startswith("data.tar"):
            yield from _untar(io.BytesIO(content[place + HEADER : place + HEADER + size]), pattern)
        place += HEADER + size + size % 2  # files begin at even offsets
