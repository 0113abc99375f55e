"""The three series as windows: electricity demand, the weather at an airport, and shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.baselines.linear import slopes
from experiments.windows import Windows, parts_of_time
from recurrax import datasets

HALF_HOURS, WEEK = 48, 336  # rows of a day and of a week
SHARES = ("AAPL", "GOOG", "IBM", "MSFT")


def waves(position: np.ndarray, period: float) -> np.ndarray:
    """Sine and cosine of a place in a period, ``[..., 2]``."""
    angle = 2 * np.pi * position / period
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def electricity(data_dir: Path | None, length: int) -> Windows:
    """Demand of the next 48 half-hours, from the past ones, those of a week before each, and the calendar.

    Bases: "nothing"; "last week", the same half-hour a week before; "last week + phi", which adds phi_h times how far
    the demand is now from a week ago, with phi fitted on the training split.
    """
    demand = np.asarray(datasets.read("electricity", data_dir)["demand"], float)
    rows, horizon = len(demand), HALF_HOURS
    since = np.r_[np.full(WEEK, np.nan), demand[WEEK:] - demand[:-WEEK]]
    steps = np.arange(rows)
    columns = np.column_stack([since, demand, waves(steps, HALF_HOURS), waves(steps, WEEK)])
    origins = np.arange(WEEK + length - 1, rows - horizon)
    ahead = origins[:, None] + 1 + np.arange(horizon)
    splits = parts_of_time(ahead[:, -1], ahead[:, 0], (int(0.7 * rows), int(0.85 * rows)), 0)
    week = demand[ahead - WEEK]
    phi = slopes(since[origins], demand[ahead] - week, splits["train"])
    bases = {"nothing": np.zeros_like(week), "last week": week, "last week + phi": week + phi * since[origins, None]}
    inputs = columns[origins[:, None] + np.arange(1 - length, 1)].astype(np.float32)
    days = origins // HALF_HOURS
    return Windows("electricity", "MW", inputs, demand[ahead], bases, splits, origins, days)


def weather(data_dir: Path | None, length: int, gap: int = 168) -> Windows:
    """Temperature at JFK airport in the next 24 hours, in degrees C, from all that is measured, and the calendar.

    Training is to the end of August, validation to the end of October; the first week of validation and of test is
    left out. Missing inputs keep their last value; an origin with a missing target is left out. Of the season only the
    cosine is given, as November has been seen in no year, and by it is like January.

    Bases: "nothing"; "now", the temperature at the origin; "yesterday", that of the same hour a day before.
    """
    times, columns = grid(data_dir)
    temperature = columns[:, 0]
    filled = forward(columns)
    hours = (times - times[0].astype("datetime64[D]")).astype(int)
    season = np.cos(2 * np.pi * (hours + 240) / 8766)[:, None]  # highest at the shortest day
    features = np.column_stack([filled, waves(hours, 24), season])
    horizon = 24
    origins = np.arange(max(length, horizon) - 1, len(times) - horizon)  # "yesterday" needs a day before the origin
    ahead = origins[:, None] + 1 + np.arange(horizon)
    there = np.isfinite(temperature[ahead]).all(axis=1) & np.isfinite(filled[origins - length + 1]).all(axis=1)
    origins, ahead = origins[there], ahead[there]
    cuts = [np.datetime64(day, "h") for day in ("2013-09-01", "2013-11-01")]
    splits = parts_of_time(times[ahead[:, -1]], times[ahead[:, 0]], cuts, np.timedelta64(gap, "h"))
    now = np.repeat(filled[origins, :1], horizon, axis=1)
    bases = {"nothing": np.zeros_like(now), "now": now, "yesterday": filled[ahead - horizon, 0]}
    inputs = features[origins[:, None] + np.arange(1 - length, 1)].astype(np.float32)
    return Windows("weather", "°C", inputs, temperature[ahead], bases, splits, origins, hours[origins] // 24)


def grid(data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Every hour of the record of JFK, and what was measured, ``[N, 8]``, NaN where nothing was.

    Columns: temperature and dew point in degrees C, humidity, wind from the west and from the south, precipitation,
    pressure and visibility.
    """
    arrays = datasets.read("weather", data_dir)
    here = np.flatnonzero(arrays["origin"] == "JFK")
    here = here[np.unique(arrays["time"][here], return_index=True)[1]]
    taken = {name: np.asarray(arrays[name][here], float) for name in arrays if name not in ("origin", "time")}
    direction, speed = np.deg2rad(np.nan_to_num(taken["wind_dir"])), taken["wind_speed"]
    measured = np.column_stack(
        [
            *((taken[name] - 32) / 1.8 for name in ("temp", "dewp")), taken["humid"],
            speed * np.sin(direction), speed * np.cos(direction),
            *(taken[name] for name in ("precip", "pressure", "visib")),
        ]
    )  # fmt: skip
    found = arrays["time"][here]
    times = np.arange(found[0], found[-1] + 1)
    columns = np.full((len(times), measured.shape[1]), np.nan)
    columns[(found - found[0]).astype(int)] = measured
    return times, columns


def forward(columns: np.ndarray) -> np.ndarray:
    """Columns ``[N, F]`` in which a missing value is the last one before it."""
    rows = np.where(np.isfinite(columns), np.arange(len(columns))[:, None], 0)
    return np.take_along_axis(columns, np.maximum.accumulate(rows, axis=0), axis=0)


def stocks(data_dir: Path | None, length: int) -> Windows:
    """The return of the next day, in percent, of four shares, from their past days; all shares train one model.

    What other series have for days are weeks of five days of trading here.

    A return is the log of the ratio of two adjusted closing prices. Inputs are the share's return, the mean return of
    all shares, the range of the day and the change of the volume, both in logs. Base: "nothing".
    """
    arrays = datasets.read("stocks", data_dir)
    dates = np.unique(arrays["date"])
    tables = {name: np.full((len(dates), len(SHARES)), np.nan) for name in ("adjusted", "high", "low", "volume")}
    for column, share in enumerate(SHARES):
        here = arrays["symbol"] == share
        rows = np.searchsorted(dates, arrays["date"][here])
        for name, table in tables.items():
            table[rows, column] = arrays[name][here]
    returns, volume = (
        100 * np.diff(np.log(np.maximum(tables[name], 1e-6)), axis=0, prepend=np.nan) for name in ("adjusted", "volume")
    )
    together = np.nanmean(np.where(np.isnan(returns), 0, returns), axis=1)
    spread = 100 * np.log(tables["high"] / tables["low"])
    found = []
    for column in range(len(SHARES)):
        features = np.column_stack([returns[:, column], together, spread[:, column], volume[:, column]])
        origins = np.arange(length, len(dates) - 1)
        inputs = features[origins[:, None] + np.arange(1 - length, 1)]
        targets = returns[origins + 1, column]
        there = np.isfinite(inputs).all(axis=(1, 2)) & np.isfinite(targets)
        found.append((origins[there], inputs[there], targets[there]))
    origins, inputs, targets = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(origins, kind="stable")
    origins, inputs, targets = origins[order], inputs[order].astype(np.float32), targets[order][:, None]
    cuts = (int(0.7 * len(dates)), int(0.85 * len(dates)))
    splits = parts_of_time(origins + 1, origins + 1, cuts, 0)
    return Windows("stocks", "%", inputs, targets, {"nothing": np.zeros_like(targets)}, splits, origins, origins // 5)
