"""Exports a model of `recurrax train` for programs without recurrax.

    recurrax export runs/train/LSTM-H32-0123456789ab --format onnx
    recurrax export runs/train/LSTM-H32-0123456789ab --format onnx --stream --seed 11
    recurrax export runs/train/LRU-H32-0123456789ab --format stablehlo --out lru.stablehlo

RUN is the folder of one cell and size, whose best model with the lowest held-out loss is exported, or the folder of one
model in its best/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from flax import nnx

import recurrax as rx
from recurrax.cli.command import statuses
from recurrax.cli.models import CELLS

FORMATS = ("onnx", "stablehlo")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Ends the program with one line and status 2."""
        self.exit(2, f"error: {message}. See {self.prog} --help.\n")


def run(arguments: Sequence[str]) -> None:
    """Runs the command line; errors give one line with status 2 for invalid words or runs, and 1 if writing fails."""
    given = _parser().parse_args(list(arguments))
    out = given.out or Path(f"{given.run.resolve().name}{'-step' if given.stream else ''}.{given.format}")
    with statuses():
        try:
            model, entry = restored(find(given.run, given.seed))
            program = exported(model, given.format, given.stream)
        except (ValueError, TypeError, ImportError, FileNotFoundError) as error:
            hint = " Or give --format stablehlo." if isinstance(error, TypeError) else ""
            print(f"error: {' '.join(str(error).split())}{hint}", file=sys.stderr)
            sys.exit(2)
        out.expanduser().write_bytes(program)
    print(f"{described(model, entry)}\n{out.expanduser().resolve()}")


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="recurrax export", description=__doc__, formatter_class=formatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run of recurrax train")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="(default: %(default)s)")
    parser.add_argument("--stream", action="store_true", help="one step, with the carry as inputs and outputs")
    parser.add_argument("--seed", type=int, help="seed of the exported run; unset: the run with the lowest loss")
    parser.add_argument("--out", type=Path, help="output file; unset: the name of RUN in the working directory")
    return parser


def find(run: Path, seed: int | None = None) -> Path:
    """The folder of the best model with the lowest held-out loss, or of the given seed.

    Raises:
        FileNotFoundError: there is none.
    """
    run = run.expanduser()
    single = run / "model.json"
    paths = [single] if single.is_file() else sorted((run / "best").glob("*/model.json"))
    found = {path.parent: _about(path) for path in paths}
    found = {folder: about for folder, about in found.items() if seed in (None, about.get("seed"))}
    if not found:
        inside = [path.parent.name for path in sorted(run.glob("*/best"))] if run.is_dir() else []
        which = f" with seed={seed}" if seed is not None and paths else ""
        hint = f"there are {', '.join(inside)} in it" if inside else "recurrax train prints the folders of its runs"
        raise FileNotFoundError(
            f"{run} holds no best model{which}; allowed: the folder of one cell and size below that of recurrax train, "
            f"once its runs are over. Give another folder; {hint}."
        )
    return min(found, key=lambda folder: found[folder].get("metrics", {}).get("loss", float("inf")))


def restored(folder: Path) -> tuple[rx.SequenceModel, dict[str, Any]]:
    """Loads a model of `recurrax train`, with the entry of its file.

    Raises:
        ValueError: the folder holds another kind of model.
    """
    entry = json.loads((folder / "model.json").read_text())
    try:
        told = entry["structure"]["layer"]["cell"]
        cell = next(cell for cell in CELLS.values() if told["class"].rpartition(".")[2] == cell.__name__)
        sizes, outputs = (told["in_features"], told["hidden_features"]), entry["structure"]["out_features"]
    except (KeyError, TypeError, StopIteration) as error:
        raise ValueError(
            f"{folder} holds no model of recurrax train; allowed: one layer of a cell of the library with a head. Load "
            "it with recurrax.load, and export it with recurrax.export."
        ) from error

    def build() -> rx.SequenceModel:
        rngs = nnx.Rngs(0)
        return rx.SequenceModel(rx.RNN(cell(*sizes, rngs=rngs)), outputs, rngs=rngs)

    return rx.load(folder, like=build()), entry


def exported(model: rx.SequenceModel, format: str, stream: bool) -> bytes:
    """The content of the exported file."""
    from recurrax.export import to_onnx, to_stablehlo

    if format == "onnx":
        return to_onnx(model, stream=stream).SerializeToString()
    return to_stablehlo(model, stream=stream)


def described(model: rx.SequenceModel, entry: dict[str, Any]) -> str:
    """One line that describes the model and its results."""
    layer: Any = model.layer
    cell, about = layer.cell, entry["about"]
    settings = {"seed": about.get("seed"), **about.get("settings", {}), "updates": about.get("updates")}
    words = [f"{name}={value:g}" for name, value in settings.items() if value is not None]
    metrics = [f"held-out {name} {value:.4g}" for name, value in about.get("metrics", {}).items()]
    sizes = f"D={cell.in_features} H={cell.hidden_features} O={model.out_features}"
    return ", ".join([f"{cell.short} {sizes}", *words, *metrics])


def _about(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())["about"]
    except (OSError, ValueError, KeyError):
        return {}
