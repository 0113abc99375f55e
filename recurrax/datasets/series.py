"""Time series, cut in order of time into parts, and windows that lie within one part.

series = Series(values, names=("demand", "temperature"))            # [N, F], one row a step
parts = series.split((0.7, 0.15, 0.15), gap=48).scaled("standard")  # the scaler is fitted on the first 70%
data = parts.windows(length=336, horizon=48, targets="demand")      # a `Dataset` of `Arrays`
in_megawatts = data.scalers.targets.inverse(predictions)

rows       0 ........................ a   gap   ........ b   gap   ........ N
           |<------- train -------->|     |validation|     |<--- test --->|
a window   [  length  | horizon ]               lies in one part, whole, and in one series
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from recurrax.datasets import splitting
from recurrax.datasets.arrays import Arrays
from recurrax.datasets.dataset import Steps, content_hash
from recurrax.datasets.scaler import Scaler
from recurrax.datasets.series_checks import after_holes, check_counts, check_tables, check_values

if TYPE_CHECKING:
    from recurrax.datasets.series_splits import SeriesSplits

Columns = str | int | Sequence[str | int] | None
MISSING = ("refuse", "mask")


@final
@dataclasses.dataclass(frozen=True)
class Series:
    """One or several long series of F columns; two objects are equal if their numbers and names are.

    Args:
        values: ``[N, F]`` or ``[N]``, oldest first; a list of arrays means several series. Stored as float64.
        times: times of the rows, numbers or datetime64 ``[N]``, or a list of arrays; increasing in each series.
        names: names of the columns; by default those of a pandas DataFrame, or "0", "1", ...
        missing: treatment of NaN: "refuse", or "mask". "mask" adds to every input column a second column that is 1 if
            the value is present, sets missing inputs to 0 (the mean after scaling), and ignores missing targets.
        max_step: a larger gap in ``times`` begins a new piece, so that no window spans the gap.

    Attributes:
        starts: ``[N]`` bool, the first row of each series or piece.
        numbers: ``[N]`` int32, the index of the series of each row.

    Raises:
        ValueError: a value is missing or infinite, the times do not increase, or sizes do not match.

    Source: inputs set to 0 beside a mask: Lipton, Kale & Wetzel (2016), "Directly modeling missing data in sequences
    with RNNs".
    """

    values: Any = dataclasses.field(compare=False)
    times: Any = dataclasses.field(default=None, compare=False)
    names: Sequence[str] = ()
    missing: str = "refuse"
    max_step: Any = dataclasses.field(default=None, compare=False)
    starts: np.ndarray = dataclasses.field(init=False, compare=False)
    numbers: np.ndarray = dataclasses.field(init=False, compare=False)
    sha256: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        if self.missing not in MISSING:
            raise ValueError(f"missing={self.missing!r}; allowed: {', '.join(map(repr, MISSING))}. Try 'mask'.")
        several = isinstance(self.values, list) and all(np.ndim(v) and hasattr(v, "shape") for v in self.values)
        parts = self.values if several and self.values else [self.values]
        names = self.names or [str(name) for name in getattr(parts[0], "columns", ())]
        tables = [np.asarray(part, np.float64) for part in parts]
        tables = [table[:, None] if table.ndim == 1 else table for table in tables]
        check_tables(tables)
        values = np.concatenate(tables)
        lengths = [len(table) for table in tables]
        numbers = np.repeat(np.arange(len(tables), dtype=np.int32), lengths)
        starts = np.diff(numbers, prepend=-1) > 0
        times = (
            None if self.times is None else np.concatenate([*map(np.asarray, self.times if several else [self.times])])
        )
        if times is not None:
            starts = starts | after_holes(times, starts, self.max_step)
        elif self.max_step is not None:
            raise ValueError(f"max_step={self.max_step!r} without times; allowed: with times. Give times=[N].")
        names = tuple(names) or tuple(map(str, range(values.shape[1])))
        self._set(values=values, times=times, names=names)
        self._set(starts=starts, numbers=numbers)
        check_values(values, times, names, self.missing == "mask")
        self._hash()

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Series({len(self)} rows in {int(self.starts.sum())} pieces, columns {', '.join(self.names)})"

    def split(self, fractions: Sequence[float] = (0.7, 0.15, 0.15), gap: int = 0, name: str = "series") -> SeriesSplits:
        """Cuts each series in order of time at the same fractions of its rows.

        Correlated series, such as the weather of two towns, should be cut at common times with `split_at`.

        Args:
            fractions: fractions of train, validation and test, with sum 1, of the rows outside the gaps.
            gap: rows left out between two parts, so that short-range dependencies do not leak.
            name: name of the data set.

        Raises:
            ValueError: a part would be empty.
        """
        if len(fractions) != 3 or gap < 0:
            raise ValueError(
                f"fractions={tuple(fractions)}, gap={gap}; allowed: three numbers, a gap of 0 or more rows."
            )
        parts: list[list[np.ndarray]] = [[], [], []]
        for number in np.unique(self.numbers):
            rows = np.flatnonzero(self.numbers == number)
            sizes = splitting.shares(len(rows) - 2 * gap, fractions, f"rows of series {number} outside the gaps")
            ends = np.cumsum(sizes) + gap * np.arange(3)
            for part, size, end in zip(parts, sizes, ends, strict=True):
                part.append(rows[end - size : end])
        source = f"{len(self)} rows in order of time, fractions {tuple(fractions)}, gap {gap}"
        return self._splits(name, source, [np.concatenate(part) for part in parts])

    def split_at(self, validation: Any, test: Any, gap: Any = None, name: str = "series") -> SeriesSplits:
        """Cuts all series at the same times.

        Args:
            validation, test: times at which these parts begin.
            gap: a difference of times; rows within this distance before a part are left out.
            name: name of the data set.

        Raises:
            ValueError: there are no times, or a part would be empty.
        """
        if self.times is None:
            raise ValueError("split_at needs times, and the series has none; allowed: Series(values, times). Or split.")
        cuts = np.asarray([validation, test]).astype(self.times.dtype)
        ends = cuts if gap is None else cuts - gap
        rows = [
            self.times < ends[0],
            (self.times >= cuts[0]) & (self.times < ends[1]),
            self.times >= cuts[1],
        ]
        source = f"{len(self)} rows cut at the times {cuts[0]} and {cuts[1]}, gap {gap or 0}"
        return self._splits(name, source, [np.flatnonzero(part) for part in rows])

    def windows(
        self, length: int, horizon: int = 1, stride: int = 1, inputs: Columns = None, targets: Columns = None
    ) -> Arrays:
        """Windows as examples: inputs ``[n, length, F]``, and targets ``[n, horizon, F']`` of the following rows.

        A window lies within one series and has no gap. With ``missing="mask"`` the inputs have 2 F columns, target
        steps have weights, and windows without a target are left out. The groups are the series, so that `Arrays.split`
        cannot put overlapping windows into two splits. To cut a series in time, `split` it first.

        Args:
            length: rows of the past.
            horizon: rows of the future.
            stride: rows from one window to the next.
            inputs, targets: columns, by name or number; None takes all.

        Raises:
            ValueError: no window fits, a column is unknown, or a number is below 1.
        """
        check_counts(length=length, horizon=horizon, stride=stride)
        size = length + horizon
        ends = [*np.flatnonzero(self.starts)[1:], len(self)]
        pieces = list(zip(np.flatnonzero(self.starts), ends, strict=True))
        first = np.concatenate([np.arange(start, end - size + 1, stride) for start, end in pieces])
        past = self.values[:, self.columns(inputs)][first[:, None] + np.arange(length)]
        future = self.values[:, self.columns(targets)][first[:, None] + np.arange(length, size)]
        there = ~np.isnan(future).any(axis=-1)
        if not there.any():
            most = max(end - start for start, end in pieces)
            raise ValueError(
                f"no window of length={length} and horizon={horizon} fits: the longest piece without a hole has {most} "
                "rows; allowed: at most that many, with a value to predict. Make the window shorter."
            )
        if self.missing == "refuse":
            return Arrays(past, future, groups=self.numbers[first])
        arrays = Arrays(_masked(past), np.nan_to_num(future), groups=self.numbers[first])
        kept = there.any(axis=1)
        return dataclasses.replace(arrays.take(kept), weights=there[kept].astype(np.float32))

    def steps(self, horizon: int = 1, inputs: Columns = None, targets: Columns = None) -> Steps:
        """All rows as one sequence with the row ``horizon`` steps later as target; each series starts with a reset.

        Raises:
            ValueError: every piece is too short, a column is unknown, or the horizon is below 1.
        """
        check_counts(horizon=horizon)
        pieces = np.cumsum(self.starts)
        now = np.flatnonzero(pieces[:-horizon] == pieces[horizon:])
        if not len(now):
            raise ValueError(
                f"every piece has at most horizon={horizon} rows; allowed: longer ones. Lower the horizon."
            )
        past, future = self.values[now][:, self.columns(inputs)], self.values[now + horizon][:, self.columns(targets)]
        resets = np.diff(pieces[now], prepend=-1) > 0
        if self.missing == "refuse":
            return Steps(past, future, resets)
        weights = (~np.isnan(future).any(axis=-1)).astype(np.float32)
        return Steps(_masked(past), np.nan_to_num(future), resets, weights)

    def columns(self, columns: Columns) -> list[int]:
        """The indices of columns given by name or number; None means all columns.

        Raises:
            ValueError: a column is unknown.
        """
        if columns is None:
            return list(range(len(self.names)))
        wanted = [columns] if isinstance(columns, str | int) else list(columns)
        found = [self.names.index(c) if isinstance(c, str) and c in self.names else c for c in wanted]
        if not found or any(isinstance(c, str) or not 0 <= c < len(self.names) for c in found):
            raise ValueError(
                f"columns {wanted}; allowed: {', '.join(self.names)}, or numbers from 0 to {len(self.names) - 1}. "
                "Give names=(...) to Series."
            )
        return [int(c) for c in found]

    def scaled(self, scaler: Scaler) -> Series:
        """The series with its columns scaled."""
        return self._with(values=scaler.transform(self.values))

    def take(self, rows: np.ndarray) -> Series:
        """Selects rows, ascending; a row whose predecessor is left out begins a new piece."""
        starts = self.starts[rows] | (np.diff(rows, prepend=-2) != 1)
        times = None if self.times is None else self.times[rows]
        return self._with(values=self.values[rows], times=times, starts=starts, numbers=self.numbers[rows])

    def _splits(self, name: str, source: str, parts: list[np.ndarray]) -> SeriesSplits:
        from recurrax.datasets.series_splits import SeriesSplits

        train, validation, test = map(self.take, parts)
        return SeriesSplits(name, source, train, validation, test)

    def _with(self, **changes: Any) -> Series:
        new = copy.copy(self)
        new._set(**changes)
        new._hash()
        return new

    def _set(self, **changes: Any) -> None:
        for name, value in changes.items():
            object.__setattr__(self, name, value)

    def _hash(self) -> None:
        arrays = {"values": self.values, "times": self.times, "starts": self.starts, "numbers": self.numbers}
        self._set(sha256=content_hash([arrays]))


def _masked(values: np.ndarray) -> np.ndarray:
    """Values with NaN replaced by 0, followed by columns that are 1 for present values: ``[..., 2 F]``."""
    return np.concatenate([np.nan_to_num(values), ~np.isnan(values)], axis=-1)
