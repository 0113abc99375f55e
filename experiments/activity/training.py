"""The windows, the random forest with its checks, and the training of every cell on every fold of people."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx

from experiments import lab
from recurrax import datasets
from recurrax.datasets import Arrays, Dataset, scale, segment
from recurrax.layers import GRU, LSTM, SequenceModel
from recurrax.tasks import Supervised
from recurrax.training import adam, predict

LAYERS = {"LSTM": LSTM, "GRU": GRU}
RATE = 50  # samples a second
VALIDATION = 0.25  # share of the people who are not tested
STATISTICS = ("mean", "standard deviation", "least", "largest", "mean step")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Exercises of unseen people; the defaults take about three minutes on two CPU cores."""

    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where `recurrax datasets get watch` put the data; its own folder by default."""
    cells: tuple[Literal[*LAYERS], ...] = ("LSTM",)  # type: ignore[valid-type]
    """Cells to train."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds, stated in advance; all of them are reported."""
    folds: int = 5
    """Groups of people, each of which is tested once."""
    window: float = 5.0
    """Length of a window in seconds; windows overlap by half."""
    average: int = 4
    """Samples that are averaged to one step: the network reads 50 / 4 = 12.5 steps a second."""
    hidden: int = 64
    """Units of each direction (H)."""
    dropout: float = 0.5
    """Rate before the answer."""
    learning_rate: float = 3e-3
    """Adam's learning rate."""
    steps: int = 600
    """Updates of each run; the model with the lowest loss on the validation people is tested."""
    batch_size: int = 32
    """Windows of an update."""
    chunk: int = 60
    """Updates between evaluations."""
    trees: int = 300
    """Trees of the random forest."""


PRESETS = {
    "default": Config(),
    "table": Config(cells=("LSTM", "GRU"), seeds=(0, 1, 2)),
    "smoke": Config(seeds=(0, 1), folds=4, window=1.0, hidden=4, steps=4, batch_size=4, chunk=2, trees=5),
    "accelerator": Config(
        cells=("LSTM", "GRU"), seeds=tuple(range(10)), average=1, hidden=128, steps=3000, batch_size=64, chunk=150
    ),
}


def parts(config: Config) -> dict[str, Any]:
    """The windows, the random forest with its checks, and every cell on every fold."""
    found = datasets.read("watch", config.data_dir)
    whole = windows(found, config)
    lab.plan(config, sweep={})
    adam(config.learning_rate)
    return {
        "data": functools.partial(describe, config, whole, found["names"]),
        "forest": functools.partial(forest, config, whole),
        **{
            f"{cell} fold {fold}": functools.partial(learn, config, whole, cell, fold)
            for cell in config.cells
            for fold in range(config.folds)
        },
    }


def windows(found: dict[str, np.ndarray], config: Config) -> Arrays:
    """Windows of the recordings, averaged to fewer steps; the groups are the people."""
    steps = round(config.window * RATE) // config.average
    recordings = []
    for start, stop in zip(found["starts"][:-1], found["starts"][1:], strict=True):
        one = found["samples"][start:stop]
        whole = len(one) // config.average * config.average
        recordings.append(one[:whole].reshape(-1, config.average, one.shape[1]).mean(axis=1))
    inputs, owners = segment(recordings, steps, max(steps // 2, 1))
    labels, people = (np.asarray(found[name])[owners].astype(np.int32) for name in ("labels", "people"))
    return Arrays(inputs.astype(np.float32), labels, groups=people)


def by_person(config: Config, whole: Arrays) -> list[Dataset[Arrays]]:
    """Folds with nobody in two splits, scaled by their training people."""
    return [scale(data) for data in whole.folds(config.folds, VALIDATION, name="watch")]


def describe(config: Config, whole: Arrays, names: np.ndarray) -> dict[str, Any]:
    """The number and kind of windows, and the people tested in each fold."""
    folds = by_person(config, whole)
    return {
        "names": [str(name) for name in names],
        "windows": len(whole),
        "steps": whole.inputs.shape[1],
        "counts": np.bincount(np.asarray(whole.targets)),
        "people": [sorted(set(np.asarray(data.test.groups).tolist())) for data in folds],
        "majority": [
            score(np.full((1, len(data.test)), np.bincount(np.asarray(data.train.targets)).argmax()), data.test)
            for data in folds
        ],
    }


def score(answers: np.ndarray, test: Arrays) -> dict[str, Any]:
    """Accuracy of each person, ``[S, people]``, and how often each exercise was taken for which, over all seeds."""
    labels, groups = np.asarray(test.targets), np.asarray(test.groups)
    right = answers == labels
    classes = int(max(labels.max(), answers.max())) + 1
    table = np.zeros((classes, classes), int)
    np.add.at(table, (np.broadcast_to(labels, answers.shape), answers), 1)
    return {
        "accuracy": right.mean(axis=1),
        "people": np.unique(groups),
        "by_person": np.stack([right[:, groups == person].mean(axis=1) for person in np.unique(groups)], axis=1),
        "confusion": table,
    }


def statistics(inputs: np.ndarray) -> np.ndarray:
    """The `STATISTICS`, ``[N, 5 D]``, of each channel of windows ``[N, T, D]``."""
    steps = np.abs(np.diff(inputs, axis=1)).mean(axis=1)
    parts = (inputs.mean(axis=1), inputs.std(axis=1), inputs.min(axis=1), inputs.max(axis=1), steps)
    return np.concatenate(parts, axis=1)


def forest(config: Config, whole: Arrays) -> dict[str, Any]:
    """A random forest by person; with the windows split at random, and with shuffled labels, where it must fail."""
    random, found = np.random.RandomState(0), {"by person": [], "shuffled labels": [], "at random": []}
    for data in by_person(config, whole):
        labels = np.concatenate([np.asarray(part.targets) for part in (data.train, data.validation)])
        inputs = np.concatenate([np.asarray(part.inputs) for part in (data.train, data.validation)])
        found["by person"].append(grow(config, inputs, labels, data.test))
        found["shuffled labels"].append(grow(config, inputs, random.permutation(labels), data.test))
    ungrouped = dataclasses.replace(whole, groups=None)
    for data in ungrouped.folds(config.folds, VALIDATION, name="leak"):
        labels = np.concatenate([np.asarray(part.targets) for part in (data.train, data.validation)])
        inputs = np.concatenate([np.asarray(part.inputs) for part in (data.train, data.validation)])
        test = dataclasses.replace(data.test, groups=np.zeros(len(data.test), np.int32))
        found["at random"].append(grow(config, inputs, labels, test))
    return found


def grow(config: Config, inputs: np.ndarray, labels: np.ndarray, test: Arrays) -> dict[str, Any]:
    """The scores of a forest for each seed."""
    from sklearn.ensemble import RandomForestClassifier

    features, asked = statistics(inputs), statistics(np.asarray(test.inputs))
    trees = [RandomForestClassifier(config.trees, random_state=seed).fit(features, labels) for seed in config.seeds]
    return score(np.stack([one.predict(asked) for one in trees]), test)


def learn(config: Config, whole: Arrays, cell: str, fold: int) -> dict[str, Any]:
    """Every seed of a cell on a fold."""
    data = by_person(config, whole)[fold]
    task = Supervised(data)

    def build(key: jax.Array) -> SequenceModel:
        rngs = nnx.Rngs(key)
        layer = LAYERS[cell](task.in_features, config.hidden, bidirectional=True, rngs=rngs)
        return SequenceModel(layer, task.out_features, read="last", dropout=config.dropout, rngs=rngs)

    plan = lab.plan(config, sweep={}, stop_when_solved=False)
    history = lab.train(config, f"{cell} fold {fold}", build, task, adam(config.learning_rate, 1.0), plan)
    outputs = [predict(history.best(seed), task, "test") for seed in range(len(history))]
    scores = score(np.stack([y.argmax(axis=-1) for y in outputs]), data.test)
    return {"cell": cell, "fold": fold, **scores, "steps": history.steps, "loss": history.loss,
            "accuracies": history.accuracy, "best_at": history.best_at,
            "seconds": history.seconds + history.compile_seconds}  # fmt: skip
