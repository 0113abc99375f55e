"""The command `recurrax`, which trains, measures gradients, finds the fastest engine, exports and lists.

    recurrax list                                       # tasks, cells and engines
    recurrax train --task copy --length 20 --cells LSTM GRU
    recurrax gradients --cells RNN GRU LSTM --length 200
    recurrax tune --shape 32 100 2 128 --cells LSTM
    recurrax datasets get mnist
    recurrax export runs/train/LSTM-H32-0123456789ab --format onnx

It needs the extra ``cli``: ``pip install "recurrax[cli]"``. You can also run it as ``python -m recurrax``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence

# SciPy reads it at import. Its LAPACK makes orthogonal kernels, and its threads would wait busily for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

COMMANDS = {
    "list": "the tasks, cells and engines",
    "train": "train any cells on any task, over seeds and a grid of settings",
    "gradients": "measure how fast the gradient of cells vanishes or explodes",
    "tune": "find the fastest engine for a shape on this machine",
    "datasets": "download and check data sets",
    "export": "write a trained model for programs without recurrax",
}
NEEDED = ("tyro", "rich", "matplotlib")
USAGE = "usage: recurrax COMMAND [flags]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line.

    Args:
        arguments: the words of the command line; by default those of this process.

    Raises:
        SystemExit: with status 2 if the words are invalid, 1 if a run fails, 130 after Ctrl-C and 143 after SIGTERM.
            After success it is not raised.
    """
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments)] or [""]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(importlib.import_module("recurrax").__version__)
    elif name not in COMMANDS:
        what = f"{name!r} is not a command" if name else "no command was given"
        _end(f"{what}; allowed: {', '.join(COMMANDS)}. Try recurrax --help.")
    elif missing := [package for package in NEEDED if importlib.util.find_spec(package) is None]:
        _end(f'the command recurrax needs {", ".join(missing)}; install them: pip install "recurrax[cli]"')
    else:
        try:
            importlib.import_module(f"recurrax.cli.{name}").run(rest)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader closed the pipe, as in `recurrax list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"    {name.ljust(width)}  {what}" for name, what in COMMANDS.items()]
    examples = (__doc__ or "").split("\n\n")[1]
    return "\n".join(
        [USAGE, "", *lines, "", "recurrax COMMAND --help says what its flags are. Examples:", "", examples]
    )


def _end(text: str) -> None:
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)
