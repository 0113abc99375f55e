"""Scalers of columns, which are fitted on training data alone and can be inverted for predictions."""

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
    """Scales each column (of the last axis), ``z = (x - shift) / scale``; two scalers are equal if their numbers are.

    Args:
        shift: one number per column.
        scale: one number per column, not 0.
    """

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, values: Array, kind: str = "standard") -> Scaler:
        """Fits a scaler to the columns of ``values: [..., F]`` over all other axes; missing values (NaN) are ignored.

        A column without spread is shifted but not scaled, as in scikit-learn.

        Args:
            values: values of the training part alone; otherwise statistics of other parts leak into training.
            kind: "standard" (mean 0, standard deviation 1), "minmax" (from 0 to 1) or "robust" (median 0 and quartiles
                1 apart, so that outliers have little influence).

        Raises:
            ValueError: the kind is unknown, or a column has no value.
        """
        if kind not in KINDS:
            raise ValueError(f"scaler {kind!r}; allowed: {', '.join(map(repr, KINDS))}. Try 'standard'.")
        # Make each column contiguous, so that its sums do not depend on the other columns.
        columns = np.ascontiguousarray(np.asarray(values, np.float64).reshape(-1, np.shape(values)[-1]).T)
        if (empty := np.isnan(columns).all(axis=1)).any():
            raise ValueError(
                f"columns {np.flatnonzero(empty).tolist()} have no value in the training part; allowed: one or more. "
                "Leave these columns out, or make the training part longer."
            )
        shift, scale = KINDS[kind](columns)
        # Detect a constant column by its extremes, because rounding may give it a standard deviation of 1e-17.
        constant = (np.nanmax(columns, axis=1) == np.nanmin(columns, axis=1)) | (scale == 0)
        return cls(tuple(shift.tolist()), tuple(np.where(constant, 1.0, scale).tolist()))

    def transform(self, values: Any) -> Any:
        """Scales values, ``[..., F]``, in at least float32; NumPy arrays stay NumPy arrays."""
        values, (shift, scale) = self._matching(values)
        return (values - shift) / scale

    def inverse(self, values: Any) -> Any:
        """Converts values, e.g. predictions, to the original units; ``[..., F]``, in at least float32."""
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
    """The scalers of inputs and targets; None if they are not scaled."""

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
