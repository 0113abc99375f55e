"""Saves a model in a folder atomically, and loads it into a model of the same structure.

    <path>/model.json       what the model is: format, versions, structure, checksums; written last
    <path>/arrays-<n>/      its arrays by name, in Orbax's own format

To overwrite a model, `save` writes new arrays beside the old ones, then replaces model.json in one step, and then
removes the old arrays. So the folder holds one complete model at every moment.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from recurrax.report import write
from recurrax.storage.description import describe
from recurrax.storage.differences import differences
from recurrax.storage.folders import (
    CheckpointError,
    OrbaxFolder,
    barrier,
    be_quiet_from_now_on,
    check_space,
    checksums,
    damage,
    expanded,
    is_main,
    quiet,
    reason,
)
from recurrax.storage.leaves import Model, kind_of, named_leaves, restored, stored, structure, template, with_leaves

FORMAT = 1  # version of the format of model.json
SHOWN = 5  # the number of differences that a message lists


def save(path: str | Path, model: Model, *, overwrite: bool = False, about: Mapping[str, Any] | None = None) -> Path:
    """Saves a model in a folder of its own, for `load`.

    A process that is killed while it saves leaves the model that was there before, or none.

    Args:
        path: the folder; ``~`` is the home folder.
        model: any Flax module, or another pytree of arrays, random keys and numbers, on any devices; also several
            models as one, with a leading axis.
        overwrite: replace the model that is there.
        about: plain values to keep in ``model.json`` as well, e.g. the vocabulary.

    Returns:
        The folder.

    Raises:
        FileExistsError: there is a model already and ``overwrite`` is False; or ``path`` is a file.
        TypeError: a leaf of the model is neither an array nor a number.
        CheckpointError: the folder holds other files, or nothing can be written there.
    """
    folder = expanded(path)
    number = 1 + max(_check_target(folder, overwrite), default=0)
    leaves = named_leaves(model)
    arrays = {name: stored(name, leaf) for name, leaf in leaves.items()}
    barrier("recurrax.save")  # no process may write before the others have looked for files
    entry = {
        "format": FORMAT,
        "versions": _versions(),
        "structure": structure(model),
        "leaves": {name: kind_of(leaf) for name, leaf in leaves.items()},
        "random": {name: generator for name, (_, generator) in arrays.items() if generator},
        "arrays": f"arrays-{number}",
        "about": describe(about or {}),
    }
    try:
        _write(folder, entry, {name: array for name, (array, _) in arrays.items()})
    except Exception as error:
        raise _failed(folder, entry["arrays"], error) from error
    return folder


def load(path: str | Path, *, like: Model) -> Model:
    """A model that `save` wrote.

    Args:
        path: the folder.
        like: a model of the same structure, built or abstract (``nnx.eval_shape(build, key)``). Its arrays are not
            used; the loaded arrays are placed on its devices.

    Returns:
        A new model.

    Raises:
        FileNotFoundError: there is no model.
        TypeError: ``like`` is not a model.
        ValueError: ``like`` has another structure, shape, dtype or setting; the message names each difference. The
            engine and the mode (training or evaluation) may differ; the loaded model has those of ``like``.
        CheckpointError: the files are damaged, or of a newer version.
    """
    folder = expanded(path)
    entry, templates = _read(folder), named_leaves(like)
    if any(callable(leaf) for leaf in templates.values()) or (entry["leaves"] and not templates):
        raise TypeError(
            f"like is a {type(like).__name__} without arrays; allowed: a model, built or abstract. Call what builds "
            "it, like=build(jax.random.key(0))."
        )
    other = entry["versions"] != _versions()
    here = {"model": {name: kind_of(leaf) for name, leaf in templates.items()}}
    different = differences({"model": entry["structure"]}, {"model": structure(like)}, shared=other)
    different = different or differences({"model": entry["leaves"]}, here)
    if different:
        more = f"; and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
        raise ValueError(
            f"the model in {folder} is not like the one given: {'; '.join(different[:SHOWN])}{more}. Allowed: a model "
            "of the same structure. Build it with the settings that it was saved with."
        )
    wrong = damage(folder / entry["arrays"], entry["checksums"])
    if wrong:
        raise CheckpointError(
            f"the model in {folder} cannot be used: {wrong}. Restore that file, or save the model again."
        )
    arrays = _read_arrays(folder, entry["arrays"], {name: template(leaf) for name, leaf in templates.items()})
    return with_leaves(
        like, [restored(leaf, arrays[name], entry["random"].get(name)) for name, leaf in templates.items()]
    )


def _check_target(folder: Path, overwrite: bool) -> list[int]:
    """The numbers of the existing ``arrays`` folders; raises if the folder holds anything that must stay."""
    try:
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise CheckpointError(
            f"cannot read {folder} ({error.strerror}); allowed: a folder that you may read."
        ) from error
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; allowed: a folder or a new path. Give another path.")
    foreign = [name for name in there if name != "model.json" and not name.startswith("arrays-")]
    if foreign:
        raise CheckpointError(
            f"{folder} holds {foreign[0]!r}, which is not part of a saved model; allowed: a new folder, or that of a "
            f"model. Save it in a folder inside, {folder / 'model'}."
        )
    if "model.json" in there and not overwrite:
        raise FileExistsError(
            f"{folder} holds a model already; allowed: a new path. Pass overwrite=True to replace it, or another path."
        )
    numbers = (name.removeprefix("arrays-").split(".")[0] for name in there if name.startswith("arrays-"))
    return [int(number) for number in numbers if number.isdigit()]


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    if not path.is_file():
        found = "there is no such folder" if not folder.exists() else "there is no model.json in it"
        raise FileNotFoundError(
            f"{folder} holds no model ({found}); allowed: a folder that recurrax.save wrote whole. The best models of "
            "a training run are in the folder best/ of its own."
        )
    try:
        entry = json.loads(path.read_text())
        number, checksum = int(entry["format"]), entry.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not readable ({reason(error)}); allowed: a file that recurrax.save wrote. Restore it, or save "
            "the model again."
        ) from error
    if number > FORMAT:
        raise CheckpointError(
            f"{path} has format {number}, which a newer recurrax wrote; allowed: up to {FORMAT}. Upgrade recurrax."
        )
    if checksum != _hash(entry):
        raise CheckpointError(
            f"{path} is damaged: its checksum does not fit; allowed: the file as recurrax.save wrote it. Restore it, "
            "or save the model again."
        )
    return entry


def _write(folder: Path, entry: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Writes the arrays, then model.json, and then removes the arrays of an older model."""
    from orbax.checkpoint import v1 as ocp  # imported here because the import takes a second

    folder.mkdir(parents=True, exist_ok=True)
    check_space(folder, arrays)
    some = {name: array for name, array in arrays.items() if array.size}  # Orbax refuses empty arrays
    if some:
        with OrbaxFolder(folder) as readable, quiet():
            ocp.save(str(readable / entry["arrays"]), some)
    if is_main():
        entry["checksums"] = checksums(folder / entry["arrays"])
        write(folder / "model.json", json.dumps({**entry, "sha256": _hash(entry)}, indent=1) + "\n")
        for old in folder.glob("arrays-*"):
            if old.name != entry["arrays"]:
                shutil.rmtree(old, ignore_errors=True)
    barrier("recurrax.saved")


def _failed(folder: Path, arrays: str, error: Exception) -> CheckpointError:
    if isinstance(error, CheckpointError):
        return error
    be_quiet_from_now_on()
    for half in folder.glob(f"{arrays}*"):
        shutil.rmtree(half, ignore_errors=True)
    kept = "the model that was there is whole" if (folder / "model.json").exists() else "nothing is left of it"
    return CheckpointError(
        f"cannot write the model to {folder} ({reason(error)}); {kept}. Free space or mend the folder, or save the "
        "model in another one."
    )


def _read_arrays(folder: Path, name: str, templates: dict[str, Any]) -> dict[str, Any]:
    from orbax.checkpoint import v1 as ocp

    some = {one: template for one, template in templates.items() if template.size}
    empty = {one: jnp.zeros(t.shape, t.dtype) for one, t in templates.items() if not t.size}
    if not some:
        return empty
    with OrbaxFolder(folder) as readable, quiet():
        return {**empty, **ocp.load(str(readable / name), some)}


@functools.cache
def _versions() -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in ("recurrax", "jax", "flax")}


def _hash(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
