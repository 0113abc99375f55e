"""Common parts of the subcommands: settings, errors in one line, exit statuses, and several hosts."""

from __future__ import annotations

import contextlib
import re
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recurrax import compilation
from recurrax.cli.settings import read

HOSTS = "auto | HOST:PORT,PROCESSES,PROCESS"


def run(module: types.ModuleType | Any, program: str, arguments: Sequence[str]) -> None:
    """Runs a subcommand: ``prepare(config)`` checks the settings, and ``main(config, prepared)`` does the work.

    An invalid value ends the program with one line and status 2 before anything is compiled; for others see `statuses`.

    Args:
        module: a module with ``__doc__``, ``PRESETS``, ``prepare`` and ``main``; ``KEEP_PROGRAMS = False`` turns off
            the compilation cache.
        program: the name of the command.
        arguments: the words of the command line.
    """
    try:
        config = read(program, module.PRESETS, arguments, module.__doc__ or "")
        if getattr(config, "hosts", None) is not None:
            connect(config.hosts)
        compilation.keep(getattr(module, "KEEP_PROGRAMS", True))
        prepared = module.prepare(config)
    except (ValueError, TypeError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    with statuses():
        module.main(config, prepared)


@contextlib.contextmanager
def statuses() -> Iterator[None]:
    """Ends the program with one line if a run fails.

    An unusable checkpoint, a file that cannot be written and a missing package give status 1. SIGTERM saves the state
    and gives 143; Ctrl-C gives 130.
    """
    from recurrax.training import CheckpointError, Preempted

    try:
        yield
    except (CheckpointError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Preempted as stop:
        print(stop, file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print("interrupted; the same command resumes from the last checkpoint", file=sys.stderr)
        sys.exit(130)


def connect(hosts: str) -> None:
    """Connects the processes of several hosts as given by ``--hosts``.

    Raises:
        ValueError: the word is not one of `HOSTS`, or no cluster is found.
    """
    match = re.fullmatch(r"(?P<coordinator>[^,]+:\d+),(?P<processes>\d+),(?P<process>\d+)", hosts)
    if hosts != "auto" and match is None:
        raise ValueError(f"--hosts {hosts!r}; allowed: --hosts {HOSTS}. Try --hosts auto on a cluster.")
    from recurrax.training import connect

    if match is None:
        connect()
    else:
        connect(match["coordinator"], int(match["processes"]), int(match["process"]))


def say(text: str) -> None:
    """Prints progress on stderr, so that stdout holds only the results."""
    print(text, file=sys.stderr, flush=True)


def say_where(out: Path, digest: str) -> None:
    """Prints the full paths of a record, its page and its figure, one per line."""
    for path in sorted(out.expanduser().resolve().glob(f"{digest}*")):
        print(path)
