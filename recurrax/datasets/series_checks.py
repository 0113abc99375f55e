"""Checks of a `Series`: missing values, times that do not increase, mismatched sizes."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_tables(tables: list[np.ndarray]) -> None:
    """Raises ValueError unless these are tables ``[N, F]`` with the same F and at least one row each."""
    shapes = [table.shape for table in tables]
    if any(len(shape) != 2 or shape[0] == 0 for shape in shapes) or len({shape[1:] for shape in shapes}) != 1:
        raise ValueError(
            f"the series have shapes {shapes}; allowed: [N, F] or [N] with the same F and a row or more in each. Check "
            "which axis is time: the first."
        )


def check_values(values: np.ndarray, times: np.ndarray | None, names: tuple[str, ...], masked: bool) -> None:
    """Raises ValueError if a value is infinite, or missing without a mask, or the names do not fit the columns."""
    if len(names) != values.shape[1] or len(set(names)) < len(names):
        raise ValueError(f"names={names} for {values.shape[1]} columns; allowed: one for each, all different.")
    bad = np.isinf(values) if masked else ~np.isfinite(values)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    when = "" if times is None else f" (time {times[row]})"
    more = f", the first of {int(bad.sum())} such values" if bad.sum() > 1 else ""
    raise ValueError(
        f"row {row}{when} of column {names[column]!r} is {values[row, column]}{more}; allowed: finite numbers, and NaN "
        'with missing="mask". Fill them, leave the rows out, or mask them.'
    )


def check_counts(**counts: Any) -> None:
    """Raises ValueError unless each of these is an int of at least 1."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r}; allowed: an int >= 1. Try {name}=1.")


def after_holes(times: np.ndarray, starts: np.ndarray, max_step: Any) -> np.ndarray:
    """The rows after a gap in time, bool ``[N]``.

    Raises:
        ValueError: the times do not increase within a series, or their number differs from the number of rows.
    """
    if times.shape != starts.shape:
        raise ValueError(f"times have shape {times.shape}; allowed: one for each row, {starts.shape}.")
    steps = np.diff(times)
    wrong = np.flatnonzero(~(steps > steps.dtype.type(0)) & ~starts[1:])
    if len(wrong):
        row = wrong[0] + 1
        raise ValueError(
            f"row {row} has the time {times[row]}, after {times[row - 1]}; allowed: times that increase. Sort the "
            "rows, and leave out those of the same time."
        )
    if max_step is None:
        return np.zeros_like(starts)
    return np.concatenate([[False], steps > max_step])
