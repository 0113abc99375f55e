"""The command line of every experiment: presets, flags from its config, several hosts, errors in one line."""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

import tyro

HOSTS = "--hosts auto | HOST:PORT,PROCESSES,PROCESS"


def run(module: str, presets: dict[str, Any], description: str | None, *, several_hosts: bool = False) -> None:
    """Parses the command line, then imports ``module`` (and so jax) and calls its ``prepare`` and ``main``.

    ``--preset NAME`` picks the defaults, every other flag overrides one field of the config. ``--hosts``, where the
    experiment is made for it, joins the processes of several hosts. A bad value, found here or by ``prepare(config)``,
    ends the program with one line on stderr and exit status 2 before anything is compiled; a checkpoint that cannot be
    used or written, with status 1; SIGTERM with 143, after the state is saved; Ctrl-C with 130.
    """
    try:
        preset, arguments = _take(sys.argv[1:], "--preset")
        hosts, arguments = _take(arguments, "--hosts") if several_hosts else (None, arguments)
        defaults = _preset(presets, preset)
        text = f"{description}\nPresets, to be overridden by the flags below: --preset {' | '.join(presets)}."
        if several_hosts:
            text += f"\nSeveral hosts, the same command on each: {HOSTS}\n(auto reads the cluster's environment)."
        program = f"python -m {module.removesuffix('.experiment')}"
        config = tyro.cli(type(defaults), prog=program, default=defaults, args=arguments, description=text)
        if hosts is not None:
            _connect(hosts)
        experiment = importlib.import_module(module)
        prepared = experiment.prepare(config)
    except (ValueError, TypeError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    _main(experiment, config, prepared)


def _main(experiment: Any, config: Any, prepared: Any) -> None:
    from recurrax.training import CheckpointError, Preempted

    try:
        experiment.main(config, prepared)
    except (CheckpointError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Preempted as stop:
        print(stop, file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)


def _take(arguments: list[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag that no config has, and the other arguments."""
    for index, argument in enumerate(arguments):
        if argument == flag or argument.startswith(f"{flag}="):
            inline = argument.partition("=")[2]
            value = inline or (arguments[index + 1] if index + 1 < len(arguments) else "")
            return value, arguments[:index] + arguments[index + (1 if inline else 2) :]
    return None, arguments


def _preset(presets: dict[str, Any], name: str | None) -> Any:
    names = list(presets)
    if name is None:
        return presets[names[0]]
    if name not in presets:
        raise ValueError(f"unknown preset {name!r}; allowed: {', '.join(names)}. Try --preset {names[0]}.")
    return presets[name]


def _connect(hosts: str) -> None:
    match = re.fullmatch(r"(?P<coordinator>[^,]+:\d+),(?P<processes>\d+),(?P<process>\d+)", hosts)
    if hosts != "auto" and match is None:
        raise ValueError(f"--hosts {hosts!r}; allowed: {HOSTS}. Try --hosts auto on a cluster.")
    from recurrax.training import connect

    if match is None:
        connect()
    else:
        connect(match["coordinator"], int(match["processes"]), int(match["process"]))
