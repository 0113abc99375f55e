"""Downloads and lists data sets: `recurrax datasets list`, `recurrax datasets get mnist --data-dir data`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from recurrax.datasets.get import get
from recurrax.datasets.load import DATASETS, default_folder
from recurrax.datasets.packaged import keep, read
from recurrax.datasets.ready import READY

BUILT_IN = "digits"  # bundled with scikit-learn


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Ends the program with one line and status 2."""
        self.exit(2, f"error: {message}. See {self.prog} --help.\n")


def main(arguments: list[str] | None = None, program: str = "python -m recurrax.datasets") -> int:
    """Downloads and describes a data set; returns the exit status, 1 with one line on stderr after a failure."""
    given = _parser(program).parse_args(arguments)
    if given.command == "list":
        print(_listed())
        return 0
    folder = given.data_dir.expanduser()
    try:
        print(_packaged(given, folder) if given.name in READY else _prepared(given, folder))
    except (ValueError, OSError, ImportError) as error:
        known = isinstance(error, ValueError | ConnectionError | ImportError)
        text = error if known else f"--data-dir {folder}: {error}; allowed: a folder that can be written to"
        print(f"error: {text}", file=sys.stderr)
        return 1
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=program, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the data sets there are")
    command = commands.add_parser("get", help="download, verify and store")
    command.add_argument("name", choices=[name for name in DATASETS if name != BUILT_IN] + list(READY))
    command.add_argument("--data-dir", type=Path, default=default_folder(), help="where to keep it (%(default)s)")
    command.add_argument("--manual-dir", type=Path, help="folder with the original files, in place of a download")
    return parser


def _packaged(given: argparse.Namespace, folder: Path) -> str:
    """Stores the arrays of a package, and describes them with source and licence."""
    about, place = READY[given.name], keep(given.name, folder, given.manual_dir)
    arrays = ", ".join(f"{name} {value.dtype}{list(value.shape)}" for name, value in read(given.name, folder).items())
    sources = ", ".join(archive.source for archive in about.archives)
    return f"{given.name}: {about.about}\narrays: {arrays}\nsource: {sources}\nlicence: {about.licence}\n{place}"


def _prepared(given: argparse.Namespace, folder: Path) -> str:
    data = get(given.name, folder, given.manual_dir)
    sizes = " / ".join(f"{size:,}" for size in data.sizes)
    return f"{data.name}: {sizes} in {given.data_dir}; {data.source}; SHA-256 {data.sha256}"


def _listed() -> str:
    """One line for each data set."""
    images = [f"{name:20}{(load.__doc__ or '').partition(chr(10))[0].rstrip('.')}" for name, load in DATASETS.items()]
    others = [f"{name:20}{about.about}; {about.licence}" for name, about in READY.items()]
    return "\n".join(["recurrax.datasets.load(NAME):", *images, "", "recurrax.datasets.read(NAME):", *others])


if __name__ == "__main__":
    sys.exit(main())
