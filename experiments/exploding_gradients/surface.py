"""(b) The loss surface of one unit: where its walls are, and what gradient descent does at them.

    x_t = w sigma(x_{t-1}) + b,  x_0 = 1/2,  L = (sigma(x_T) - 0.7)^2

Figure 6 of Pascanu, Mikolov & Bengio (2013). In float64 and NumPy: the walls are thinner than float32 resolves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from experiments.exploding_gradients.config import Config

START, TARGET = 0.5, 0.7
LEAST = 1 / (expit(START) * (1 - expit(START)))  # w above which a fixed point at x_0 repels; below it there is no wall

REACHED = 1e-3  # final losses below it count as reached
DRAWN_CELLS = 61  # largest number of grid points per side in the record
DRAWN_UPDATES = 120
TINY = 1e-300


class Loss(NamedTuple):
    """The loss and its gradient ``(dL/dw, dL/db)``, each of the shape of w and b."""

    value: np.ndarray
    dw: np.ndarray
    db: np.ndarray

    @property
    def norm(self) -> np.ndarray:
        """The size of the gradient, |gradient|."""
        return np.hypot(self.dw, self.db)


def evaluate(w: np.ndarray, b: np.ndarray, steps: int) -> Loss:
    """The loss and its exact gradient, carried forward beside the state: ``dx' = w sigma'(x) dx + (sigma(x), 1)``."""
    x, dw, db = np.full(np.shape(w), START), np.zeros(np.shape(w)), np.zeros(np.shape(w))
    for _ in range(steps):
        s = expit(x)
        slope = w * s * (1 - s)
        x, dw, db = w * s + b, slope * dw + s, slope * db + 1
    s = expit(x)
    outer = 2 * (s - TARGET) * s * (1 - s)
    return Loss((s - TARGET) ** 2, outer * dw, outer * db)


def wall(w: np.ndarray) -> np.ndarray:
    """B at which x_0 is a fixed point, ``x_0 - w sigma(x_0)``: with w above `LEAST` it repels, and parts two basins.

    Just above the line x_t climbs to the upper stable fixed point, just below it falls to the lower one.
    """
    return START - w * expit(START)


def wall_gradient(w: np.ndarray, steps: int) -> np.ndarray:
    """The size of the gradient on the wall, where the state stays at x_0: a geometric series in ``a = w sigma'(x_0)``.

    |dL| = 2 |sigma - 0.7| sigma' (a^T - 1) / (a - 1) |(sigma, 1)|,  sigma = sigma(x_0)
    """
    s = expit(START)
    a = w * s * (1 - s)
    return 2 * abs(s - TARGET) * s * (1 - s) * (a**steps - 1) / (a - 1) * np.hypot(s, 1)


def folds(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """B of the two saddle-node bifurcations: where the upper and where the lower stable fixed point disappears.

        x = w sigma(x) + b,  1 = w sigma'(x):  sigma = (1 +- sqrt(1 - 4/w)) / 2

    Between them, with w > 4, there are two stable fixed points; NaN with w < 4.
    """
    root = np.sqrt(np.where(w >= 4, 1 - 4 / w, np.nan))
    upper, lower = ((1 + sign * root) / 2 for sign in (1, -1))
    return tuple(np.log(s / (1 - s)) - w * s for s in (upper, lower))  # type: ignore[return-value]


def measure(config: Config) -> dict[str, Any]:
    """The surface over a grid of w and b: its jumps beside its usual changes, and how far from the wall they lie."""
    w, b = (np.linspace(*box, config.cells) for box in (config.box_w, config.box_b))
    loss = evaluate(*np.meshgrid(w, b, indexing="ij"), config.surface_steps)
    jumps = np.abs(np.diff(loss.value, axis=1))  # [w, b] between neighbours in b
    at = (b[:-1] + b[1:])[np.argmax(jumps, axis=1)] / 2
    walled = (w > LEAST) & (wall(w) > b[0]) & (wall(w) < b[-1])
    off = {name: (np.abs(at - line) / (b[1] - b[0]))[walled] for name, line in lines(w).items()}
    every = -(-config.cells // DRAWN_CELLS)
    return {
        "w": w[::every],
        "b": b[::every],
        "loss": np.round(loss.value[::every, ::every], 3),
        "lines": {name: np.where(w >= LEAST, line, np.nan)[::every] for name, line in lines(w).items()},
        "largest_change": jumps.max(),
        "median_change": np.median(jumps),
        "largest_gradient": loss.norm.max(),
        "median_gradient": np.median(loss.norm),
        "walled": w[walled][[0, -1]] if walled.any() else [],
        "wall_gradient": wall_gradient(w[walled][[0, -1]], config.surface_steps) if walled.any() else [],
        "cells_off": {name: {"median": np.median(cells), "largest": cells.max()} for name, cells in off.items()}
        if walled.any()
        else {},
    }


def lines(w: np.ndarray) -> dict[str, np.ndarray]:
    """Biases b of the wall and of the two folds at every w."""
    upper, lower = folds(w)
    return {"wall": wall(w), "upper fold": upper, "lower fold": lower}


@np.errstate(over="ignore")  # the gradient on the wall
def descend(config: Config) -> list[dict[str, Any]]:
    """Gradient descent from the same random starts, with every step size, without clipping and at every norm."""
    rng = np.random.default_rng(config.start_seed)
    lows, highs = np.array([config.box_w, config.box_b], float).T
    starts = rng.uniform(lows, highs, (config.starts, 2))
    results = []
    for step_size in config.step_sizes:
        for clip in (np.inf, *config.surface_clips):
            paths = walk(starts, step_size, clip, config)
            entry = {"step_size": step_size, "clip_norm": clip, **outcome(paths, lows, highs, config)}
            if step_size == config.step_sizes[0] and clip in (np.inf, config.surface_clips[-1]):
                entry["drawn"] = paths[: config.drawn, : DRAWN_UPDATES + 1]
            results.append(entry)
    return results


def walk(starts: np.ndarray, step_size: float, clip: float, config: Config) -> np.ndarray:
    """Paths ``[N, steps+1, 2]`` of (w, b) from starts ``[N, 2]``."""
    path = [starts]
    for _ in range(config.descent_steps):
        loss = evaluate(path[-1][:, 0], path[-1][:, 1], config.surface_steps)
        scale = step_size * np.minimum(1, clip / np.maximum(loss.norm, TINY))
        path.append(path[-1] - np.stack([scale * loss.dw, scale * loss.db], axis=-1))
    return np.stack(path, axis=1)


def outcome(paths: np.ndarray, lows: np.ndarray, highs: np.ndarray, config: Config) -> dict[str, Any]:
    """The outcome of paths: "thrown off" means further from the box than the size of the box at any time."""
    size = highs - lows
    first, last = (evaluate(paths[:, index, 0], paths[:, index, 1], config.surface_steps).value for index in (0, -1))
    near = ((paths >= lows - size) & (paths <= highs + size)).all(axis=(1, 2))
    steps = np.linalg.norm(np.diff(paths, axis=1), axis=-1)
    return {
        "starts": len(paths),
        "thrown_off": np.sum(~near),
        "reached": np.sum(last < REACHED),
        "worse": np.sum(last > first),
        "last_loss": np.median(last),
        "longest_step": steps.max(),
    }
