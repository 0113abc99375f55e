"""Stacks of LSTM, GRU and plain recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx

from recurrax.cell import Cell, show_signature
from recurrax.cells import GRUCell, LSTMCell, RNNCell
from recurrax.engines import Engine
from recurrax.initializers import Initializer
from recurrax.kernels import check_size
from recurrax.layers.bidirectional import Bidirectional
from recurrax.layers.rnn import RNN
from recurrax.layers.stack import Stack


class LSTM(Stack):
    """One or more layers of `LSTMCell`: ``inputs: [*batch, T, D]`` to ``outputs: [*batch, T, H]``.

    The carry is a tuple with one carry ``(c, h)`` per layer. With ``bidirectional`` each entry is a pair (forward and
    backward), and the outputs are ``[*batch, T, 2 H]``.

    Args:
        in_features: D.
        hidden_features: H of every layer and direction.
        num_layers: number of layers.
        bidirectional: run every layer in both directions.
        dropout: rate between layers, applied in a call that is given a ``dropout_key``.
        forget_bias: the initial bias of the forget gates, see `LSTMCell`.
        time_major: inputs and outputs are ``[T, *batch, ...]``.
        return_carry: return ``(carry, outputs)``.
        backend: "auto", the name of an engine, or an engine.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int, or the rate is not in [0, 1).
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        forget_bias: float | Initializer = 1.0,
        time_major: bool = False,
        return_carry: bool = False,
        backend: str | Engine = "auto",
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        def cell(size: int) -> Cell:
            return LSTMCell(
                size, hidden_features, forget_bias=forget_bias, dtype=dtype, param_dtype=param_dtype, rngs=rngs
            )

        layers = _layers(cell, in_features, num_layers, bidirectional, {"time_major": time_major, "backend": backend})
        super().__init__(layers, dropout=dropout, return_carry=return_carry)


class GRU(Stack):
    """One or more layers of `GRUCell`: ``inputs: [*batch, T, D]`` to ``outputs: [*batch, T, H]``.

    Arguments, shapes and errors are those of `LSTM`, without ``forget_bias``; the carry of a layer is ``h``.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        time_major: bool = False,
        return_carry: bool = False,
        backend: str | Engine = "auto",
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        def cell(size: int) -> Cell:
            return GRUCell(size, hidden_features, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

        layers = _layers(cell, in_features, num_layers, bidirectional, {"time_major": time_major, "backend": backend})
        super().__init__(layers, dropout=dropout, return_carry=return_carry)


class SimpleRNN(Stack):
    """One or more layers of `RNNCell`, Elman's network: ``inputs: [*batch, T, D]`` to ``outputs: [*batch, T, H]``.

    Arguments, shapes and errors are those of `LSTM`, without ``forget_bias`` and with ``activation_fn``, by default
    tanh; the carry of a layer is ``h``.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        activation_fn: Callable[..., Any] = jnp.tanh,
        time_major: bool = False,
        return_carry: bool = False,
        backend: str | Engine = "auto",
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        def cell(size: int) -> Cell:
            return RNNCell(
                size, hidden_features, activation_fn=activation_fn, dtype=dtype, param_dtype=param_dtype, rngs=rngs
            )

        layers = _layers(cell, in_features, num_layers, bidirectional, {"time_major": time_major, "backend": backend})
        super().__init__(layers, dropout=dropout, return_carry=return_carry)


for kind in (LSTM, GRU, SimpleRNN):
    show_signature(kind)


def _layers(
    make: Callable[[int], Cell], in_features: int, num_layers: int, bidirectional: bool, options: dict[str, Any]
) -> list[RNN | Bidirectional]:
    """Builds ``num_layers`` layers of cells ``make(D)``, lowest first."""
    check_size("the stack", num_layers=num_layers)
    layers, size = [], in_features
    for _ in range(num_layers):
        one = RNN(make(size), **options)
        layers.append(Bidirectional(one, RNN(make(size), **options)) if bidirectional else one)
        size = layers[-1].out_features
    return layers
