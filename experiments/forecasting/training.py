"""The settings, the baselines, and the training of every cell on every series."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments import lab
from experiments.baselines.linear import ridge
from experiments.baselines.seasonal import stl_ar
from experiments.forecasting import data as series
from experiments.windows import Windows, around, conformal, coverage, in_units, learn, scores, short
from recurrax.heads import LEVELS, Quantiles
from recurrax.training import adam

NAMES = ("electricity", "weather", "stocks")
FAN_DAYS = 3


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Forecasts with quantiles; the defaults train one GRU on electricity in two minutes on two CPU cores."""

    data: tuple[Literal[*NAMES], ...] = ("electricity",)  # type: ignore[valid-type]
    """Series: electricity, weather, stocks."""
    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where the data lie, see `recurrax datasets get --help`; the folder of that command by default."""
    cells: tuple[Literal["RNN", "GRU", "LSTM"], ...] = ("GRU",)
    """Cells, one after another."""
    hidden: int = 32
    """Units of every cell (H)."""
    dropout: float = dataclasses.field(default=0.2, metadata={"least": 0.0})
    """Rate of dropout before the outputs."""
    electricity_length: int = 96
    """Half-hours of the past that are read."""
    weather_length: int = 72
    """Hours of the past that are read."""
    stocks_length: int = 20
    """Days of the past that are read."""
    learning_rate: tuple[float, ...] = (2e-3, 8e-3)
    """Adam's learning rates; the validation split chooses."""
    seeds: tuple[int, ...] = (0,)
    """Seeds at each learning rate; at the chosen rate all of them are reported."""
    steps: int = 400
    """Updates of each run at most."""
    batch_size: int = 64
    """Training windows of an update, drawn with replacement."""
    chunk: int = 25
    """Updates between evaluations on the validation split."""
    patience: int = 6
    """Evaluations without a better one after which a run stops; its best model counts."""
    held_out: int = 600
    """Windows evaluated at once; an evaluation is of the whole validation split, the test of the whole test split."""
    stl_every: int = 24
    """STL + AR is fitted at one origin of the test in so many, because each fit takes a while."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        data=NAMES, cells=("GRU",), hidden=4, electricity_length=4, weather_length=4, stocks_length=4,
        learning_rate=(1e-2,), steps=4, batch_size=4, chunk=2, stl_every=400,
    ),
    # Half an hour at most on two CPU cores.
    "table": Config(data=NAMES, cells=("RNN", "GRU", "LSTM"), seeds=(0, 1, 2)),
    "accelerator": Config(
        data=NAMES, cells=("RNN", "GRU", "LSTM"), hidden=128, electricity_length=336, weather_length=168,
        learning_rate=(5e-4, 2e-3, 8e-3), seeds=(0, 1, 2, 3, 4), steps=2000, chunk=50, patience=10,
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """The baselines of each series, then every cell."""
    adam(config.learning_rate[0])
    lab.plan(config)
    found: dict[str, Any] = {}
    for name in config.data:
        windows = load(config, name)
        found[f"{name} baselines"] = functools.partial(baselines, config, windows)
        for cell in config.cells:
            found[f"{name} {cell}"] = functools.partial(network, config, windows, cell)
    return found


def load(config: Config, name: str) -> Windows:
    """The windows of a series."""
    return getattr(series, name)(config.data_dir, getattr(config, f"{name}_length"))


def candidates(windows: Windows) -> list[str]:
    """The bases that the validation split chooses from: what a network or a ridge regression is added to."""
    return [name for name in windows.bases if name != "nothing"] or ["nothing"]


def network(config: Config, windows: Windows, cell: str) -> dict[str, Any]:
    """A cell with every seed: its scores on the test split, and the fans of the seed of median error."""
    head = Quantiles(LEVELS)
    plan = lab.plan(config, stop_when_solved=False)
    entry, outputs = learn(config, windows, cell, candidates(windows), plan, head)
    test = windows.splits["test"]
    found = in_units(outputs["test"], entry, head, windows.bases[entry["base"]][test])
    judged = [scores(windows.targets[test], one, LEVELS, windows.days[test]) for one in found]
    validation = windows.splits["validation"]
    before = in_units(outputs["validation"], entry, head, windows.bases[entry["base"]][validation])
    for one, seen, quantiles in zip(judged, before, found, strict=True):
        shifted = quantiles + conformal(seen, windows.targets[validation], LEVELS)
        one["calibrated"] = coverage(windows.targets[test], shifted)
    middle = int(np.argsort([one["mae"] for one in judged])[len(judged) // 2])
    return entry | {"series": windows.name, "test": judged, "fans": fans(windows, found[middle])}


def fans(windows: Windows, quantiles: np.ndarray) -> dict[str, Any]:
    """Forecasts made at midnight on the first days of the test: quantiles ``[days, H, K]``, and what came."""
    test, horizon = windows.splits["test"], windows.targets.shape[1]
    if horizon == 1:
        return {}
    origins = windows.origins[test]
    chosen = np.flatnonzero((origins - origins[0]) % horizon == (-1 - origins[0]) % horizon)[:FAN_DAYS]
    truth = windows.targets[test][chosen]
    return {"quantiles": short(quantiles[chosen], 4), "truth": short(truth, 4), "first": origins[chosen].tolist()}


def baselines(config: Config, windows: Windows) -> dict[str, Any]:
    """Every baseline of a series on the test split, with quantiles from its validation errors."""
    test, validation = windows.splits["test"], windows.splits["validation"]
    entry: dict[str, Any] = {
        "series": windows.name, "unit": windows.unit, "horizon": windows.targets.shape[1],
        "sizes": {name: len(part) for name, part in windows.splits.items()}, "rows": {}, "sparse": {},
    }  # fmt: skip
    for name, (point, note) in points(windows).items():
        quantiles = around(point, windows, LEVELS)
        entry["rows"][name] = scores(windows.targets[test], quantiles[test], LEVELS, windows.days[test]) | {
            "note": note,
            "validation_mae": float(np.abs(point - windows.targets)[validation].mean()),
            "fans": fans(windows, quantiles[test]) if name in ("weekly naive", "persistence") else {},
        }
    if windows.name in SEASONS:
        entry["sparse"] = seasonal(config, windows)
    if windows.targets.shape[1] == 1:
        entry["squared_targets"] = by_day_of_zero(windows)
    return entry


SEASONS = {"electricity": (336, 5 * 336, 48), "weather": (24, 30 * 24, 24)}  # rows of a season, of history, lags
NAMED = {
    "last week": "weekly naive", "last week + phi": "weekly naive + phi (now - a week ago)", "now": "persistence",
    "yesterday": "daily naive", "nothing": "zero",
}  # fmt: skip


def points(windows: Windows) -> dict[str, tuple[np.ndarray, str]]:
    """Point forecasts ``[n, H]`` for every origin, with a remark on each."""
    shape = windows.targets.shape
    found = {NAMED[name]: (base, "") for name, base in windows.bases.items() if name != "nothing" or shape[1] == 1}
    if windows.name == "electricity":
        found = {
            "persistence": (np.repeat(windows.inputs[:, -1, 1:2], shape[1], axis=1), ""),
            "daily naive": (windows.inputs[:, -shape[1] :, 1], ""),
        } | found
        if windows.inputs.shape[1] < shape[1]:  # a window shorter than a day knows no yesterday
            del found["daily naive"]
    if windows.name == "stocks":
        mean = windows.targets[windows.splits["train"]].mean()
        found["mean of training"] = (np.full(shape, mean), "")
        found["persistence"] = (windows.inputs[:, -1, :1], "")
    flat = windows.inputs.reshape(len(windows.inputs), -1)
    tried = []
    for base in candidates(windows):
        residual, alpha = ridge(flat, windows.targets - windows.bases[base], windows.splits)
        point = residual + windows.bases[base]
        error = np.abs(point - windows.targets)[windows.splits["validation"]].mean()
        tried.append((error, f"added to {NAMED[base]}, penalty {alpha:g}", point))
    _, note, point = min(tried, key=lambda one: one[0])
    return found | {"ridge": (point, note)}


def seasonal(config: Config, windows: Windows) -> dict[str, Any]:
    """STL + AR at some origins of the test, beside the first base at the same ones."""
    values = whole(config, windows.name)
    chosen = windows.splits["test"][:: config.stl_every]
    period, history, lags = SEASONS[windows.name]
    errors = stl_ar(values, windows.origins[chosen], windows.targets.shape[1], period, history, lags)
    errors = np.abs(errors - windows.targets[chosen])
    reference = np.abs(windows.bases[candidates(windows)[0]][chosen] - windows.targets[chosen])
    return {
        "origins": len(chosen), "mae": float(errors.mean()), "reference": NAMED[candidates(windows)[0]],
        "reference_mae": float(reference.mean()), "horizon": short(errors.mean(axis=0)),
    }  # fmt: skip


def whole(config: Config, name: str) -> np.ndarray:
    """The whole series of the targets, with no hole: a missing value is the last one before it."""
    if name == "weather":
        return series.forward(series.grid(config.data_dir)[1])[:, 0]
    from recurrax import datasets

    return np.asarray(datasets.read(name, config.data_dir)["demand"], float)


def by_day_of_zero(windows: Windows) -> list[float]:
    """The mean square of the targets of each day of the test, what a forecast of 0 loses."""
    test = windows.splits["test"]
    number = np.unique(windows.days[test], return_inverse=True)[1]
    return short(np.bincount(number, (windows.targets[test] ** 2).mean(axis=1)) / np.bincount(number), 4)
