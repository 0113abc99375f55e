"""Gradient flow at initialisation, and the cell state's own path with the forget gate held at 0 and at 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from experiments.claims.config import Config
from experiments.vanishing_gradients import initial
from experiments.vanishing_gradients.initial import FEATURES, Subject
from recurrax import Cell
from recurrax.cells import LSTMCell, NoForgetGateCell, TruncatedGradient
from recurrax.initializers import zeros

SHUT, OPEN = -20.0, 20.0  # biases at which a sigmoid is 2e-9 and 1 - 2e-9


def measure(config: Config) -> dict[str, dict[str, Any]]:
    """Slopes of every subject, in nats per step of lag, over independent draws of weights and inputs."""
    results = {}
    for name, subject in {**initial.subjects(config), **paths(config)}.items():  # type: ignore[arg-type]
        entry = initial.measure(subject, config)  # type: ignore[arg-type]
        results[name] = {key: entry[key] for key in ("slope", "slopes", "jacobian_slope")}
    return results


def paths(config: Config) -> dict[str, Subject]:
    """The LSTM with its forget gate shut and open, with and without recurrent weights; the cell of 1997."""
    D, H = FEATURES, config.hidden

    def lstm(bias: float, **options: Any) -> Callable[[jax.Array], Cell]:
        return lambda key: LSTMCell(D, H, forget_bias=bias, rngs=nnx.Rngs(key), **options)

    def carousel(key: jax.Array) -> Cell:
        return NoForgetGateCell(D, H, rngs=nnx.Rngs(key))

    return {
        "forget gate 0, no recurrent weights": Subject(lstm(SHUT, recurrent_kernel_init=zeros)),
        "forget gate 1, no recurrent weights": Subject(lstm(OPEN, recurrent_kernel_init=zeros)),
        "forget gate 0": Subject(lstm(SHUT)),
        "forget gate 1": Subject(lstm(OPEN)),
        "no forget gate": Subject(carousel),
        "no forget gate, truncated gradient": Subject(lambda key: TruncatedGradient(carousel(key))),  # type: ignore
    }
