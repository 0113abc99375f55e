"""Scalers of columns: fitted on training data alone, applied to everything, and inverted for predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray


@final
@dataclasses.dataclass(frozen=True)
class Scaler:
    """``z = (x - shift) / scale`` for each column, the last axis; two are equal if their numbers are.

    Args:
        shift: one number a column.
        scale: one number a column, none of them 0.
    """

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, values: Array, kind: str = "standard") -> Scaler:
        """The scaler of the columns of ``values: [..., F]``, over all other axes; missing values (NaN) do not count.

        A column whose spread is 0 is shifted and not scaled, as scikit-learn does.

        Args:
            values: of the training part alone, or what is measured on other parts leaks into the training.
            kind: "standard" (mean 0, standard deviation 1), "minmax" (from 0 to 1) or "robust" (median 0, the quartiles
                1 apart: a few outliers change nothing).

        Raises:
            ValueError: the kind is unknown, or a column has no value.
        """
        if kind not in KINDS:
            raise ValueError(f"scaler {kind!r}; allowed: {', '.join(map(repr, KINDS))}. Try 'standard'.")
        # Each column in one piece: its sums are then the same ones whatever stands beside it.
        columns = np.ascontiguousarray(np.asarray(values, np.float64).reshape(-1, np.shape(values)[-1]).T)
        if (empty := np.isnan(columns).all(axis=1)).any():
            raise ValueError(
                f"columns {np.flatnonzero(empty).tolist()} have no value in the training part; allowed: one or more. "
                "Leave these columns out, or make the training part longer."
            )
        shift, scale = KINDS[kind](columns)
        # A constant column by its extremes: rounding may leave it a standard deviation of 1e-17.
        constant = (np.nanmax(columns, axis=1) == np.nanmin(columns, axis=1)) | (scale == 0)
        return cls(tuple(shift.tolist()), tuple(np.where(constant, 1.0, scale).tolist()))

    def transform(self, values: Any) -> Any:
        """Scaled values, ``[..., F]``, in at least float32; NumPy stays NumPy."""
        values, (shift, scale) = self._matching(values)
        return (values - shift) / scale

    def inverse(self, values: Any) -> Any:
        """Values in the original units, e.g. of predictions; ``[..., F]``, in at least float32."""
        values, (shift, scale) = self._matching(values)
        return values * scale + shift

    def columns(self, columns: Sequence[int]) -> Scaler:
        """The scaler of these columns."""
        return Scaler(tuple(self.shift[c] for c in columns), tuple(self.scale[c] for c in columns))

    def _matching(self, values: Any) -> tuple[Any, list[Any]]:
        values = values if isinstance(values, jax.Array) else np.asarray(values)
        if values.ndim == 0 or values.shape[-1] != len(self.shift):
            raise ValueError(
                f"values of shape {values.shape} for a scaler of {len(self.shift)} columns; allowed: "
                f"[..., {len(self.shift)}]. Give all the columns, or take scaler.columns([...])."
            )
        values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
        return values, [np.asarray(numbers, values.dtype) for numbers in (self.shift, self.scale)]


class Scalers(NamedTuple):
    """How inputs and targets were scaled; None where they were not."""

    inputs: Scaler | None = None
    targets: Scaler | None = None


def _standard(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.nanmean(columns, axis=1), np.nanstd(columns, axis=1)


def _minmax(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low = np.nanmin(columns, axis=1)
    return low, np.nanmax(columns, axis=1) - low


def _robust(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, middle, high = np.nanpercentile(columns, [25, 50, 75], axis=1)
    return middle, high - low


KINDS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "standard": _standard,
    "minmax": _minmax,
    "robust": _robust,
}
