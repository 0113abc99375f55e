"""Cells and tasks on the command line: names, flags for their arguments, and the trained model."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import ENGINES, Cell, cells
from recurrax.layers import RNN, SequenceModel
from recurrax.tasks import TASKS, Example, MemoryTask

CELLS: dict[str, Any] = {cell.short: cell for cell in cells.ALL}
BACKENDS = ("auto", *ENGINES)


def _floats(cell: type[Cell]) -> dict[str, Any]:
    """The arguments of a cell that accept a number or an array, with their defaults.

    They become parameters, so that one program trains all their values in parallel. An argument that accepts only a
    float is a constant of the program.
    """
    hints = typing.get_type_hints(cell.__init__)
    found = inspect.signature(cell.__init__).parameters
    return {
        name: found[name].default
        for name, hint in hints.items()
        if float in typing.get_args(hint) and typing.get_origin(hint) is not tuple
    }


def _options(task: type[MemoryTask]) -> dict[str, Any]:
    """The arguments of a task other than its length and variant, with their defaults."""
    parameters = list(inspect.signature(task).parameters.values())[1:]
    return {parameter.name: parameter.default for parameter in parameters if parameter.name != "variant"}


CELL_FLOATS = {name: _floats(cell) for name, cell in CELLS.items()}
TASK_OPTIONS = {name: _options(task) for name, task in TASKS.items()}


def _flags(owners: dict[str, dict[str, Any]], what: str, kind: Any, default: Any, least: int | None) -> list[Any]:
    """A field for every argument that at least one owner accepts; its help text lists the owners."""
    import tyro

    fields = []
    for name in dict.fromkeys(name for options in owners.values() for name in options):
        takers = [f"{owner} (default: {options[name]})" for owner, options in owners.items() if name in options]
        text = f"{what} of {', '.join(takers)}."
        hint = Annotated[kind, tyro.conf.arg(help=text, help_behavior_hint="", metavar="NUMBER")]
        fields.append((name, hint, dataclasses.field(default=default, metadata={"least": least})))
    return fields


@functools.cache
def flags(base: type, name: str, tasks: bool = False) -> Any:
    """A dataclass like ``base`` with a flag for every argument of every cell and, optionally, of every task."""
    fields = _flags(CELL_FLOATS, "Values", tuple[float, ...], (), None)
    if tasks:
        fields = [*_flags(TASK_OPTIONS, "Setting", int | float | None, None, 0), *fields]
    made = dataclasses.make_dataclass(name, fields, bases=(base,), frozen=True)
    made.__module__, made.__doc__ = base.__module__, base.__doc__
    return made


def task_of(config: Any) -> MemoryTask:
    """The task described by ``task``, ``length``, ``variant`` and the flags of tasks.

    Raises:
        ValueError: a flag belongs to another task, or the task does not accept a value.
    """
    taken = TASK_OPTIONS[config.task]
    others = {name for options in TASK_OPTIONS.values() for name in options}
    given = {name: value for name in sorted(others) if (value := getattr(config, name)) is not None}
    for name, value in given.items():
        if name not in taken:
            takers = [task for task, options in TASK_OPTIONS.items() if name in options]
            raise ValueError(
                f"{name}={value} with task={config.task!r}; allowed: with {', '.join(takers)}. "
                f"Leave --{name.replace('_', '-')} out."
            )
    given |= {} if config.variant is None else {"variant": config.variant}
    try:
        return TASKS[config.task](config.length, **given)
    except (ValueError, TypeError) as error:
        words = {"task": config.task, "length": config.length} | given
        flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in words.items())
        raise ValueError(f"{flags}: {error}.") from error


def sweep_of(config: Any, chosen: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """The values of the given flags of cells, by name.

    Raises:
        ValueError: a chosen cell has no such argument.
    """
    names = dict.fromkeys(name for floats in CELL_FLOATS.values() for name in floats)
    given = {name: values for name in names if (values := getattr(config, name))}
    for name, values in given.items():
        takers = [cell for cell, floats in CELL_FLOATS.items() if name in floats]
        if wrong := [cell for cell in chosen if cell not in takers]:
            raise ValueError(
                f"{name}={values} with {', '.join(wrong)}; allowed: with {', '.join(takers)} alone. "
                f"Add --cells {takers[0]}, or leave --{name.replace('_', '-')} out."
            )
    return given


def builder(cell: str, task: MemoryTask, hidden: int, backend: str, swept: Sequence[str]) -> Callable[..., Any]:
    """``build(key, *swept) -> model``: one layer of a cell and a linear head that reads every step.

    Args:
        cell: a name in `CELLS`.
        task: the task of the model.
        hidden: H.
        backend: a name in `BACKENDS`.
        swept: arguments of the cell that ``build`` takes by name.
    """

    def build(key: jax.Array, **settings: Any) -> SequenceModel:
        rngs = nnx.Rngs(key)
        layer = RNN(CELLS[cell](task.in_features, hidden, rngs=rngs, **settings), backend=backend)
        return SequenceModel(layer, task.out_features, rngs=rngs)

    kind = inspect.Parameter.KEYWORD_ONLY
    names = [inspect.Parameter(name, kind) for name in swept]
    key = inspect.Parameter("key", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    build.__signature__ = inspect.Signature([key, *names])  # type: ignore[attr-defined]
    return build


def check(build: Callable[..., Any], task: MemoryTask, swept: Sequence[str], flags: str) -> None:
    """Traces a model on a batch of one, so that an unsuitable engine is refused before anything compiles.

    Raises:
        ValueError: the model cannot be built or called; the message begins with ``flags``.
    """

    def outputs(key: jax.Array, settings: dict[str, jax.Array]) -> Any:
        xs = jnp.zeros((1, task.sequence_length, task.in_features))
        return task.apply(build(key, **settings), Example(xs, None))

    try:
        jax.eval_shape(outputs, jax.random.key(0), {name: jnp.ones(()) for name in swept})
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(f"{flags}: {error}") from error
