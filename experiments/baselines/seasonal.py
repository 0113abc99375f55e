"""A seasonal decomposition with an autoregression of what remains: STL + AR of statsmodels."""

from __future__ import annotations

import warnings

import numpy as np


def stl_ar(values: np.ndarray, origins: np.ndarray, horizon: int, period: int, history: int, lags: int) -> np.ndarray:
    """Forecasts of STL + AR, fitted anew at every origin to the values before it.

    Args:
        values: the series ``[N]``.
        origins: the last known row of each forecast, ``[n]``.
        horizon: H, rows ahead.
        period: rows of a season.
        history: rows that are fitted, two seasons or more.
        lags: of the autoregression.

    Returns:
        ``[n, H]``.

    Source: Cleveland et al. (1990), "STL: a seasonal-trend decomposition procedure based on loess".
    """
    from statsmodels.tsa.ar_model import AutoReg
    from statsmodels.tsa.forecasting.stl import STLForecast

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on convergence and the lost index of time
        for origin in origins:
            past = values[max(0, origin + 1 - history) : origin + 1]
            model = STLForecast(past, AutoReg, model_kwargs={"lags": lags}, period=period, robust=False)
            found.append(np.asarray(model.fit().forecast(horizon)))
    return np.stack(found)
