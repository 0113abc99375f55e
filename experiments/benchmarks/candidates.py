"""All engines of recurrax that run here, as they are and with one option changed, timed in turn for one shape."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax

import recurrax as rx
from experiments import lab
from experiments.benchmarks import peers, timing
from recurrax.cells import AffineCell
from recurrax.engines import Engine

# Values to try of an engine's options, one at a time: those that change no result.
TUNABLE: dict[str, tuple[Any, ...]] = {
    "unroll": (4, 16),
    "checkpoint_every": ("sqrt",),
    "keep": ("states", "preactivations"),
    "projection": ("hoisted", "joint"),
    "chunk": (None, 16, 64, 256),
    "block": (8, 32, 64),
}
SKIPPED = {"cpu": ("pallas", "newton"), "tpu": ("newton",), "gpu": ("newton",)}  # slow, or cannot run
AGREES = 1e-3  # of the loss, relative: beyond this an engine computes something else


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked: the shape B T D H, the dtype of parameters, inputs and state, and how many samples are taken."""

    shape: timing.Shape
    dtype: str
    rounds: int
    seconds: float


def measured(
    config: Question, cell: str, without: Mapping[str, contextlib.AbstractContextManager[None]] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """Times, memory and loss of the training step of one cell under every candidate, or why it does not run.

    Under each name of ``without``, "auto" is traced once more, in that context.
    """
    programs, losses = {}, {}
    unable = set()
    for code, engine in candidates(jax.default_backend(), config.shape[1]):
        if type(engine) in unable or (_is_joint(engine) and not issubclass(peers.CELLS.get(cell, rx.Cell), AffineCell)):
            continue
        began = time.perf_counter()
        found = timing.attempt(functools.partial(build, cell, config, engine))
        lab.say(
            f"{cell} {code}: {found['refused'] if isinstance(found, dict) else f'{time.perf_counter() - began:.1f} s'}"
        )
        programs[code], losses[code] = (found, None) if isinstance(found, dict) else found
        if isinstance(found, dict) and code.endswith("()"):
            unable.add(type(engine))  # nor will it run with other options
    for name, context in without.items():
        with context:
            found = timing.attempt(functools.partial(build, cell, config, "auto"))
        programs[name], losses[name] = (found, None) if isinstance(found, dict) else found
    rows = timing.sample(programs, config.rounds, config.seconds)
    return {name: row | {"loss": losses[name]} for name, row in rows.items()}


def _is_joint(engine: Any) -> bool:
    """Whether an engine multiplies inputs and state in one product, which it does for an `AffineCell` alone."""
    return getattr(engine, "projection", None) == "joint"


def build(cell: str, config: Question, engine: Any) -> tuple[timing.Program, float]:
    """The compiled training step and the loss it gives."""
    layer = peers.ours(cell, config.shape, config.dtype, engine)
    run, parameters, xs = peers.step(layer, config.shape)
    program = timing.compiled(run, parameters, xs.astype(config.dtype))
    return program, float(program.call()[0])


def candidates(platform: str, T: int) -> Iterator[tuple[str, Any]]:
    """The choice "auto", every engine as it is and with one option changed, each with the code that makes it."""
    yield '"auto"', "auto"
    for name, engine in rx.ENGINES.items():
        if name in SKIPPED.get(platform, ()):
            continue
        yield code(engine), engine()
        for field in dataclasses.fields(engine):  # type: ignore[arg-type]
            for value in values(field):
                # A chunk of all steps is no chunk, and chunks are for the memory of a CPU.
                if not (field.name == "chunk" and isinstance(value, int) and (value >= T or platform != "cpu")):
                    yield code(engine, **{field.name: value}), engine(**{field.name: value})


def values(field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    """What to try of an option: what `TUNABLE` says, the opposite of a switch, else nothing."""
    if isinstance(field.default, bool):
        return (not field.default,)
    return tuple(value for value in TUNABLE.get(field.name, ()) if value != field.default)


def code(engine: type[Engine], **options: Any) -> str:
    """The expression that makes an engine, with ``import recurrax as rx``."""
    place = "rx" if getattr(rx, engine.__name__, None) is engine else "rx.engines"
    return f"{place}.{engine.__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def wrong(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Of what was timed, what computes another loss than "auto", or than the first that was timed."""
    nan = float("nan")  # which a record keeps as None
    losses = {
        name: nan if row["loss"] is None else row["loss"] for name, row in rows.items() if row.get("milliseconds")
    }
    expected = losses.get('"auto"', next(iter(losses.values()), nan))
    return [name for name, loss in losses.items() if not abs(loss - expected) <= AGREES * abs(expected)]
