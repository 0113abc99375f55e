"""The settings, the baselines and the training of every cell on glucose."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments import lab
from experiments.baselines.linear import ridge
from experiments.baselines.trees import boosting, classifier
from experiments.glucose.alarms import judge
from experiments.glucose.data import SOON, STEPS, due, series, windows
from experiments.windows import Windows, around, conformal, coverage, in_units, learn, short
from recurrax.heads import Quantiles
from recurrax.training import adam

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
MIDDLE = LEVELS.index(0.5)


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Forecasts of glucose with quantiles and alarms; the defaults take three minutes on two CPU cores."""

    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where the data lie, see `recurrax datasets get --help`; the folder of that command by default."""
    cells: tuple[Literal["RNN", "GRU", "LSTM"], ...] = ("LSTM",)
    """Cells, one after another."""
    length: int = 36
    """Readings of the past that are read, 5 minutes apart."""
    hidden: int = 32
    """Units of every cell (H)."""
    dropout: float = dataclasses.field(default=0.1, metadata={"least": 0.0})
    """Rate of dropout before the outputs."""
    learning_rate: tuple[float, ...] = (2e-3, 8e-3)
    """Adam's learning rates; the validation split chooses."""
    seeds: tuple[int, ...] = (0,)
    """Seeds at each learning rate; at the chosen rate all of them are reported."""
    steps: int = 1500
    """Updates of each run at most."""
    batch_size: int = 64
    """Training windows of an update, drawn with replacement."""
    chunk: int = 100
    """Updates between evaluations on the validation split."""
    patience: int = 5
    """Evaluations without a better one after which a run stops; its best model counts."""
    held_out: int = 600
    """Windows evaluated at once."""
    validation_stride: int = 3
    """Origins of the validation split from one that counts to the next, for they overlap."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        cells=("GRU",), length=6, hidden=4, learning_rate=(1e-2,), steps=4, batch_size=4, chunk=2, held_out=64,
    ),
    "table": Config(cells=("RNN", "GRU", "LSTM"), seeds=(0, 1, 2)),
    "accelerator": Config(
        cells=("RNN", "GRU", "LSTM"), length=144, hidden=128, learning_rate=(5e-4, 2e-3, 8e-3), seeds=(0, 1, 2, 3, 4),
        steps=10_000, chunk=250, patience=10, validation_stride=1,
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """The baselines, then every cell."""
    adam(config.learning_rate[0])
    lab.plan(config)
    found = windows(config.data_dir, config.length, config.validation_stride)
    minutes, _ = series(config.data_dir)
    return {
        "baselines": functools.partial(baselines, found, minutes),
        **{cell: functools.partial(network, config, found, minutes, cell) for cell in config.cells},
    }


def network(config: Config, found: Windows, minutes: np.ndarray, cell: str) -> dict[str, Any]:
    """A cell with every seed: its errors, its intervals before and after calibration, and its alarms.

    The score of an alarm is how low the calibrated 5% quantile of the next 30 minutes gets.
    """
    head = Quantiles(LEVELS)
    plan = lab.plan(config, stop_when_solved=False)
    entry, outputs = learn(config, found, cell, ["now"], plan, head)
    raw = {
        split: in_units(outputs[split], entry, head, found.bases[entry["base"]][found.splits[split]])
        for split in ("validation", "test")
    }
    judged, shown = [], []
    for seen, ahead in zip(raw["validation"], raw["test"], strict=True):
        shift = conformal(seen, found.targets[found.splits["validation"]], LEVELS)
        quantiles = {"validation": seen + shift, "test": ahead + shift}
        scores = {split: -values[:, :SOON, 0].min(axis=1) for split, values in quantiles.items()}
        alarm = judge(found, minutes, scores)
        judged.append(errors(found, quantiles["test"]) | {"alarm": alarm, "raw": shares(found, ahead)})
        shown.append(day(found, minutes, quantiles["test"], scores["test"] >= alarm["threshold"]))
    middle = int(np.argsort([one["rmse_30"] for one in judged])[len(judged) // 2])
    return entry | {"test": judged, "day": shown[middle]}


def errors(found: Windows, quantiles: np.ndarray) -> dict[str, Any]:
    """Errors of the median 30 and 60 minutes ahead, and of the intervals, on the test; quantiles ``[n, H, K]``."""
    part = found.splits["test"]
    squared = (quantiles[..., MIDDLE] - found.targets[part])[:, [SOON - 1, STEPS - 1]] ** 2
    number = np.unique(found.days[part], return_inverse=True)[1]
    by_day = [np.bincount(number, squared[:, column]) for column in range(2)]
    return {
        "rmse_30": float(np.sqrt(squared[:, 0].mean())), "rmse_60": float(np.sqrt(squared[:, 1].mean())),
        "calibrated": shares(found, quantiles),
        "by_day": {"count": np.bincount(number).tolist(), "squared": short(np.stack(by_day), 5)},
    }  # fmt: skip


def shares(found: Windows, quantiles: np.ndarray) -> dict[str, Any]:
    """Share of the test below each quantile, and in the 90% interval, 30 and 60 minutes ahead and over all steps."""
    truth = found.targets[found.splits["test"]]
    return {
        "below": short((truth[..., None] <= quantiles).mean(axis=(0, 1))),
        "coverage": coverage(truth, quantiles),
        "coverage_30": coverage(truth[:, SOON - 1 : SOON], quantiles[:, SOON - 1 : SOON]),
        "coverage_60": coverage(truth[:, -1:], quantiles[:, -1:]),
    }


def baselines(found: Windows, minutes: np.ndarray) -> dict[str, Any]:
    """Every baseline on the test, with intervals from its validation errors; its alarm is how low its forecast gets."""
    rows: dict[str, Any] = {}
    for name, (point, note) in points(found).items():
        lowest = -point[:, :SOON].min(axis=1)
        scores = {split: lowest[found.splits[split]] for split in ("validation", "test")}
        quantiles = around(point, found, LEVELS)[found.splits["test"]]
        rows[name] = errors(found, quantiles) | {"alarm": judge(found, minutes, scores), "note": note}
    flat = found.inputs.reshape(len(found.inputs), -1)
    labels = found.targets[:, :SOON].min(axis=1) < 70
    train = found.splits["train"][due(found, "train")[0]]
    probability = classifier(flat, labels, train)
    scores = {split: probability[found.splits[split]] for split in ("validation", "test")}
    classified = {"alarm": judge(found, minutes, scores), "note": "trained on the alarm itself"}
    return {"rows": rows, "classifier": classified, "sizes": {name: len(part) for name, part in found.splits.items()}}


def points(found: Windows) -> dict[str, tuple[np.ndarray, str]]:
    """Point forecasts ``[n, H]`` for every origin, with a remark on each."""
    flat = found.inputs.reshape(len(found.inputs), -1)
    change = found.targets - found.bases["now"]
    linear, alpha = ridge(flat, change, found.splits)
    trees, numbers = boosting(flat, change, found.splits, (0, 2, SOON - 1, STEPS - 1))
    return {
        "persistence": (found.bases["now"], ""),
        "linear extrapolation": (found.bases["line"], "the last four readings"),
        "ridge": (found.bases["now"] + linear, f"penalty {alpha:g}"),
        "gradient boosting": (
            found.bases["now"] + trees,
            f"{numbers[-2]} and {numbers[-1]} trees for 30 and 60 minutes",
        ),
    }


def day(found: Windows, minutes: np.ndarray, quantiles: np.ndarray, alarm: np.ndarray) -> dict[str, Any]:
    """The day of the test with most right alarms due: glucose, the interval made 30 minutes before, and the alarms."""
    part = found.splits["test"]
    allowed, right = due(found, "test")
    days = found.days[part]
    numbers, counts = np.unique(days, return_counts=True)
    whole = numbers[counts >= 0.8 * counts.max()]
    best = max(whole, key=lambda number: int((right & allowed)[days == number].sum()))
    here = days == best
    return {
        "hours": short((minutes[found.origins[part[here]]] % (24 * 60)) / 60, 5),
        "glucose": found.bases["now"][part[here], 0].tolist(),
        "low": short(quantiles[here, SOON - 1, 0], 4), "median": short(quantiles[here, SOON - 1, MIDDLE], 4),
        "high": short(quantiles[here, SOON - 1, -1], 4), "alarm": (alarm & allowed)[here].tolist(),
    }  # fmt: skip
