"""Checkpoints with Orbax (its v1 API); each is valid only with a list of checksums.

    <folder>/settings.json              the settings of the run; other settings are refused
    <folder>/checkpoints/<step>/        Orbax's own format: nested dicts of arrays
    <folder>/checksums/<step>.json      written last, so that an incomplete checkpoint is ignored

Orbax commits a step by renaming a folder and checks its own index, but it does not notice a flipped bit in an array;
the checksums do. Every process calls all functions; process 0 writes the files that Orbax does not write.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recurrax.report import write
from recurrax.storage.description import kind
from recurrax.storage.differences import differences
from recurrax.storage.folders import CheckpointError as CheckpointError
from recurrax.storage.folders import OrbaxFolder, be_quiet_from_now_on, check_space, checksums, damage, quiet, reason
from recurrax.training.mesh import barrier, is_main


class Checkpoints:
    """The checkpoints of one run; see `recurrax.training.identity.claim` for the folder.

    Args:
        folder: the folder of the run.
        keep: the number of latest checkpoints to keep.

    Raises:
        CheckpointError: Orbax cannot use a folder with this name.

    Opening removes a checkpoint that was incomplete when the process ended.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.checksums, self.keep, self._saving = folder / "checkpoints", folder / "checksums", keep, None
        self.checksums.mkdir(parents=True, exist_ok=True)
        if is_main():
            for path in self.folder.glob("[0-9]*"):
                if path.name.isdigit() and not self._list(int(path.name)).exists():
                    shutil.rmtree(path)  # the process ended between the commit and the checksums
        barrier("checkpoints")
        from orbax.checkpoint import v1 as ocp  # imported here because the import takes a second

        policy = ocp.training.preservation_policies.LatestN(keep)
        self._readable = OrbaxFolder(folder)
        try:
            self._orbax = ocp.training.Checkpointer(
                str(self._readable.path / "checkpoints"),
                preservation_policy=policy,  # type: ignore[arg-type]
                cleanup_tmp_directories=True,
            )
        except BaseException:
            self._readable.close()
            raise

    def latest(self) -> int | None:
        """The step of the last complete checkpoint; None if there is none."""
        return self._orbax.latest.step if self._orbax.latest else None

    def load(self, step: int, template: Mapping[str, Any]) -> dict[str, Any]:
        """Loads the tree saved at a step onto the devices of the template.

        Args:
            step: see `latest`.
            template: nested dicts; every leaf of ``state`` must match in shape and dtype, and everything else is loaded
                as saved.

        Raises:
            CheckpointError: the files are damaged or the tree has another structure; the message names the first
                differences.
        """
        self._verify(step)
        with quiet():
            saved = self._orbax.metadata(step).metadata
        there = {name: kind(leaf) for name, leaf in saved["state"].items()}
        here = {name: kind(leaf) for name, leaf in template["state"].items()}
        different = differences(there, here)
        if different:
            more = f" and {len(different) - 5} more" if len(different) > 5 else ""
            raise CheckpointError(
                f"the checkpoint at step {step} in {self.folder} is of another model or optimiser: "
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
        """Starts writing the tree, which may be changed immediately; `wait` waits for the end."""
        self.wait()
        try:
            check_space(self.folder.parent, tree)
            self._saving = step, self._orbax.save_async(step, dict(tree), force=True)
        except Exception as error:
            raise self._failed(step, error) from error

    def wait(self) -> None:
        """Waits until the last `save` is complete on disk.

        Raises:
            CheckpointError: the checkpoint could not be written, e.g. because the disk is full.
        """
        if self._saving is None:
            return
        (step, response), self._saving = self._saving, None
        try:
            with quiet():
                if response is not None:
                    response.result()
            if is_main():
                write(self._list(step), json.dumps(checksums(self.folder / str(step))))
                for old in sorted(self.checksums.glob("*.json"), key=lambda path: int(path.stem))[: -self.keep]:
                    old.unlink()
        except Exception as error:
            raise self._failed(step, error) from error

    def close(self) -> None:
        """Stops Orbax's threads.

        Raises:
            CheckpointError: the last `save`, if not yet waited for, could not be written.
        """
        try:
            with quiet():
                self._orbax.close()
        except Exception as error:
            raise self._failed(self._saving[0] if self._saving else -1, error) from error
        finally:
            self._readable.close()

    def _failed(self, step: int, error: Exception) -> CheckpointError:
        be_quiet_from_now_on()
        whole = sorted((int(path.stem) for path in self.checksums.glob("*.json") if path.stat().st_size), reverse=True)
        good = f"the one at step {whole[0]} is whole" if whole else "there is no other"
        shutil.rmtree(self.folder / f"{step}.orbax-checkpoint-tmp", ignore_errors=True)
        return CheckpointError(
            f"cannot write the checkpoint at step {step} in {self.folder} ({reason(error)}); {good}. Free space or "
            "mend the folder, then give the same command again to resume from there."
        )

    def _list(self, step: int) -> Path:
        return self.checksums / f"{step}.json"

    def _verify(self, step: int) -> None:
        try:
            expected = json.loads(self._list(step).read_text())
            wrong = damage(self.folder / str(step), expected)
        except (OSError, ValueError, AttributeError):
            wrong = f"{self._list(step).name} is damaged or cut short"
        if wrong:
            others = [info.step for info in self._orbax.checkpoints if info.step != step]
            fix = f"resume from step {max(others)}" if others else "start again"
            raise CheckpointError(
                f"the checkpoint at step {step} in {self.folder} cannot be used: {wrong}. Restore that file, or delete "
                f"the folder {step} to {fix}."
            )
