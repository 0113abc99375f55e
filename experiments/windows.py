"""Windows of a series and what follows them: the task of a recurrent model, its forecasts, and how they are judged."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from experiments import lab
from experiments.models import CELLS
from recurrax.datasets import Arrays, scale
from recurrax.heads import Head, Quantiles, pinball
from recurrax.layers import RNN, SequenceModel
from recurrax.tasks import Forecast
from recurrax.training import History, Plan, adam, predict


@dataclasses.dataclass(frozen=True)
class Windows:
    """The known values at each of n origins of a forecast, and the following values.

    Args:
        name: of the data set.
        unit: of the targets.
        inputs: ``[n, T, D]`` float32, as measured.
        targets: ``[n, H]``, the H values that follow.
        bases: what a forecast may be added to, by name, ``[n, H]`` each, from what is known at the origin.
        splits: the origins of "train", "validation" and "test", numbers in order of time.
        origins: the last row of the series that an origin knows, ``[n]``.
        days: the day of each origin, ``[n]`` int.
        weights: 0 where a target is missing, ``[n, H]``; None where none is.
    """

    name: str
    unit: str
    inputs: np.ndarray
    targets: np.ndarray
    bases: Mapping[str, np.ndarray]
    splits: Mapping[str, np.ndarray]
    origins: np.ndarray
    days: np.ndarray
    weights: np.ndarray | None = None

    def task(self, base: str, head: Head) -> Forecast:
        """Forecasts of the targets less a base; inputs and targets are scaled by what the training split says."""
        residuals = (self.targets - self.bases[base]).astype(np.float32)
        arrays = Arrays(self.inputs, residuals[..., None], weights=self.weights)
        parts = [self.splits[split] for split in ("train", "validation", "test")]
        return Forecast(scale(arrays.split_at(*parts, name=self.name), "standard", "standard"), head)


def parts_of_time(last: np.ndarray, first: np.ndarray, cuts: Sequence[Any], gap: Any) -> dict[str, np.ndarray]:
    """The origins whose targets all lie in one part of time.

    Args:
        last: the time of the last target of each origin, ``[n]``.
        first: the time of its first target.
        cuts: times at which validation and test begin.
        gap: what is left out after each cut.

    Returns:
        Numbers of "train", "validation" and "test".
    """
    validation, test = cuts
    return {
        "train": np.flatnonzero(last < validation),
        "validation": np.flatnonzero((first >= validation + gap) & (last < test)),
        "test": np.flatnonzero(first >= test + gap),
    }


def learn(
    config: Any, windows: Windows, cell: str, bases: Sequence[str], plan: Plan, head: Head
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Every seed of a cell, with the base and the learning rate that the validation split chooses.

    Args:
        config: the settings, with ``hidden`` and ``dropout``.
        windows: the data.
        cell: a name of `experiments.models.CELLS`.
        bases: names of the bases to choose from.
        plan: with a sweep of learning rates.
        head: of the forecasts.

    Returns:
        What a record keeps, and the outputs of every chosen run in order of seeds, ``{split: [S, n, O]}``, for
        validation and test.
    """
    tried: list[tuple[float, str, float, History, Forecast]] = []
    for base in bases:
        task = windows.task(base, head)
        build = builder(cell, task, config.hidden, config.dropout)
        history = lab.train(config, f"{windows.name} {cell} {base}", build, task, clipped, plan)
        rates = np.asarray(history.settings["learning_rate"])
        for rate in np.unique(rates):
            tried.append((float(validated(history)[rates == rate].mean()), base, float(rate), history, task))
    _, base, rate, history, task = min(tried, key=lambda entry: entry[0])
    runs = np.flatnonzero(np.asarray(history.settings["learning_rate"]) == rate)
    entry = {
        "cell": cell, "base": base, "learning_rate": rate, "seeds": history.seeds[runs],
        "best_at": history.best_at[runs],
        "tried": [{"base": name, "learning_rate": value, "validation_mae": mae} for mae, name, value, *_ in tried],
        "parameters": count(builder(cell, task, config.hidden, config.dropout)),
        "steps": history.steps, "loss": history.loss[runs], "chance_level": task.chance_level(),
        "seconds": sum({id(h): h.seconds + h.compile_seconds for *_, h, _ in tried}.values()),
    }  # fmt: skip
    outputs = {
        split: np.stack([predict(history.best(int(run)), task, split, 512) for run in runs])
        for split in ("validation", "test")
    }
    return entry | {"scaler": task.data.scalers.targets}, outputs


clipped = functools.partial(adam, clip_norm=1.0)


def builder(cell: str, task: Forecast, hidden: int, dropout: float) -> Any:
    """``build(key) -> model``, one layer of a cell that is read at its last step."""

    def build(key: jax.Array) -> SequenceModel:
        rngs = nnx.Rngs(key)
        layer = RNN(CELLS[cell](task.in_features, hidden, rngs=rngs))
        return SequenceModel(layer, task.out_features, read="last", dropout=dropout, rngs=rngs)

    return build


def count(build: Any) -> int:
    """The number of parameters of a model, without computing them."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(build, jax.random.key(0))))


def validated(history: History) -> np.ndarray:
    """Validation MAE of every run where its monitored metric was best, in the unit of the targets, ``[S]``."""
    loss = np.where(np.isfinite(history.loss), history.loss, np.inf)
    found = np.asarray(history.metric("mae"))[np.arange(len(loss)), loss.argmin(axis=1)]
    return np.where(np.isfinite(loss.min(axis=1)), found, np.inf)


def in_units(outputs: np.ndarray, entry: Any, head: Quantiles, base: np.ndarray) -> np.ndarray:
    """Quantiles in the unit of the targets, ``[S, n, H, K]``. outputs: ``[S, n, O]``; base: ``[n, H]``."""
    scaler = entry["scaler"]
    return np.asarray(head.all(outputs)) * scaler.scale[0] + scaler.shift[0] + base[..., None]


def around(point: np.ndarray, windows: Windows, levels: Sequence[float]) -> np.ndarray:
    """Quantiles around a point forecast by its validation errors at each step ahead: ``[n, H]`` to ``[n, H, K]``.

    The median is the point forecast itself; the other quantiles stay on their side of it.
    """
    validation = windows.splits["validation"]
    errors = np.quantile(windows.targets[validation] - point[validation], levels, axis=0).T  # [H, K]
    below, above = np.asarray(levels) <= 0.5, np.asarray(levels) >= 0.5
    errors = np.where(below, np.minimum(errors, 0), errors)
    errors = np.where(above, np.maximum(errors, 0), errors)
    errors[:, below & above] = 0
    return point[..., None] + errors


def scores(truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float], days: np.ndarray) -> dict[str, Any]:
    """The quality of quantiles ``[n, H, K]`` of targets ``[n, H]``; errors are those of the median.

    Returns:
        ``mae``, ``rmse``, ``pinball``, ``coverage`` of the outer levels, ``horizon`` (MAE of each step ahead), and of
        each day with an origin the number of them and the mean absolute error, or of one target the mean squared one.
    """
    errors = quantiles[..., list(levels).index(0.5)] - truth
    loss = np.asarray(pinball(quantiles, truth[..., None], np.asarray(levels)))
    number = np.unique(days, return_inverse=True)[1]
    counts = np.bincount(number)
    measured = {"squared": errors**2} if errors.shape[1] == 1 else {"absolute": np.abs(errors)}
    by_day = {name: np.bincount(number, values.mean(axis=1)) / counts for name, values in measured.items()}
    return {
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "pinball": float(loss.mean()),
        "coverage": coverage(truth, quantiles),
        "horizon": short(np.abs(errors).mean(axis=0)),
        "by_day": {"count": counts.tolist(), **{name: short(values, 4) for name, values in by_day.items()}},
    }


def coverage(truth: np.ndarray, quantiles: np.ndarray) -> float:
    """Share of the targets ``[n, H]`` between the outer ones of the quantiles ``[n, H, K]``."""
    return float(((quantiles[..., 0] <= truth) & (truth <= quantiles[..., -1])).mean())


def short(values: np.ndarray, digits: int = 5) -> list[Any]:
    """Numbers with so many significant digits, which is what a record needs."""
    shape = np.shape(values)
    flat = [float(f"{value:.{digits}g}") for value in np.asarray(values, float).ravel()]
    return np.reshape(flat, shape).tolist()


def conformal(quantiles: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """The shift of each quantile that makes it right on the validation split, ``[H, K]``.

    The shift of the p-quantile is the p-quantile of ``truth - quantile`` at each step ahead. Added to forecasts of
    later times, it is right as long as the errors stay what they were.

    Args:
        quantiles: of the validation split, ``[n, H, K]``.
        truth: ``[n, H]``.
        levels: p, ``[K]``.

    Source: split conformal prediction, Romano, Patterson & Candès (2019), here for each quantile by itself.
    """
    errors = truth[..., None] - quantiles
    return np.stack([np.quantile(errors[..., k], level, axis=0) for k, level in enumerate(levels)], axis=-1)
