"""Finds the fastest engine for a shape on this machine, and prints the line to write.

    recurrax tune                                                    # an LSTM, batch 32, 100 steps: two minutes
    recurrax tune --shape 64 784 1 128 --cells GRU MinGRU --dtype bfloat16

It times the training step of one layer, forward and backward, with every engine and with single options changed; all
take turns. Engines whose loss differs from that of "auto" are listed last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import timing
from recurrax.cells import AffineCell
from recurrax.cli import command
from recurrax.cli.command import say
from recurrax.cli.models import CELLS
from recurrax.cli.settings import Settings
from recurrax.cli.tables import show
from recurrax.engines import Engine

KEEP_PROGRAMS = False  # it reports compile times

# Values of an engine's options to try one at a time; they do not change the results.
TUNABLE: dict[str, tuple[Any, ...]] = {
    "unroll": (4, 16),
    "checkpoint_every": ("sqrt",),
    "keep": ("states", "preactivations"),
    "projection": ("hoisted", "joint"),
    "chunk": (None, 16, 64, 256),
    "block": (8, 32, 64),
}
SKIPPED = {"cpu": ("pallas", "newton"), "tpu": ("newton",), "gpu": ("newton",)}  # too slow, or unsupported
NUMBERS = ("ms", "quartiles", "ratio", "memory", "compile (s)")  # columns of the table
AGREES = 1e-3  # largest relative difference of the loss; beyond it an engine computes something else


@dataclasses.dataclass(frozen=True)
class Tune(Settings):
    """The shape, the cells, and the time to measure."""

    shape: timing.Shape = (32, 100, 2, 128)
    """B T D H: batch, steps, inputs, units."""
    cells: tuple[Literal[*CELLS], ...] = ("LSTM",)  # type: ignore[valid-type]
    """Cells to tune for, one after another."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of parameters, inputs and state."""
    rounds: int = 15
    """Largest number of samples of an engine."""
    seconds: float = 15.0
    """Seconds for taking samples, at least three of each engine; compile time is not included."""


PRESETS = {"default": Tune()}


def run(arguments: Sequence[str]) -> None:
    """Runs the command line."""
    command.run(sys.modules[__name__], "recurrax tune", arguments)


def prepare(config: Tune) -> None:
    """Does nothing, because the settings check themselves."""
    del config


def main(config: Tune, prepared: None = None) -> dict[str, list[dict[str, str]]]:
    """Prints a table for each cell, the fastest engine first, and the line to write; returns the rows of the tables."""
    del prepared
    timing.keep_memory()
    with timing.conditions("default"):
        return {cell: tuned(config, cell) for cell in config.cells}


def tuned(config: Tune, cell: str) -> list[dict[str, str]]:
    """Times the training step of one cell with every candidate, and prints the fastest."""
    table = listing(measured(config, cell))
    title = f"{cell}, (B, T, D, H) = {config.shape}, {config.dtype}, training step on {jax.devices()[0].device_kind}"
    shown = [{name: row[name] for name in ("engine", *NUMBERS)} for row in table if not row["note"]]
    if shown:
        show(shown, title, right=NUMBERS)
    for row in table:
        if row["note"]:
            print(f"{row['engine']}: {row['note']}")
    best = next((row["engine"] for row in table if row["ms"] != "-"), None)
    print(f"\nlayer = rx.RNN(cell, backend={best})\n" if best else "No engine runs this cell here.\n")
    return table


def measured(
    config: Tune, cell: str, without: Mapping[str, contextlib.AbstractContextManager[None]] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """Time, memory and loss of the training step of one cell with every candidate, or the reason why it fails.

    Args:
        config: shape, dtype, and the time to sample.
        cell: a name in `CELLS`.
        without: contexts by name; "auto" is also measured inside each of them.

    Returns:
        For each candidate ``milliseconds`` (one for each sample), ``compile_seconds``, ``memory`` in bytes and
        ``loss``; or ``refused``, the reason.
    """
    programs, losses, unable = {}, {}, set()
    found = list(candidates(jax.default_backend(), config.shape[1]))
    for number, (code, engine) in enumerate(found, start=1):
        if type(engine) in unable or (_is_joint(engine) and not issubclass(CELLS[cell], AffineCell)):
            continue
        began = time.perf_counter()
        program = timing.attempt(functools.partial(build, cell, config, engine))
        refused = program["refused"] if isinstance(program, dict) else None
        say(f"[{number}/{len(found)}] {cell} {code}: {refused or f'compiled in {time.perf_counter() - began:.1f} s'}")
        programs[code], losses[code] = (program, None) if isinstance(program, dict) else program
        if refused and code.endswith("()"):
            unable.add(type(engine))  # it will not run with other options either
    for name, context in without.items():
        with context:
            program = timing.attempt(functools.partial(build, cell, config, "auto"))
        programs[name], losses[name] = (program, None) if isinstance(program, dict) else program
    say(f"timing {len(programs)} programs")
    rows = timing.sample(programs, config.rounds, config.seconds)
    return {name: row | {"loss": losses[name]} for name, row in rows.items()}


def _is_joint(engine: Any) -> bool:
    """Whether an engine multiplies inputs and state in one product, which is possible only for an `AffineCell`."""
    return getattr(engine, "projection", None) == "joint"


def build(cell: str, config: Tune, engine: Any) -> tuple[timing.Program, float]:
    """The compiled training step and its loss: mean(y^2) in float32, with the modulus of complex outputs."""
    B, T, D, H = config.shape
    options = {} if config.dtype == "float32" else {"dtype": config.dtype, "param_dtype": jnp.dtype(config.dtype)}
    layer = rx.RNN(CELLS[cell](D, H, rngs=nnx.Rngs(0), **options), backend=engine)
    leaves, tree = jax.tree.flatten(layer)  # calls with lists of arrays have a cheap dispatch
    xs = jax.random.normal(jax.random.key(1), (B, T, D)).astype(config.dtype)

    def loss(parameters: list[jax.Array], xs: jax.Array) -> jax.Array:
        ys = jax.tree.unflatten(tree, parameters)(xs)
        return jnp.mean((ys * ys.conj()).real, dtype=jnp.float32)

    program = timing.compiled(jax.value_and_grad(loss), leaves, xs)
    return program, float(program.call()[0])


def candidates(platform: str, T: int) -> Iterator[tuple[str, Any]]:
    """The candidates: "auto" and every engine, by default and with one option changed, each with its code."""
    yield '"auto"', "auto"
    for name, engine in rx.ENGINES.items():
        if name in SKIPPED.get(platform, ()):
            continue
        yield code(engine), engine()
        for field in dataclasses.fields(engine):  # type: ignore[arg-type]
            for value in values(field):
                # A chunk of all steps is useless, and chunks only help the memory of a CPU.
                if field.name == "chunk" and isinstance(value, int) and (value >= T or platform != "cpu"):
                    continue
                with contextlib.suppress(ValueError):  # not every engine accepts every value
                    yield code(engine, **{field.name: value}), engine(**{field.name: value})


def values(field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    """The values to try for an option: those in `TUNABLE`, or the opposite of a switch, else none."""
    if isinstance(field.default, bool):
        return (not field.default,)
    return tuple(value for value in TUNABLE.get(field.name, ()) if value != field.default)


def code(engine: type[Engine], **options: Any) -> str:
    """The expression that creates an engine, given ``import recurrax as rx``."""
    place = "rx" if getattr(rx, engine.__name__, None) is engine else "rx.engines"
    return f"{place}.{engine.__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def wrong(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The timed programs whose loss differs from that of "auto", or from the first timed program."""
    nan = float("nan")  # a record stores it as None
    losses = {
        name: nan if row["loss"] is None else row["loss"] for name, row in rows.items() if row.get("milliseconds")
    }
    expected = losses.get('"auto"', next(iter(losses.values()), nan))
    return [name for name, loss in losses.items() if not abs(loss - expected) <= AGREES * abs(expected)]


def listing(rows: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """The table, fastest engines first, refused and deviating engines last."""
    timed = {name: float(np.median(row["milliseconds"])) for name, row in rows.items() if row.get("milliseconds")}
    deviating = wrong(rows)
    best = min((value for name, value in timed.items() if name not in deviating), default=1.0)
    lines = []
    for name in sorted(rows, key=lambda name: (name not in timed, name in deviating, timed.get(name, 0.0))):
        row, line = rows[name], dict.fromkeys(("engine", *NUMBERS, "note"), "-")
        line |= {"engine": name, "note": row.get("refused", "").partition(";")[0][:80]}
        if name in timed:
            low, high = np.quantile(row["milliseconds"], [0.25, 0.75])
            line |= {
                "ms": timing.digits(timed[name]),
                "quartiles": f"{timing.digits(low)} to {timing.digits(high)}",
                "ratio": f"{timed[name] / best:.2f}",
                "memory": timing.size(timing.needed(row)),
                "compile (s)": f"{row['compile_seconds']:.1f}",
                "note": "another loss" if name in deviating else "",
            }
        lines.append(line)
    return lines
