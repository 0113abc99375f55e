"""A series cut in order of time into training, validation and test parts, scaled by the training part alone."""

from __future__ import annotations

import dataclasses
from typing import final

import numpy as np

from recurrax.datasets.arrays import Arrays
from recurrax.datasets.dataset import SPLITS, Dataset, Steps, content_hash
from recurrax.datasets.scaler import Scaler, Scalers
from recurrax.datasets.series import Columns, Series


@final
@dataclasses.dataclass(frozen=True)
class SeriesSplits:
    """The three parts of a `Series` from `Series.split`; two objects are equal if their contents are.

    Args:
        name: of the data set.
        source: description of the cuts.
        train: the oldest rows.
        validation: later rows.
        test: the latest rows.
        scaler: the scaler of the columns; None if they are not scaled.

    Raises:
        ValueError: a part has no rows.
    """

    name: str
    source: str = dataclasses.field(compare=False)
    train: Series
    validation: Series
    test: Series
    scaler: Scaler | None = None

    def __post_init__(self) -> None:
        for split, size in zip(SPLITS, self.sizes, strict=True):
            if size == 0:
                raise ValueError(f"the {split} part of {self.name} has no rows; allowed: one or more. Change the cuts.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of rows in the three parts."""
        return tuple(len(getattr(self, split)) for split in SPLITS)

    @property
    def sha256(self) -> str:
        """SHA-256 of the contents of all parts."""
        return content_hash([], repr([getattr(self, split).sha256 for split in SPLITS]) + repr(self.scaler))

    def scaled(self, kind: str = "standard", columns: Columns = None) -> SeriesSplits:
        """Scales all parts by statistics of the training part alone.

        Args:
            kind: see `Scaler.fit`.
            columns: columns to scale, by name or number; None means all. Leave out labels, such as a column of 0 and 1.

        Raises:
            ValueError: the parts are scaled already, the kind or a column is unknown, or a column has no value in the
                training part.
        """
        if self.scaler is not None:
            raise ValueError(f"{self.name} is scaled already; allowed: once. Scale what Series.split gave.")
        wanted, size = self.train.columns(columns), self.train.values.shape[1]
        shift, scale = np.zeros(size), np.ones(size)
        fitted = Scaler.fit(self.train.values[:, wanted], kind)
        shift[wanted], scale[wanted] = fitted.shift, fitted.scale
        scaler = Scaler(tuple(shift.tolist()), tuple(scale.tolist()))
        parts = {split: getattr(self, split).scaled(scaler) for split in SPLITS}
        return dataclasses.replace(self, source=f"{self.source}, scaled: {kind}", scaler=scaler, **parts)

    def windows(
        self, length: int, horizon: int = 1, stride: int = 1, inputs: Columns = None, targets: Columns = None
    ) -> Dataset[Arrays]:
        """Windows of each part, see `Series.windows`; the scalers are kept for predictions in original units."""
        parts = [getattr(self, split).windows(length, horizon, stride, inputs, targets) for split in SPLITS]
        source = f"{self.source}, windows of {length} + {horizon} rows, stride {stride}"
        return Dataset(self.name, source, *parts, scalers=self._scalers(inputs, targets))

    def steps(self, horizon: int = 1, inputs: Columns = None, targets: Columns = None) -> Dataset[Steps]:
        """Each part as one long sequence, for a `recurrax.tasks.Stream`; see `Series.steps`."""
        parts = [getattr(self, split).steps(horizon, inputs, targets) for split in SPLITS]
        source = f"{self.source}, {horizon} steps ahead"
        return Dataset(self.name, source, *parts, scalers=self._scalers(inputs, targets))

    def _scalers(self, inputs: Columns, targets: Columns) -> Scalers:
        if self.scaler is None:
            return Scalers()
        past, future = (self.scaler.columns(self.train.columns(columns)) for columns in (inputs, targets))
        if self.train.missing == "mask":
            size = len(past.shift)
            past = Scaler(past.shift + (0.0,) * size, past.scale + (1.0,) * size)  # the mask is not scaled
        return Scalers(past, future)
