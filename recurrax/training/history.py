"""What a training run has seen, run by run: losses, evaluations, who solved it and who diverged."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from recurrax.tasks import Task
from recurrax.training import curves
from recurrax.training.clipping import clipped_fraction
from recurrax.training.ensemble import State
from recurrax.training.mesh import with_keys, without_keys
from recurrax.training.run import Model, Run

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclasses.dataclass
class History:
    """What a `fit` saw, as NumPy arrays, and where its runs ended. S runs: every seed at every point of the sweep.

    Attributes:
        seeds: ``[S]``.
        settings: the swept hyperparameters, ``{name: [S]}``.
        train_loss: loss of every update, ``[S, steps]``; NaN where a frozen run made none.
        steps: updates done at each evaluation, ``[E]``; the first is 0.
        loss: held-out loss, ``[S, E]``.
        accuracy: held-out accuracy, ``[S, E]``.
        solved_at: updates to the first evaluation that met the criterion, ``[S]``; -1 where none did (censored).
        diverged_at: first update with a loss that is not finite, ``[S]``; -1 where all were.
        test_loss, test_accuracy: of the best models, on examples that chose nothing, ``[S]``; NaN before the end.
        seconds: wall time of all chunks and evaluations, those before an interruption included.
        compile_seconds: wall time before them, likewise.
        resumed_at: updates found in a checkpoint, None for a fresh start.
        state: where the runs are.
    """

    seeds: np.ndarray
    settings: dict[str, np.ndarray]
    train_loss: np.ndarray
    steps: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    solved_at: np.ndarray
    diverged_at: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    seconds: float
    compile_seconds: float
    resumed_at: int | None
    state: State

    @property
    def run(self) -> Run:
        """The last state of all runs, every leaf with a leading axis S."""
        return self.state.run

    @property
    def best_model(self) -> Model:
        """The model of each run with the lowest held-out loss."""
        return self.state.best.model

    @property
    def best_at(self) -> np.ndarray:
        """Updates that those models had seen, ``[S]``; -1 where no held-out loss was finite."""
        losses = np.where(np.isfinite(self.loss), self.loss, np.inf)
        return np.where(np.isfinite(losses).any(axis=1), self.steps[np.argmin(losses, axis=1)], -1)

    @property
    def clipped(self) -> np.ndarray:
        """Share of each run's updates in which the gradient was clipped, ``[S]``; NaN where nothing counts them.

        On several hosts each must ask for it, at the same place: it collects the counts of all.
        """
        share = clipped_fraction(self.run.optimizer)
        if share is None:
            return np.full(len(self), np.nan)
        if not share.is_fully_addressable:
            share = multihost_utils.process_allgather(share, tiled=True)
        return np.asarray(share, float)

    @property
    def active(self) -> np.ndarray:
        """Runs that have neither solved the task nor diverged, ``[S]``."""
        return (self.solved_at < 0) & (self.diverged_at < 0)

    def __len__(self) -> int:
        return len(self.seeds)

    def rows(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """One row for each run at each evaluation from number ``start`` on: what ``metrics.jsonl`` holds."""
        before = np.concatenate([[0], self.steps])
        for index in range(start, len(self.steps)):
            done = int(self.steps[index])
            losses = self.train_loss[:, before[index] : done]
            for run, seed in enumerate(self.seeds.tolist()):
                yield {
                    "step": done,
                    "seed": seed,
                    **{name: float(values[run]) for name, values in self.settings.items()},
                    "train_loss": float(losses[run].mean()) if losses.shape[1] else float("nan"),
                    "loss": float(self.loss[run, index]),
                    "accuracy": float(self.accuracy[run, index]),
                }

    def name(self, run: int) -> str:
        """A run in words: its seed and settings."""
        return ", ".join([f"seed {self.seeds[run]}", *(f"{k} {v[run]:g}" for k, v in self.settings.items())])

    def extend(self, task: Task, losses: np.ndarray, loss: np.ndarray, accuracy: np.ndarray, made: np.ndarray) -> None:
        """Adds a chunk: its losses ``[S, steps]``, the evaluation after it, and who solved it or diverged.

        Args:
            task: judges who solved it.
            losses: of the updates, ``[S, steps]``.
            loss: held-out, ``[S]``.
            accuracy: held-out, ``[S]``.
            made: runs that made the updates and were not frozen, ``[S]``.

        Warns:
            RuntimeWarning: a run diverged.
        """
        before = self.train_loss.shape[1]
        done = before + losses.shape[1]
        self.train_loss = np.concatenate([self.train_loss, losses], axis=1)
        self.steps = np.append(self.steps, done)
        self.loss = np.concatenate([self.loss, loss[:, None]], axis=1)
        self.accuracy = np.concatenate([self.accuracy, accuracy[:, None]], axis=1)
        healthy = (np.isfinite(losses).all(axis=1) & np.isfinite(loss)) | ~made
        solved = healthy & made & np.asarray(task.success(loss, accuracy)) & (self.diverged_at < 0)
        self.solved_at = np.where((self.solved_at < 0) & solved, done, self.solved_at)
        for run in np.flatnonzero(~healthy & (self.diverged_at < 0)).tolist():
            bad = np.flatnonzero(~np.isfinite(losses[run]))
            self.diverged_at[run] = before + bad[0] if bad.size else done
            warnings.warn(
                f"{self.name(run)} diverged: its loss is not finite at update {self.diverged_at[run]}; "
                "the other runs go on. A lower learning rate or clip_norm may help.",
                RuntimeWarning,
                stacklevel=3,
            )

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """Held-out metrics by name, ``[S, E]`` each."""
        return {"loss": self.loss, "accuracy": self.accuracy}

    def plot(
        self,
        metrics: Sequence[str] | None = None,
        *,
        chance: float | Mapping[str, float] | None = None,
        criterion: float | Mapping[str, float] | None = None,
    ) -> Figure:
        """Draws held-out metrics against updates, every run and the median; see `recurrax.training.curves.plot`."""
        return curves.plot(self, metrics, chance=chance, criterion=criterion)

    def to_dataframe(self) -> pandas.DataFrame:
        """One row for each run and evaluation, where pandas is; see `recurrax.training.curves.to_dataframe`."""
        return curves.to_dataframe(self)

    def __repr__(self) -> str:
        return f"<History: {curves.describe(self)}>"


def begin(seeds: np.ndarray, settings: dict[str, np.ndarray], state: State) -> History:
    """The history before the first evaluation."""
    S = len(seeds)
    unknown, never = np.full(S, np.nan), np.full(S, -1)
    return History(
        seeds=seeds, settings=settings, train_loss=np.zeros((S, 0), np.float32), steps=np.zeros(0, int),
        loss=np.zeros((S, 0), np.float32), accuracy=np.zeros((S, 0), np.float32),
        solved_at=never, diverged_at=never.copy(), test_loss=unknown, test_accuracy=unknown.copy(),
        seconds=0.0, compile_seconds=0.0, resumed_at=None, state=state,
    )  # fmt: skip


SAVED = ("train_loss", "steps", "loss", "accuracy", "solved_at", "diverged_at", "seconds", "compile_seconds")


def pack(history: History) -> dict[str, Any]:
    """What a checkpoint keeps: nested dicts of arrays, so that it opens without the model's code.

    The leaves of the runs are named by their paths, e.g. ``run.model.layer.cell.kernel``.
    """
    return {
        "state": {name: without_keys(leaf) for name, leaf in named_leaves(history.state).items()},
        "history": {name: np.asarray(getattr(history, name)) for name in SAVED},
    }


def unpack(history: History, saved: dict[str, Any]) -> None:
    """Puts what `pack` gave back into a history of the same runs."""
    for name in SAVED:
        value = np.array(saved["history"][name])
        setattr(history, name, float(value) if value.ndim == 0 else value)
    leaves = [with_keys(leaf, saved["state"][name]) for name, leaf in named_leaves(history.state).items()]
    history.state = jax.tree.unflatten(jax.tree.structure(history.state), leaves)
    history.resumed_at = int(history.steps[-1])


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves by the names on the path to them, joined by dots."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {".".join(_names(path)): leaf for path, leaf in flat}


def _names(path: tuple[Any, ...]) -> list[str]:
    names = [str(getattr(entry, "name", getattr(entry, "key", getattr(entry, "idx", entry)))) for entry in path]
    return [name for name in names if name not in ("value", "raw_value")]  # how Flax versions name a Param's array
