"""Gets a data set: `recurrax datasets get mnist --data-dir data`, or `python -m recurrax.datasets get mnist ...`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from recurrax.datasets.get import get
from recurrax.datasets.load import DATASETS, default_folder


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Ends the program with one line and status 2."""
        self.exit(2, f"error: {message}. See {self.prog} --help.\n")


def main(arguments: list[str] | None = None, program: str = "python -m recurrax.datasets") -> int:
    """Gets a data set and says what it is; gives the exit status, 1 with one line on stderr where that failed."""
    parser = _Parser(prog=program, description=__doc__)
    command = parser.add_subparsers(dest="command", required=True).add_parser("get", help="download, verify and store")
    command.add_argument("name", choices=[name for name in DATASETS if name != "digits"])
    command.add_argument("--data-dir", type=Path, default=default_folder(), help="where to keep it (%(default)s)")
    command.add_argument("--manual-dir", type=Path, help="folder with the original files, in place of a download")
    given = parser.parse_args(arguments)
    try:
        data = get(given.name, given.data_dir.expanduser(), given.manual_dir)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sizes = " / ".join(f"{size:,}" for size in data.sizes)
    print(f"{data.name}: {sizes} in {given.data_dir}; {data.source}; SHA-256 {data.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
