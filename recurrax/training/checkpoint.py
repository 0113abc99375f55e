"""Checkpoints through Orbax (its v1 API), each with a list of checksums without which it does not count.

    <folder>/settings.json              what the run is; another run is refused
    <folder>/checkpoints/<step>/        Orbax's own format: nested dicts of arrays
    <folder>/checksums/<step>.json      written last, so that a checkpoint is whole or ignored

Orbax commits a step by renaming a folder and checks its own index, but loads a flipped bit in an array without a word;
the checksums find that. Everything is called by every process; process 0 writes what Orbax does not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recurrax.report import write
from recurrax.training.mesh import is_main, together


class CheckpointError(Exception):
    """A checkpoint that cannot be written, or that is not one of this run."""


def claim(folder: Path, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Marks the folder as that of a run with these settings, or makes sure that it is.

    Args:
        folder: of the run.
        settings: what must be the same for a run to go on.
        about: what is worth knowing beside it: versions, device, commit, command.

    Raises:
        CheckpointError: the folder holds a run with other settings; the message names each difference.
    """
    path, mine = folder / "settings.json", _plain(settings)
    if path.exists():
        try:
            theirs = json.loads(path.read_text())["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is not readable ({error}); allowed: a file that recurrax wrote. Use another folder, or delete "
                f"{folder} to start again."
            ) from error
        different = differences(theirs, mine)
        if different:
            raise CheckpointError(
                f"{folder} holds a run with other settings: {'; '.join(different)}. Allowed: the same settings, which "
                "go on where it stopped. Use another folder, or delete this one to start again."
            )
    elif (folder / "checkpoints").exists() and any((folder / "checkpoints").iterdir()):
        raise CheckpointError(
            f"{folder}/checkpoints holds what recurrax did not write, for there is no settings.json beside it; "
            "allowed: a folder of recurrax or a new one. Use another folder."
        )
    elif is_main():
        write(path, json.dumps({"settings": mine, "about": _plain(about)}, indent=1) + "\n")
    together("settings")


def differences(theirs: Any, mine: Any, name: str = "") -> list[str]:
    """What differs between two trees of plain values, one phrase for each leaf."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        names = [*theirs, *(key for key in mine if key not in theirs)]
        inner = (differences(theirs.get(k, "nothing"), mine.get(k, "nothing"), f"{name}.{k}".strip(".")) for k in names)
        return [phrase for phrases in inner for phrase in phrases]
    return [] if theirs == mine else [f"{name} is {theirs} there and {mine} here"]


class Checkpoints:
    """The checkpoints of one run, oldest dropped first; see `claim` for the folder.

    Args:
        folder: of the run.
        keep: how many of the latest stay.

    A checkpoint that was being written when the process died is removed when this opens.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.checksums, self.keep, self._saving = folder / "checksums", keep, None
        self.checksums.mkdir(parents=True, exist_ok=True)
        root = folder.absolute() / "checkpoints"
        if is_main():
            for path in root.glob("[0-9]*"):
                if path.name.isdigit() and not self._list(int(path.name)).exists():
                    shutil.rmtree(path)  # died between the commit and the checksums
        together("checkpoints")
        from orbax.checkpoint import v1 as ocp  # here, since importing it takes a second

        policy = ocp.training.preservation_policies.LatestN(keep)
        self._orbax = ocp.training.Checkpointer(
            str(root),
            preservation_policy=policy,  # type: ignore[arg-type]
            cleanup_tmp_directories=True,
        )

    def latest(self) -> int | None:
        """The step of the last whole checkpoint, None if there is none."""
        return self._orbax.latest.step if self._orbax.latest else None

    def load(self, step: int, template: Mapping[str, Any]) -> dict[str, Any]:
        """The tree saved at a step, on the devices that the template names.

        Args:
            step: see `latest`.
            template: nested dicts; of ``state`` every leaf must match in shape and dtype, all else is taken as saved.

        Raises:
            CheckpointError: the files are damaged, or the tree is another one; the message names the first of each.
        """
        self._verify(step)
        with _quiet():
            saved = self._orbax.metadata(step).metadata
        there = {name: _describe(leaf) for name, leaf in saved["state"].items()}
        here = {name: _describe(leaf) for name, leaf in template["state"].items()}
        different = differences(there, here)
        if different:
            more = f" and {len(different) - 5} more" if len(different) > 5 else ""
            raise CheckpointError(
                f"the checkpoint at step {step} in {self._orbax.directory} is of another model or optimiser: "
                f"{'; '.join(different[:5])}{more}. Allowed: the tree it was saved from. Use another folder."
            )
        rest = {
            group: jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), dict(leaves))
            for group, leaves in saved.items()
            if group != "state"
        }
        abstract = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for name, leaf in template["state"].items()
        }
        return self._orbax.load(step, {"state": abstract, **rest})

    def save(self, step: int, tree: Mapping[str, Any]) -> None:
        """Starts to write the tree, which may change at once; `wait` finishes it."""
        self.wait()
        try:
            self._saving = step, self._orbax.save_async(step, dict(tree), force=True)
        except Exception as error:
            raise self._failed(step, error) from error

    def wait(self) -> None:
        """Returns once the last `save` is whole on disk.

        Raises:
            CheckpointError: it could not be written, e.g. because the disk is full.
        """
        if self._saving is None:
            return
        (step, response), self._saving = self._saving, None
        try:
            with _quiet():
                if response is not None:
                    response.result()
            if is_main():
                write(self._list(step), json.dumps(self._sums(step)))
                for old in sorted(self.checksums.glob("*.json"), key=lambda path: int(path.stem))[: -self.keep]:
                    old.unlink()
        except Exception as error:
            raise self._failed(step, error) from error

    def close(self) -> None:
        """Ends Orbax's threads."""
        with _quiet():
            self._orbax.close()

    def _failed(self, step: int, error: Exception) -> CheckpointError:
        folder = self._orbax.directory
        whole = sorted((int(path.stem) for path in self.checksums.glob("*.json") if path.stat().st_size), reverse=True)
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        good = f"the one at step {whole[0]} is whole" if whole else "there is no other"
        shutil.rmtree(Path(str(folder)) / f"{step}.orbax-checkpoint-tmp", ignore_errors=True)
        return CheckpointError(
            f"cannot write the checkpoint at step {step} in {folder} ({reason}); {good}. Free space or mend the "
            "folder, then give the same command again to go on from there."
        )

    def _list(self, step: int) -> Path:
        return self.checksums / f"{step}.json"

    def _files(self, step: int) -> dict[str, Path]:
        root = Path(str(self._orbax.directory)) / str(step)
        return {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}

    def _sums(self, step: int) -> dict[str, str]:
        return {name: _digest(path) for name, path in self._files(step).items()}

    def _verify(self, step: int) -> None:
        files = self._files(step)
        try:
            expected = json.loads(self._list(step).read_text())
        except ValueError:
            expected = {self._list(step).name: "not readable"}
        for name, digest in expected.items():
            if name not in files or _digest(files[name]) != digest:
                what = "is missing" if name not in files else "is damaged or cut short"
                others = [info.step for info in self._orbax.checkpoints if info.step != step]
                fix = f"go on from step {max(others)}" if others else "start again"
                raise CheckpointError(
                    f"the checkpoint at step {step} in {self._orbax.directory} cannot be used: {name} {what}. "
                    f"Restore that file, or delete the folder {step} to {fix}."
                )


def _plain(tree: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(dict(tree), default=str))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"


class _quiet:
    """Orbax logs what it then raises, a screenful for each array; the exception is enough."""

    def __enter__(self) -> None:
        self.before = {name: logging.getLogger(name).level for name in ("absl", "asyncio")}
        for name in self.before:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def __exit__(self, *_: Any) -> None:
        for name, level in self.before.items():
            logging.getLogger(name).setLevel(level)
