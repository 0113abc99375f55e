"""Decides whether a resumed run is the same run, from plain descriptions of model, optimiser, task and plan.

The parts of a run are described by name and argument (`recurrax.storage.description`), so that messages can name a
difference. Initialisation, call, evaluation and update are code, which is identified by a fingerprint: a hash of the
program that JAX traces, including constants. If the fingerprints are equal, the arguments need not be compared.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from recurrax.report import write
from recurrax.storage.description import describe
from recurrax.storage.differences import differences
from recurrax.storage.folders import CheckpointError
from recurrax.tasks import HostTask
from recurrax.training.mesh import barrier, is_main
from recurrax.training.optimizers import Settings, accepted_by, check_optimizer, one_update, transformation
from recurrax.training.parameters import check_model, check_noise, parameters
from recurrax.training.plan import Plan
from recurrax.training.run import Recipe, batch

FORMAT = 1  # version of the format of settings.json
FREE = ("steps", "devices", "stop_when_solved")  # settings of the plan that may change when a run is resumed
PROGRAMS = {
    "build": "the model differs (its initial values are made by another program)",
    "optimizer": "the optimizer differs (its update is another program)",
    "objective": "the task, the model's call or the penalty differs (an update is another program)",
}
MAKERS = ("jax", "jaxlib", "flax", "optax", "recurrax")  # packages whose versions may change the traced programs
SHOWN = 5  # the number of differences that a message lists


def identity(recipe: Recipe, plan: Plan, config: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values that must be equal for a run to resume.

    Args:
        recipe: the model, task and optimiser.
        plan: the plan; a longer budget or other devices still give the same run.
        config: additional values that must be equal.

    Raises:
        ValueError: the model or the optimiser cannot be used; nothing has been compiled.
    """
    settings = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in plan.sweep}

    def built(key: jax.Array, settings: Settings) -> Any:
        model = recipe.build(key, **accepted_by(recipe.build, settings))
        check_model(model)
        check_noise(recipe.task, model)
        return model

    def updated(model: Any, settings: Settings) -> Any:
        params, optimizer = parameters(model), transformation(recipe.optimizer, settings)
        check_optimizer(optimizer, params)
        return one_update(optimizer, params)

    initial, model = trace(built, jax.random.key(0), settings)
    update, _ = trace(updated, model, settings)
    run, examples = jax.eval_shape(recipe.start, jnp.uint32(0), settings), None
    if isinstance(recipe.task, HostTask):
        examples = jax.eval_shape(lambda key: batch(recipe.task, key, recipe.batch_size), jax.random.key(0))
    try:
        objective, _ = trace(lambda run, examples: recipe.step(run, examples)[0].optimizer, run, examples)
    except Exception:  # compiling the update will raise it again, unless the run is refused before
        objective = "none"
    planned = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
    return {
        "optimizer": describe(recipe.optimizer),
        "task": describe(recipe.task),
        "judged": {"monitor": recipe.task.monitor, "mode": recipe.task.mode},
        "plan": {name: describe(value) for name, value in planned.items() if name not in FREE},
        "penalty": describe(recipe.penalty),
        "config": describe(config),
        "build": describe(recipe.build),
        "model": describe(model, values=False),
        "programs": {"build": initial, "optimizer": update, "objective": objective},
    }


def fingerprint(function: Callable[..., Any], *arguments: Any) -> str:
    """A hash of the program that JAX traces for a function: operations, shapes and constants, without names.

    It is the same in every process with the same versions of JAX and of the libraries that the function calls.

    Args:
        function: maps pytrees of arrays to pytrees of arrays.
        arguments: arrays, or `jax.ShapeDtypeStruct` instead.
    """
    return trace(function, *arguments)[0]


def trace(function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    """The `fingerprint` of a function, and the shapes of its results."""
    program, outputs = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return _Program().of(program), outputs


class _Program:
    """Hashes programs; a program that is called in many places is hashed once."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, program: ClosedJaxpr) -> str:
        return _hash([self.inside(program.jaxpr), [describe(constant) for constant in program.consts]])

    def inside(self, jaxpr: Jaxpr) -> str:
        if id(jaxpr) not in self._known:
            self._known[id(jaxpr)] = _hash(self.told(jaxpr))
        return self._known[id(jaxpr)]

    def told(self, jaxpr: Jaxpr) -> list[Any]:
        """Describes inputs, operations and outputs; variables by number, dtype and shape."""
        numbers: dict[Any, int] = {}

        def one(atom: Any) -> list[Any]:
            if isinstance(atom, Literal):
                return ["constant", _aval(atom), describe(atom.val)]
            return [numbers.setdefault(atom, len(numbers)), _aval(atom)]

        inputs = [one(variable) for variable in (*jaxpr.constvars, *jaxpr.invars)]
        operations = [
            [
                operation.primitive.name,
                [one(atom) for atom in operation.invars],
                {name: self.parameter(value) for name, value in operation.params.items() if name != "name"},
                [one(variable) for variable in operation.outvars],
            ]
            for operation in jaxpr.eqns
        ]
        return [inputs, operations, [one(atom) for atom in jaxpr.outvars]]

    def parameter(self, value: Any) -> Any:
        """Describes a parameter of an operation; if it is not a plain value, such as a device, only its class."""
        if isinstance(value, ClosedJaxpr):
            return self.of(value)
        if isinstance(value, Jaxpr):
            return self.inside(value)
        if isinstance(value, tuple | list):
            return [self.parameter(item) for item in value]
        if isinstance(value, Mapping):
            return {str(name): self.parameter(item) for name, item in value.items()}
        plain = bool | int | float | str | enum.Enum | np.dtype | np.ndarray | np.generic | jax.Array
        return describe(value) if value is None or isinstance(value, plain) else type(value).__name__


def _aval(atom: Any) -> str:
    found = atom.aval
    if not hasattr(found, "dtype"):
        return type(found).__name__
    return f"{found.dtype}{list(found.shape)}{'*' if getattr(found, 'weak_type', False) else ''}"


def _hash(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def claim(folder: Path, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Claims the folder for a run with these settings, or checks that it already belongs to it.

    Args:
        folder: the folder of the run.
        settings: see `identity`.
        about: additional information: versions, device, commit, command.

    Raises:
        CheckpointError: the folder holds a run with other settings; the message names each difference.
    """
    path = folder / "settings.json"
    if path.exists():
        theirs = _read(path)
        different = verdict(theirs, {"settings": settings, "about": about})
        if different:
            more = f"; and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
            raise CheckpointError(
                f"{folder} holds a run with other settings: {'; '.join(different[:SHOWN])}{more}. Allowed: the same "
                "settings, which resume where it stopped. Use another folder, or delete this one to start again."
            )
    elif (folder / "checkpoints").exists() and any((folder / "checkpoints").iterdir()):
        raise CheckpointError(
            f"{folder}/checkpoints holds what recurrax did not write, for there is no settings.json beside it; "
            "allowed: a folder of recurrax or a new one. Use another folder."
        )
    elif is_main():
        write(path, json.dumps({"format": FORMAT, "settings": settings, "about": describe(about)}, indent=1) + "\n")
    barrier("settings")


def _read(path: Path) -> dict[str, Any]:
    try:
        entry = json.loads(path.read_text())
        newer = int(entry.get("format", FORMAT)) > FORMAT
        if not newer and not isinstance(entry["settings"], dict):
            raise KeyError("settings")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not readable ({error}); allowed: a file that recurrax wrote. Use another folder, or delete "
            f"{path.parent} to start again."
        ) from error
    if newer:
        raise CheckpointError(
            f"{path} has format {entry['format']}, which a newer recurrax wrote; allowed: up to {FORMAT}. Upgrade "
            "recurrax, or use another folder."
        )
    return entry


def verdict(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    """The differences between two runs as phrases; empty if one can resume the other.

    Args:
        theirs: ``settings`` and ``about`` of the run in the folder.
        mine: those of the run that should resume.
    """
    there, here = theirs["settings"], mine["settings"]
    versions = [one.get("about", {}).get("versions", {}) for one in (theirs, mine)]
    same = all(versions[0].get(package) == versions[1].get(package) for package in MAKERS)
    programs = [one.get("programs", {}) if same else {} for one in (there, here)]
    others = [{key: part for key, part in one.items() if key not in (*PROGRAMS, "programs")} for one in (there, here)]
    found = {
        key: differences(others[0].get(key), part, key, shared=not same and key != "config")
        for key, part in others[1].items()
    }
    for part, phrase in PROGRAMS.items():
        fingerprints = [one.get(part) for one in programs]
        found[part] = []
        if None in fingerprints or fingerprints[0] != fingerprints[1]:
            found[part] = differences(there.get(part), here.get(part), part, shared=not same)
            if None not in fingerprints and not found[part] and not found["model"]:
                found[part] = [phrase]  # another model changes every program
    objective = found.pop("objective")  # it differs with anything else, so name it only if nothing else differs
    if objective and not any(found.values()):
        return objective
    order = ("optimizer", "build", *(key for key in found if key not in PROGRAMS))
    return [phrase for part in order for phrase in found[part]]
