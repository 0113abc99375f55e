"""The command line of `experiments.speed`."""

from __future__ import annotations

import sys

import tyro

from experiments.command import run
from experiments.speed import __doc__ as description
from experiments.speed.config import PRESETS, Tune


def tune() -> None:
    """``--tune B T D H``: the engines for one shape, without a record."""
    arguments = sys.argv[1:] if not {"-h", "--help"} & set(sys.argv) else ["--help"]
    try:
        config = tyro.cli(Tune, prog="python -m experiments.speed", description=Tune.__doc__, args=arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    from experiments.speed.tune import main

    main(config)


if __name__ == "__main__":
    if any(argument.partition("=")[0] == "--tune" for argument in sys.argv[1:]):
        tune()
    else:
        run("experiments.speed.experiment", PRESETS, description)
