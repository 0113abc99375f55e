"""The command line of every experiment: presets, flags from its config, errors in one line."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import tyro


def run(module: str, presets: dict[str, Any], description: str | None) -> None:
    """Parses the command line, then imports ``module`` (and so jax) and calls its ``prepare`` and ``main``.

    ``--preset NAME`` picks the defaults, every other flag overrides one field of the config. A bad value, found here
    or by ``prepare(config)``, ends the program with one line on stderr and exit status 2 before anything is compiled.
    """
    try:
        preset, arguments = _take_preset(sys.argv[1:], presets)
        text = f"{description}\nPresets, to be overridden by the flags below: --preset {' | '.join(presets)}."
        program = f"python -m {module.removesuffix('.experiment')}"
        config = tyro.cli(type(preset), prog=program, default=preset, args=arguments, description=text)
        experiment = importlib.import_module(module)
        prepared = experiment.prepare(config)
    except (ValueError, TypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    experiment.main(config, prepared)


def _take_preset(arguments: list[str], presets: dict[str, Any]) -> tuple[Any, list[str]]:
    names = list(presets)
    for index, argument in enumerate(arguments):
        if argument == "--preset" or argument.startswith("--preset="):
            inline = argument.partition("=")[2]
            name = inline or (arguments[index + 1] if index + 1 < len(arguments) else "")
            if name not in presets:
                raise ValueError(f"unknown preset {name!r}; allowed: {', '.join(names)}. Try --preset {names[0]}.")
            return presets[name], arguments[:index] + arguments[index + (1 if inline else 2) :]
    return presets[names[0]], arguments
