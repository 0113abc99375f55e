"""Departures of three airports by hour, as windows that end in the evening; and the days that were disrupted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from experiments.windows import Windows
from recurrax import datasets

AIRPORTS = ("EWR", "JFK", "LGA")
FIRST, HOURS = 5, 19  # departures are scheduled from 5 to 23 o'clock
CHANNELS = ("delay", "departures")
MANY = 0.05  # share of the day's flights that are cancelled on a disrupted day
WEEKS = 4  # weeks over whose same weekday the usual day is a median
VALIDATION, TEST = "2013-06-01", "2013-07-01"


@dataclasses.dataclass(frozen=True)
class Days:
    """Every day of the record.

    Args:
        dates: ``[N]``.
        values: delay, as arcsinh(minutes / 10), and departures, standardised for each airport and hour by the training
            days: ``[N, airports, hours, 2]``; the delay is NaN where no aircraft left.
        shift, scale: of the standardisation, ``[airports, hours, 2]``.
        disrupted: whether more than 5% of the day's flights were cancelled, bool ``[N]``. No input.
        late: the mean delay of the day in minutes, ``[N]``.
        train: the days before the validation part, bool ``[N]``.
    """

    dates: np.ndarray
    values: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    disrupted: np.ndarray
    late: np.ndarray
    train: np.ndarray


def days(data_dir: Path | None) -> Days:
    """Reads the flights; a cancelled flight counts as one that did not depart."""
    arrays = datasets.read("flights", data_dir)
    times, delay, flown = arrays["time"], np.asarray(arrays["dep_delay"], float), ~arrays["cancelled"]
    date = times.astype("datetime64[D]")
    dates = np.arange(date.min(), date.max() + 1)
    day, hour = (date - dates[0]).astype(int), (times - date).astype(int) - FIRST
    airport = np.searchsorted(AIRPORTS, arrays["origin"])
    shape = (len(dates), len(AIRPORTS), HOURS)
    left = flown & np.isfinite(delay) & (hour >= 0)
    place = np.ravel_multi_index((day[left], airport[left], hour[left]), shape)
    size = int(np.prod(shape))
    count = np.bincount(place, minlength=size).reshape(shape).astype(float)
    total = np.bincount(place, delay[left], minlength=size).reshape(shape)
    minutes = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    values = np.stack([np.arcsinh(minutes / 10), count], axis=-1)
    train = dates < np.datetime64(VALIDATION)
    shift = mean(values[train])
    scale = np.sqrt(mean((values[train] - shift) ** 2))
    scale = np.where(scale > 0, scale, 1)
    planned = np.bincount(day, minlength=len(dates))
    cancelled = np.bincount(day, arrays["cancelled"], minlength=len(dates)) / np.maximum(planned, 1)
    late = total.sum(axis=(1, 2)) / np.maximum(count.sum(axis=(1, 2)), 1)
    return Days(dates, (values - shift) / scale, shift, scale, cancelled > MANY, late, train)


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of the values that are not missing; 0 where all are."""
    return np.nansum(values, axis=0) / np.maximum(np.isfinite(values).sum(axis=0), 1)


def usual(values: np.ndarray) -> np.ndarray:
    """The median of the four same weekdays before each day, ``[N, ...]``; NaN in the first four weeks."""
    found = np.full(values.shape, np.nan)
    before = [values[7 * (WEEKS - week) : len(values) - 7 * week] for week in range(1, WEEKS + 1)]
    stacked = np.nan_to_num(np.stack(before))
    found[7 * WEEKS :] = np.median(stacked, axis=0)
    return found


def windows(found: Days, length: int) -> Windows:
    """Every hour of the next day of an airport, from the hours of the past days; all airports train one model.

    The forecast is made in the evening: an origin is the last hour of a day. Inputs are delay and departures,
    standardised, hour by hour, with the hour, the weekday of the day after, and the airport. Targets are the 19 hours'
    delay and then the 19 hours' departures. Bases: "nothing", and "same weekdays", see `usual`.

    Args:
        found: the days.
        length: days of the past.
    """
    total, many = len(found.dates), len(AIRPORTS)
    weekday = (found.dates.astype(int) + 3) % 7  # Monday is 0
    angle = 2 * np.pi * np.arange(HOURS) / HOURS
    hours = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    features = np.zeros((total, many, HOURS, 2 + 2 + 7 + many))
    features[..., :2] = np.nan_to_num(found.values)
    features[..., 2:4] = hours
    features[np.arange(total), :, :, 4 + (weekday + 1) % 7] = 1
    features[:, np.arange(many), :, 11 + np.arange(many)] = 1
    first = max(7 * WEEKS, length)
    day = np.repeat(np.arange(first, total), many)
    airport = np.tile(np.arange(many), total - first)
    past = day[:, None] + np.arange(-length, 0)
    inputs = features[past, airport[:, None]].reshape(len(day), length * HOURS, -1).astype(np.float32)
    targets = found.values[day, airport].transpose(0, 2, 1).reshape(len(day), -1)
    base = usual(found.values)[day, airport].transpose(0, 2, 1).reshape(len(day), -1)
    splits = {
        "train": np.flatnonzero(found.train[day]),
        "validation": np.flatnonzero(~found.train[day] & (found.dates[day] < np.datetime64(TEST))),
        "test": np.flatnonzero(found.dates[day] >= np.datetime64(TEST)),
    }
    bases = {"nothing": np.zeros_like(base), "same weekdays": base}
    weights = np.isfinite(targets).astype(np.float32)
    return Windows("flights", "", inputs, np.nan_to_num(targets), bases, splits, day - 1, day, weights)
