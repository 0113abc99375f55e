"""The settings, the scores of every day by every cell and baseline, and a model that is run hour by hour."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments import lab
from experiments.anomaly.data import AIRPORTS, HOURS, TEST, Days, days, mean, usual, windows
from experiments.baselines.anomalies import distance, isolation
from experiments.windows import Windows, builder, clipped, learn, short
from recurrax.heads import Gaussian, Head, Laplace
from recurrax.training import Plan, adam, fit, predict

HEADS: dict[str, Head] = {"laplace": Laplace(), "gaussian": Gaussian()}
SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Disrupted days by the surprise of a forecast made the evening before; one minute on two CPU cores."""

    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where the data lie, see `recurrax datasets get --help`; the folder of that command by default."""
    cells: tuple[Literal["RNN", "GRU", "LSTM"], ...] = ("GRU",)
    """Cells, one after another."""
    head: Literal["laplace", "gaussian"] = "laplace"
    """Distribution of each hour."""
    length: int = 7
    """Days of the past that are read, 19 hours each."""
    hidden: int = 16
    """Units of every cell (H)."""
    dropout: float = dataclasses.field(default=0.2, metadata={"least": 0.0})
    """Rate of dropout before the outputs."""
    learning_rate: tuple[float, ...] = (2e-3, 8e-3)
    """Adam's learning rates; the validation split chooses."""
    seeds: tuple[int, ...] = (0,)
    """Seeds at each learning rate; at the chosen rate all of them are reported."""
    steps: int = 400
    """Updates of each run at most."""
    batch_size: int = 32
    """Training windows of an update, drawn with replacement."""
    chunk: int = 25
    """Updates between evaluations on the validation split."""
    patience: int = 6
    """Evaluations without a better one after which a run stops; its best model counts."""
    held_out: int = 100
    """Windows evaluated at once."""


PRESETS = {
    "default": Config(),
    "smoke": Config(length=1, hidden=4, learning_rate=(1e-2,), steps=4, batch_size=4, chunk=2),
    "table": Config(cells=("RNN", "GRU", "LSTM"), seeds=(0, 1, 2)),
    "accelerator": Config(
        cells=("RNN", "GRU", "LSTM"), hidden=64, length=28, learning_rate=(5e-4, 2e-3, 8e-3), seeds=(0, 1, 2, 3, 4),
        steps=3000, chunk=50, patience=10,
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """The days and their baselines, every cell, and one model hour by hour."""
    adam(config.learning_rate[0])
    lab.plan(config)
    found = days(config.data_dir)
    cut = windows(found, config.length)
    return {
        "days": functools.partial(baselines, found, cut),
        **{cell: functools.partial(network, config, found, cut, cell) for cell in config.cells},
        "streaming": functools.partial(streaming, config, cut),
    }


def baselines(found: Days, cut: Windows) -> dict[str, Any]:
    """The days of the test, which were disrupted, and the score of each day by every baseline."""
    test = found.dates >= np.datetime64(TEST)
    flat = found.values.reshape(len(found.dates), -1)
    week = np.full(flat.shape, np.nan)
    week[7:] = flat[:-7]
    weekday = (found.dates.astype(int) + 3) % 7
    by_weekday = np.stack([mean(flat[found.train & (weekday == day)]) for day in range(7)])
    scores = {
        "median of four same weekdays": distance(flat[test], usual(found.values).reshape(flat.shape)[test]),
        "last week": distance(flat[test], week[test]),
        "mean weekday of the training part": distance(flat, by_weekday[weekday])[test],
        "isolation forest": isolation(flat, found.train)[test],
        "lateness over four same weekdays": np.nanmean((found.values - usual(found.values))[test, ..., 0], axis=(1, 2)),
        "mean delay of the day": found.late[test],
    }
    return {
        "date": found.dates[test].astype(str).tolist(),
        "disrupted": found.disrupted[test].tolist(),
        "disrupted_in_training": int(found.disrupted[found.train].sum()),
        "sizes": {name: len(part) for name, part in cut.splits.items()},
        "scores": {name: short(values, 5) for name, values in scores.items()},
    }


def network(config: Config, found: Days, cut: Windows, cell: str) -> dict[str, Any]:
    """A cell with every seed: of each day of the test the mean negative log likelihood of what came, in nats."""
    head = HEADS[config.head]
    plan = lab.plan(config, stop_when_solved=False)
    entry, outputs = learn(config, cut, cell, list(cut.bases), plan, head)
    judged = []
    for one in outputs["test"]:
        loss = surprise(cut, entry, head, one)
        above = lateness(cut, entry, head, one)
        parts = {"both": loss, "delay": loss[:, :HOURS], "departures": loss[:, HOURS:], "lateness": above[:, :HOURS]}
        judged.append({name: short(by_day(cut, values), 5) for name, values in parts.items()})
    middle = int(np.argsort([np.mean(one["both"]) for one in judged])[len(judged) // 2])
    return entry | {"test": judged, "hours": worst(found, cut, entry, head, outputs["test"][middle], judged[middle])}


def surprise(cut: Windows, entry: Any, head: Head, outputs: np.ndarray) -> np.ndarray:
    """Negative log likelihood of every target of the test, ``[n, 38]``, NaN where it is missing; in nats."""
    targets, counted = scaled(cut, entry)
    return np.where(counted, np.asarray(head.loss(outputs, targets)) + np.log(entry["scaler"].scale[0]), np.nan)


def lateness(cut: Windows, entry: Any, head: Head, outputs: np.ndarray) -> np.ndarray:
    """The distance of every test target above its median, in interquartile ranges of the forecast; ``[n, 38]``."""
    targets, counted = scaled(cut, entry)
    low, median, high = (np.asarray(head.quantile(outputs, level)) for level in (0.25, 0.5, 0.75))
    return np.where(counted, (targets - median) / (high - low), np.nan)


def scaled(cut: Windows, entry: Any) -> tuple[np.ndarray, np.ndarray]:
    """The targets of the test as the network was taught them, and which are not missing; ``[n, 38]`` each."""
    part, scaler = cut.splits["test"], entry["scaler"]
    assert cut.weights is not None
    residuals = cut.targets[part] - cut.bases[entry["base"]][part]
    return (residuals - scaler.shift[0]) / scaler.scale[0], cut.weights[part] > 0


def by_day(cut: Windows, losses: np.ndarray) -> np.ndarray:
    """Mean of losses ``[n, ...]`` over the airports and hours of each day of the test, ``[days]``."""
    number = np.unique(cut.days[cut.splits["test"]], return_inverse=True)[1]
    there = np.isfinite(losses)
    total = np.bincount(number, np.where(there, losses, 0).sum(axis=1))
    return total / np.maximum(np.bincount(number, there.sum(axis=1)), 1)


def worst(found: Days, cut: Windows, entry: Any, head: Head, outputs: np.ndarray, scores: Any) -> dict[str, Any]:
    """The disrupted day with the highest score, hour by hour, at the airport that surprised most: minutes, departures.

    Quantiles are of the forecast made the evening before.
    """
    part = cut.splits["test"]
    dates = np.unique(cut.days[part])
    score = np.where(found.disrupted[dates], scores["both"], -np.inf)
    day = dates[int(np.argmax(score))]
    here = np.flatnonzero(cut.days[part] == day)
    loss = np.nanmean(surprise(cut, entry, head, outputs)[here], axis=1)
    row = here[int(np.argmax(loss))]
    airport = int(row - here[0])
    scaler = entry["scaler"]
    quantiles = np.stack([np.asarray(head.quantile(outputs[row], level)) for level in SHOWN])
    standard = quantiles * scaler.scale[0] + scaler.shift[0] + cut.bases[entry["base"]][part[row]]
    shift, scale = (values[airport].T for values in (found.shift, found.scale))  # [2, 19]
    units = standard.reshape(len(SHOWN), 2, HOURS) * scale + shift
    truth = np.where(scaled(cut, entry)[1][row], cut.targets[part[row]], np.nan).reshape(2, HOURS) * scale + shift
    return {
        "date": str(found.dates[day]), "airport": AIRPORTS[airport],
        "delay": short(10 * np.sinh(units[:, 0]), 4), "departures": short(units[:, 1], 4),
        "came": {"delay": short(10 * np.sinh(truth[0]), 4), "departures": short(truth[1], 4)},
    }  # fmt: skip


def streaming(config: Config, cut: Windows) -> dict[str, Any]:
    """A model that goes hour by hour through the windows of 30 test days, beside its forecast from whole windows.

    Each step takes one hour of a day and an airport; the state after the last hour of a window gives the forecast of
    the next day. The largest difference between the two, and the time of a step of one sequence.
    """
    head, cell = HEADS[config.head], config.cells[0]
    task = cut.task("same weekdays", head)
    plan = Plan(steps=min(config.steps, 50), batch_size=config.batch_size, chunk=25, seeds=config.seeds[:1])
    history = fit(builder(cell, task, config.hidden, 0.0), task, clipped(config.learning_rate[0]), plan)
    model, inputs = history.best(), task.examples("test").inputs[:90]
    step = jax.jit(lambda model, carry, x: model.step(carry, x))
    carry, outputs = model.initialize_carry((len(inputs),)), None
    for hour in range(inputs.shape[1]):
        carry, outputs = step(model, carry, inputs[:, hour])
    whole = predict(model, task, "test")[:90]
    return {
        "cell": cell,
        "difference": float(np.abs(np.asarray(outputs) - whole).max()),
        **timed(step, model, inputs[0]),
    }


def timed(step: Any, model: Any, xs: jax.Array) -> dict[str, float]:
    """Median time of a step of one sequence, in microseconds, each waited for."""
    carry, seconds = model.initialize_carry(()), []
    for index in range(len(xs) * 3):
        began = time.perf_counter()
        carry, _ = jax.block_until_ready(step(model, carry, xs[index % len(xs)]))
        seconds.append(time.perf_counter() - began)
    return {"microseconds": 1e6 * float(np.median(seconds[len(xs) :])), "steps": 2 * len(xs)}
