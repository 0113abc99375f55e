"""The glucose of one patient as windows that span no hole, and the alarms that would have been right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.windows import Windows, parts_of_time
from recurrax import datasets

STEPS = 12  # steps of 5 minutes: an hour
SOON = 6  # steps within which an alarm must come true
LOW = 70.0  # mg/dl, below which it is hypoglycaemia
DAY = 24 * 60


def series(data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Minutes since the first midnight ``[N]`` and glucose in mg/dl; a reading within 3 minutes of another is left out.

    The sensor's clock repeats a reading about midnight.
    """
    arrays = datasets.read("glucose", data_dir)
    times = np.asarray(arrays["time"]).astype("datetime64[m]")
    minutes = (times - times[0].astype("datetime64[D]")).astype(int)
    order = np.argsort(minutes, kind="stable")
    minutes, glucose = minutes[order], np.asarray(arrays["glucose"], float)[order]
    kept = np.diff(minutes, prepend=minutes[0] - DAY) >= 3
    return minutes[kept], glucose[kept]


def windows(data_dir: Path | None, length: int, validation_stride: int) -> Windows:
    """Readings of the next hour from the past ones; a window spans no hole of more than 6 minutes.

    The first 70% of the readings train, the next 15% choose, the last 15% test; no target of a part is read in
    another one before it. Bases: "now", and "line", the line through the last four readings.

    Args:
        data_dir: where the data lie.
        length: readings of the past.
        validation_stride: origins of the validation split from one that counts to the next.
    """
    minutes, glucose = series(data_dir)
    rows = len(glucose)
    origins = np.arange(length - 1, rows - STEPS)
    pieces = np.cumsum(np.diff(minutes, prepend=minutes[0]) > 6)
    origins = origins[pieces[origins - length + 1] == pieces[origins + STEPS]]
    past, ahead = origins[:, None] + np.arange(1 - length, 1), origins[:, None] + 1 + np.arange(STEPS)
    angle = 2 * np.pi * minutes / DAY
    change = np.diff(glucose, prepend=glucose[0])
    columns = np.column_stack([glucose, change, np.sin(angle), np.cos(angle)])
    inputs = columns[past].astype(np.float32)
    inputs[:, 0, 1] = 0  # the change before the first reading of a window may span a hole
    splits = parts_of_time(ahead[:, -1], ahead[:, 0], (int(0.7 * rows), int(0.85 * rows)), 0)
    splits["validation"] = splits["validation"][::validation_stride]
    now = np.repeat(glucose[origins, None], STEPS, axis=1)
    bases = {"now": now, "line": now + slope(glucose[past[:, -4:]])[:, None] * np.arange(1, STEPS + 1)}
    return Windows("glucose", "mg/dl", inputs, glucose[ahead], bases, splits, origins, minutes[origins] // DAY)


def slope(values: np.ndarray) -> np.ndarray:
    """Least-squares slope a step of each row ``[n, k]``."""
    steps = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    return values @ steps / (steps @ steps)


def due(found: Windows, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The origins of a split at which glucose is not low, and whether it will be low within 30 minutes.

    Returns:
        bool ``[n]``, the origins at which an alarm may be given, and bool ``[n]``, where it is right.
    """
    part = found.splits[split]
    return found.bases["now"][part, 0] >= LOW, found.targets[part, :SOON].min(axis=1) < LOW
