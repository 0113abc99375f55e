"""The folder of a run with its settings, checkpoints and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from recurrax.report import check_folder, provenance
from recurrax.storage.folders import reason
from recurrax.training.best import save_best
from recurrax.training.checkpoint import CheckpointError, Checkpoints
from recurrax.training.history import History, pack, unpack
from recurrax.training.identity import claim, identity
from recurrax.training.mesh import is_main
from recurrax.training.metrics import Metrics
from recurrax.training.plan import Output, Plan
from recurrax.training.run import Recipe


class Store:
    """Restores a run from its folder and writes to it; without a folder it does nothing."""

    def __init__(self, output: Output, checkpoints: Checkpoints | None, metrics: Metrics | None):
        self.output, self.checkpoints, self.metrics = output, checkpoints, metrics
        self._saved = 0

    def restore(self, history: History, steps: int) -> None:
        """Loads the last checkpoint, if there is one, into the history of a run of ``steps`` updates.

        Raises:
            CheckpointError: the checkpoint is damaged, or belongs to another or a longer run.
        """
        if self.checkpoints is None:
            return
        step = self.checkpoints.latest()
        if step is not None:
            unpack(history, self.checkpoints.load(step, pack(history)))
            self._saved = step
        if history.steps.size and history.steps[-1] > steps:
            raise CheckpointError(
                f"{self.output.folder} holds a run of {history.steps[-1]} updates already, and steps={steps}; allowed: "
                "at least as many. Raise steps, or use another folder."
            )
        if self.metrics is not None:
            with _as_checkpoint_error("metrics", self.output.folder):
                self.metrics.restart(history)

    def record(self, history: History, *, last: bool) -> None:
        """Writes the metrics, and a checkpoint if one is due; returns when both are on disk.

        Raises:
            CheckpointError: they cannot be written.
        """
        done = int(history.steps[-1])
        due = last or done - self._saved >= (self.output.checkpoint_every or 1)
        if self.checkpoints is not None and due and done > self._saved:
            self.checkpoints.save(done, pack(history))
            self._saved = done
        try:
            if self.metrics is not None:
                with _as_checkpoint_error("metrics", self.output.folder):
                    self.metrics.append(history)
        finally:
            if self.checkpoints is not None:
                self.checkpoints.wait()

    def close(self, history: History) -> None:
        """Writes the final files: the table of metrics, and the best model of each run.

        Raises:
            CheckpointError: it cannot be written.
        """
        if self.metrics is not None:
            with _as_checkpoint_error("metrics", self.output.folder):
                self.metrics.close(history)
        if self.output.folder is not None:
            save_best(Path(self.output.folder) / "best", history)


@contextlib.contextmanager
def open_store(output: Output, recipe: Recipe, plan: Plan) -> Iterator[Store]:
    """Opens the store of a run with an exclusive lock.

    Raises:
        CheckpointError: the folder belongs to another run, another process is using it, or it is not writable.
        ValueError: nothing can be written there.
    """
    if output.folder is None:
        yield Store(output, None, None)
        return
    folder = check_folder(Path(output.folder))
    settings = identity(recipe, plan, output.config)
    with _exclusive_lock(folder):
        with _as_checkpoint_error("settings", folder):
            claim(folder, settings, provenance())
            metrics = Metrics(folder, output.tensorboard) if is_main() else None
            checkpoints = Checkpoints(folder, output.keep)
        try:
            yield Store(output, checkpoints, metrics)
        except BaseException:
            with contextlib.suppress(CheckpointError):  # Orbax raises the same error again
                checkpoints.close()
            raise
        checkpoints.close()


@contextlib.contextmanager
def _as_checkpoint_error(what: str, folder: Path | str | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"cannot write the {what} to {folder} ({reason(error)}); what was saved before is whole. Free space or "
            "mend the folder, then give the same command again."
        ) from error


@contextlib.contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Locks the folder against a second training process; the lock ends with the process in any case."""
    try:
        import fcntl
    except ImportError:  # Windows
        fcntl = None
    if fcntl is None or not is_main():
        yield
        return
    with _as_checkpoint_error("lock", folder):
        file = (folder / "lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"another process is training in {folder}; allowed: one at a time. Wait for it, or use another folder."
            ) from error
        except OSError:
            pass  # a file system without locks
        yield
