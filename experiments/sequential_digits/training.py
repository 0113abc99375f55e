"""The settings, the training of every cell on every order, and what needs no memory: a linear classifier."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments import lab
from experiments.tuning import FAMILIES, STARTS, count, start
from recurrax import datasets
from recurrax.datasets import SPLITS, Dataset
from recurrax.tasks import SequentialImages
from recurrax.training import adam

ORDERS = ("pixels", "permuted", "rows")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Classification of images read as sequences; the defaults take about nine minutes on two CPU cores."""

    data: Literal["digits", "mnist", "cifar10"] = "digits"
    """Data set: digits (bundled with scikit-learn), mnist or cifar10."""
    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where the data lie, see `python -m recurrax.datasets get --help`; TFDS's own folder by default."""
    orders: tuple[Literal[*ORDERS], ...] = ORDERS  # type: ignore[valid-type]
    """Orders of reading: pixels, permuted, rows."""
    cells: tuple[Literal[*STARTS], ...] = (  # type: ignore[valid-type]
        "RNN", "IRNN", "GRU", "LSTM-fb1", "LSTM-chrono", "LRU", "MinGRU", "MinLSTM",
    )  # fmt: skip
    """Cells with their initialisation, one after another."""
    hidden: int = 32
    """Units of every cell (H)."""
    learning_rate: tuple[float, ...] = (2e-3, 8e-3, 3e-2)
    """Adam's learning rates, the same grid for every cell; the validation split chooses."""
    clip_norm: float = 1.0
    """Largest norm of the gradient, the same for every cell."""
    seeds: tuple[int, ...] = (20, 21, 22, 23, 24)
    """Seeds at each learning rate; at the chosen rate all of them are reported."""
    steps: int = 1000
    """Updates of each run, the same for every cell."""
    batch_size: int = 16
    """Training examples of an update, drawn with replacement."""
    chunk: int = 100
    """Updates between evaluations on the validation split."""
    held_out: int = 500
    """Examples evaluated at once; an evaluation is of the whole validation split, the test of the whole test split."""
    penalties: tuple[float, ...] = (1.0, 0.1, 0.01)
    """L2 penalties of the linear classifier, its own grid (1 / C of scikit-learn)."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        seeds=(20, 21), cells=("GRU",), orders=("rows",), hidden=4, learning_rate=(1e-2,), steps=4, batch_size=4,
        chunk=2, penalties=(1.0,),
    ),
    "families": Config(cells=FAMILIES),
    # Rows, a quarter of an hour on two CPU cores; more images ask for a stronger penalty of the linear classifier.
    "mnist": Config(
        data="mnist", orders=("rows",), steps=2000, batch_size=64, chunk=200, penalties=(1000.0, 100.0, 10.0),
    ),
    # The sizes and the budget of Bai et al. (2018): 130 units, ten epochs of 64 images, rate 1e-3, norm clipped at 1.
    "accelerator": Config(
        data="mnist", orders=("pixels", "permuted"), cells=("RNN", "IRNN", "GRU", "LSTM-fb1", "LSTM-chrono"),
        hidden=130, learning_rate=(1e-3,), seeds=(20, 21, 22), steps=8600, batch_size=64, chunk=430,
        penalties=(1000.0, 100.0, 10.0),
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """The data, the linear classifier, and every cell on every order."""
    data = datasets.load(config.data, config.data_dir)
    lab.plan(config)
    adam(config.learning_rate[0], config.clip_norm)
    return {
        "data": functools.partial(describe, data),
        "linear": functools.partial(classify, data, config.penalties),
        **{
            f"{order} {cell}": functools.partial(learn, config, data, order, cell)
            for order in config.orders
            for cell in config.cells
        },
    }


def describe(data: Dataset) -> dict[str, Any]:
    """A description of the data, and the score of a constant answer."""
    return {
        "name": data.name,
        "source": data.source,
        "sha256": data.sha256,
        "sizes": data.sizes,
        "majority": majority(data),
        "chance_level": SequentialImages(data).chance_level(),
    }


def majority(data: Dataset) -> float:
    """Test accuracy of always naming the class that is most frequent in the training split."""
    labels = np.asarray(data.train.labels)
    return float(np.mean(np.asarray(data.test.labels) == np.bincount(labels).argmax()))


def classify(data: Dataset, penalties: Sequence[float]) -> dict[str, Any]:
    """Accuracies of logistic regression at each penalty, and which of them the validation split chooses.

    Pixels are standardised as the task does it, with their mean and deviation over the training split.
    """
    from sklearn.linear_model import LogisticRegression

    pixels = {split: np.asarray(getattr(data, split).images, np.float32) for split in SPLITS}
    mean, deviation = (f(pixels["train"], axis=(0, 1, 2)) for f in (np.mean, np.std))
    xs = {split: ((images - mean) / deviation).reshape(len(images), -1) for split, images in pixels.items()}
    ys = {split: np.asarray(getattr(data, split).labels) for split in SPLITS}
    entry: dict[str, Any] = {"penalty": list(penalties), "validation": [], "test": [], "iterations": []}
    for penalty in penalties:
        model = LogisticRegression(C=1 / penalty, max_iter=1000).fit(xs["train"], ys["train"])
        entry["iterations"].append(int(np.max(model.n_iter_)))
        for split in ("validation", "test"):
            entry[split].append(float(model.score(xs[split], ys[split])))
    entry["chosen"] = int(np.argmax(entry["validation"]))
    return entry


def learn(config: Config, data: Dataset, order: str, cell: str) -> dict[str, Any]:
    """Every seed and learning rate of a cell on an order of reading, to the end."""
    task = SequentialImages(data, order)
    build = start(cell, task, config.hidden)
    optimizer = functools.partial(adam, clip_norm=config.clip_norm)
    history = lab.train(config, f"{order} {cell}", build, task, optimizer, lab.plan(config, stop_when_solved=False))
    return {
        "order": order,
        "cell": cell,
        "length": task.sequence_length,
        "parameters": count(build),
        **lab.outcome(history),
        "best_at": history.best_at,
    }
