"""The history of training for each run: losses, evaluations, and whether it solved the task or diverged."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from recurrax.storage.leaves import places
from recurrax.tasks import Task
from recurrax.training import curves
from recurrax.training.clipping import clipped_fraction
from recurrax.training.ensemble import State
from recurrax.training.mesh import with_keys, without_keys
from recurrax.training.parameters import Model
from recurrax.training.run import Run

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclasses.dataclass
class History:
    """The results of a `fit` as NumPy arrays, and the final state of its S runs (all seeds at all sweep points).

    Attributes:
        seeds: ``[S]``.
        settings: the swept hyperparameters, ``{name: [S]}``.
        state: the state of the runs.
        monitor, mode: the metric that selects the best model, and whether its "min" or "max" is best.
        patience: evaluations without improvement after which a run stops; None means never.
        train_loss: loss of every update, ``[S, steps]``; NaN for updates that a frozen run did not make.
        steps: updates done at each evaluation, ``[E]``; the first is 0.
        metrics: held-out metrics of the task, each ``[S, E]``, and the learning rate if the optimiser reports it.
        test_metrics: metrics of the best models on examples that influenced no choice, each ``[S]``; empty before the
            end.
        solved_at: updates to the first evaluation that met the criterion, ``[S]``; -1 if none did (censored).
        diverged_at: first update with a loss that is not finite, ``[S]``; -1 if all were finite.
        seconds: wall time of all chunks and evaluations, including those before an interruption.
        compile_seconds: wall time of compilation, also including the time before an interruption.
        resumed_at: updates in the checkpoint that the run resumed from; None for a fresh start.
        feed: the position of a pipeline on the host, as bytes.
    """

    seeds: np.ndarray
    settings: dict[str, np.ndarray]
    state: State
    monitor: str = "loss"
    mode: str = "min"
    patience: int | None = None
    train_loss: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.float32))
    steps: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, int))
    metrics: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    test_metrics: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    solved_at: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, int))
    diverged_at: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, int))
    seconds: float = 0.0
    compile_seconds: float = 0.0
    resumed_at: int | None = None
    feed: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.uint8))

    @property
    def loss(self) -> np.ndarray:
        """Held-out loss, ``[S, E]``."""
        return self.metric("loss")

    @property
    def accuracy(self) -> np.ndarray:
        """Held-out accuracy, ``[S, E]``; NaN if the task has none."""
        return self.metric("accuracy")

    @property
    def test_loss(self) -> np.ndarray:
        """Loss of the best models on examples that influenced no choice, ``[S]``; NaN before the end."""
        return self.test_metrics.get("loss", np.full(len(self), np.nan))

    @property
    def test_accuracy(self) -> np.ndarray:
        """Accuracy of the best models on examples that influenced no choice, ``[S]``; NaN before the end."""
        return self.test_metrics.get("accuracy", np.full(len(self), np.nan))

    def metric(self, name: str) -> np.ndarray:
        """A held-out metric, ``[S, E]``; NaN if there is none of that name."""
        return self.metrics.get(name, np.full((len(self), len(self.steps)), np.nan, np.float32))

    @property
    def run(self) -> Run:
        """The last state of all runs, every leaf with a leading axis S."""
        return self.state.run

    @property
    def best_model(self) -> Model:
        """The best model of each run by the monitored metric; every leaf has a leading axis S."""
        return self.state.best.model

    def best(self, run: int = 0) -> Model:
        """The best model of one run, without the axis S."""
        return jax.tree.map(lambda leaf: leaf[run], self.best_model)

    @property
    def best_at(self) -> np.ndarray:
        """Updates after which the best models were saved, ``[S]``; -1 if no monitored metric was finite."""
        found = self._best_evaluation
        return np.where(found >= 0, self.steps[found], -1)

    @property
    def stopped(self) -> np.ndarray:
        """Runs that early stopping has ended after `patience` evaluations without improvement, ``[S]``."""
        if self.patience is None or not len(self.steps):
            return np.zeros(len(self), bool)
        return len(self.steps) - 1 - np.maximum(self._best_evaluation, 0) >= self.patience

    @property
    def _best_evaluation(self) -> np.ndarray:
        values = self.metric(self.monitor) * (1 if self.mode == "min" else -1)
        values = np.where(np.isfinite(values), values, np.inf)
        return np.where(np.isfinite(values).any(axis=1), np.argmin(values, axis=1), -1)

    @property
    def clipped(self) -> np.ndarray:
        """Share of each run's updates with a clipped gradient, ``[S]``; NaN if they are not counted.

        On several hosts all processes must call it at the same point, because it collects the counts of all hosts.
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
        """One row for each run at each evaluation from number ``start`` on, as in ``metrics.jsonl``."""
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
                    **{
                        f"current_{name}" if name in self.settings else name: float(values[run, index])
                        for name, values in self.metrics.items()
                    },
                }

    def name(self, run: int) -> str:
        """The name of a run: its seed and settings."""
        return ", ".join([f"seed {self.seeds[run]}", *(f"{k} {v[run]:g}" for k, v in self.settings.items())])

    def extend(self, task: Task, losses: np.ndarray, metrics: dict[str, np.ndarray], made: np.ndarray) -> None:
        """Adds a chunk: its losses ``[S, steps]``, the evaluation after it, and the solved and diverged runs.

        Args:
            task: decides which runs solved it.
            losses: losses of the updates, ``[S, steps]``.
            metrics: held-out metrics, each ``[S]``.
            made: whether a run made the updates, i.e. was not frozen, ``[S]``.

        Warns:
            RuntimeWarning: a run diverged.
        """
        before = self.train_loss.shape[1]
        done = before + losses.shape[1]
        self.train_loss = np.concatenate([self.train_loss, losses], axis=1)
        for name in sorted(metrics, key=lambda name: (name != "loss", name)):  # loss first, as after a restart
            value = np.asarray(metrics[name])[:, None]
            self.metrics[name] = np.concatenate([self.metrics.get(name, value[:, :0]), value], axis=1)
        self.steps = np.append(self.steps, done)
        loss = np.asarray(metrics["loss"])
        healthy = (np.isfinite(losses).all(axis=1) & np.isfinite(loss)) | ~made
        solved = healthy & made & np.asarray(task.solved(metrics)) & (self.diverged_at < 0)
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
        """One row for each run and evaluation as a pandas table; see `recurrax.training.curves.to_dataframe`."""
        return curves.to_dataframe(self)

    def __repr__(self) -> str:
        return f"<History: {curves.describe(self)}>"


def begin(
    task: Task, seeds: np.ndarray, settings: dict[str, np.ndarray], state: State, patience: int | None = None
) -> History:
    """Creates the history before the first evaluation."""
    S = len(seeds)
    return History(
        seeds, settings, state, task.monitor, task.mode, patience,
        train_loss=np.zeros((S, 0), np.float32), solved_at=np.full(S, -1), diverged_at=np.full(S, -1),
    )  # fmt: skip


SAVED = ("train_loss", "steps", "solved_at", "diverged_at", "seconds", "compile_seconds")


def pack(history: History) -> dict[str, Any]:
    """The contents of a checkpoint: nested dicts of arrays, which can be opened without the model's code.

    The leaves of the runs are named by their paths, e.g. ``run.model.layer.cell.kernel``.
    """
    return {
        "state": {name: without_keys(leaf) for name, leaf in named_leaves(history.state).items()},
        "history": {name: np.asarray(getattr(history, name)) for name in SAVED},
        "metrics": dict(history.metrics),
        **({"feed": {"state": history.feed}} if history.feed.size else {}),
    }


def unpack(history: History, saved: dict[str, Any]) -> None:
    """Restores a history of the same runs from the dict of `pack`."""
    for name in SAVED:
        value = np.array(saved["history"][name])
        setattr(history, name, float(value) if value.ndim == 0 else value)
    history.feed = np.array(saved.get("feed", {}).get("state", history.feed))
    metrics = sorted(saved["metrics"].items(), key=lambda pair: (pair[0] != "loss", pair[0]))
    history.metrics = {name: np.array(value) for name, value in metrics}
    leaves = [with_keys(leaf, saved["state"][name]) for name, leaf in named_leaves(history.state).items()]
    history.state = jax.tree.unflatten(jax.tree.structure(history.state), leaves)
    history.resumed_at = int(history.steps[-1])


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves keyed by their paths, with names joined by dots."""
    return {".".join(path): leaf for path, _, leaf in places(tree)}
