"""The folder of a run: settings, checkpoints and metrics together."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recurrax.report import check_folder, provenance, settings
from recurrax.tasks import Task
from recurrax.training.checkpoint import CheckpointError, Checkpoints, claim
from recurrax.training.history import History, pack, unpack
from recurrax.training.mesh import is_main
from recurrax.training.metrics import Metrics
from recurrax.training.plan import Output, Plan


class Store:
    """Restores a run from its folder and writes it there; without a folder it does nothing."""

    def __init__(self, output: Output, checkpoints: Checkpoints | None, metrics: Metrics | None):
        self.output, self.checkpoints, self.metrics = output, checkpoints, metrics
        self._saved = 0

    def restore(self, history: History, steps: int) -> None:
        """Puts the last checkpoint, if there is one, into the history of a run that is to have so many updates.

        Raises:
            CheckpointError: it is damaged, or of another or a longer run.
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
            with self._told("metrics"):
                self.metrics.restart(history)

    def record(self, history: History, *, last: bool) -> None:
        """Writes the metrics, and the checkpoint if it is due; returns when both are safe on disk.

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
                with self._told("metrics"):
                    self.metrics.append(history)
        finally:
            if self.checkpoints is not None:
                self.checkpoints.wait()

    def close(self, history: History) -> None:
        """Writes what belongs to the end."""
        if self.metrics is not None:
            with self._told("metrics"):
                self.metrics.close(history)

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"cannot write the {what} to {self.output.folder} ({error.strerror}); the checkpoints are whole. Free "
                "space or mend the folder, then give the same command again."
            ) from error


@contextlib.contextmanager
def open_store(output: Output, plan: Plan, task: Task) -> Iterator[Store]:
    """The store of a run, and nobody else's while it is open.

    Raises:
        CheckpointError: the folder is that of another run, or another process is using it.
        ValueError: nothing can be written there.
    """
    if output.folder is None:
        yield Store(output, None, None)
        return
    folder = check_folder(Path(output.folder))
    with _alone(folder):
        claim(folder, settings_of(plan, task, output), provenance())
        metrics = Metrics(folder, output.tensorboard) if is_main() else None
        checkpoints = Checkpoints(folder, output.keep)
        try:
            yield Store(output, checkpoints, metrics)
        finally:
            checkpoints.close()


def settings_of(plan: Plan, task: Task, output: Output) -> dict[str, Any]:
    """What decides a run's numbers: a longer budget or other devices go on with the same run."""
    free = ("steps", "devices", "stop_when_solved")
    planned = {name: value for name, value in dataclasses.asdict(plan).items() if name not in free}
    described = settings(task) if dataclasses.is_dataclass(task) else {}
    return {"task": {"class": type(task).__name__, **described}, "plan": planned, "config": dict(output.config)}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two processes that train into one folder would spoil it; the lock goes with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        fcntl = None
    if fcntl is None or not is_main():
        yield
        return
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"another process is training in {folder}; allowed: one at a time. Wait for it, or use another folder."
            ) from error
        except OSError:
            pass  # a file system without locks
        yield
