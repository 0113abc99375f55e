"""The original memory cell of 1997: two gates, gates that see the gates, blocks of cells, and no forget gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import Cell, preactivations
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import check_size, like

Carry = tuple[jax.Array, ...]
Squash = Callable[[jax.Array], jax.Array]
BIASED = ("all", "gates", "none")


class Gates1997(NamedTuple):
    """Input gate i, output gate o (None in a cell without it), candidate c~: arrays ``[..., H]``."""

    i: Any
    o: Any
    c_tilde: Any


def symmetric(bound: float) -> Initializer:
    """The uniform distribution ``U[-bound, bound)`` of the initial weights of 1997."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def squash_input(a: jax.Array) -> jax.Array:
    """``g(a) = 4 sigma(a) - 2``, in (-2, 2)."""
    return 4 * jax.nn.sigmoid(a) - 2


def squash_state(c: jax.Array) -> jax.Array:
    """``h(c) = 2 sigma(c) - 1``, in (-1, 1)."""
    return 2 * jax.nn.sigmoid(c) - 1


class Hochreiter1997Cell(Cell):
    r"""Original memory cell: input and output gates that see the last step's gates, and no forget gate.

    .. math::
        r_{t-1} &= (i_{t-1}, o_{t-1}, h_{t-1}) \\
        i_t &= \sigma(W_i x_t + b_i + U_i r_{t-1}) \\
        o_t &= \sigma(W_o x_t + b_o + U_o r_{t-1}) \\
        \tilde c_t &= g(W_c x_t + b_c + U_c r_{t-1}) \\
        C_t &= C_{t-1} + i_t \odot \tilde c_t \\
        h_t &= o_t \odot h(C_t)

    The H cells form blocks of S = ``block_size`` cells. The cells of a block share its two gates, so there are K = H /
    S gates of each kind. The gradient is exact. ``TruncatedGradient(Hochreiter1997Cell(...))`` has the gradient of the
    paper, in which errors flow back through C alone.

    Shapes: ``x: [..., D]``, carry ``(C, i, o, h)``, all ``[..., H]`` (a gate is repeated for each cell of its block),
    output ``h``. Parameters, units in the order input gates, output gates, cells, N = 2 K + H of them: ``kernel:
    [D, N]`` (W),
    ``recurrent_kernel: [N, N]`` (U, from row to column), ``bias: [n]`` (b) of the first n units, as ``biased`` says.

    Args:
        in_features: D.
        hidden_features: H, all cells together.
        block_size: S, cells that share their gates.
        g: squashing function of the cell input; 4 sigma - 2 by default.
        h: squashing function of the cell state; 2 sigma - 1 by default.
        output_gate: False leaves o out: h_t = h(C_t), and N = K + H.
        recurrent: False leaves U out, so that only C connects the steps.
        biased: which units have biases: "all", "gates", or "none".
        input_gate_bias: initial b_i, a number or one for each block; None draws it like the weights.
        output_gate_bias: initial b_o, likewise.
        kernel_init: initialiser of W, U and b; U[-0.1, 0.1) by default.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int, H is not a multiple of S, ``biased`` is not known, or a bias is given
            for a gate that the cell does not have or for another number of blocks.

    Source: Hochreiter & Schmidhuber (1997), "Long short-term memory", sections 4 and appendix A.1. (Table 10 of the
    paper swaps the ranges of g and h; the cell follows equations 3 to 5 of the appendix.)
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        block_size: int = 1,
        g: Squash = squash_input,
        h: Squash = squash_state,
        output_gate: bool = True,
        recurrent: bool = True,
        biased: str = "all",
        input_gate_bias: float | Sequence[float] | None = None,
        output_gate_bias: float | Sequence[float] | None = None,
        kernel_init: Initializer = symmetric(0.1),
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        D, H, S = self.in_features, self.hidden_features, self.block_size = in_features, hidden_features, block_size
        _check(D, H, S, biased)
        self.g, self.h, self.output_gate = g, h, output_gate
        self.carry_init, self.dtype = carry_init, dtype
        self.states = ("c", "i", "o", "h") if output_gate else ("c", "i", "h")
        K = self.blocks = H // S
        gates = 2 * K if output_gate else K
        N = gates + H
        keys = jax.random.split(rngs.params(), 3)

        def draw(key: jax.Array, *shape: int) -> jax.Array:
            return per_gate(kernel_init, key, 1, shape, param_dtype)[0]

        self.kernel = nnx.Param(draw(keys[0], D, N))
        self.recurrent_kernel = nnx.Param(draw(keys[1], N, N)) if recurrent else None
        bias = draw(keys[2], {"all": N, "gates": gates, "none": 0}[biased])
        bias = _set(bias, 0, K, "input_gate_bias", input_gate_bias)
        bias = _set(bias, K, gates - K, "output_gate_bias", output_gate_bias)
        self.bias = nnx.Param(bias) if bias.size else None

    def project(self, x: jax.Array) -> Gates1997:
        """``W x + b``."""
        u = x @ self.kernel[...]
        if self.bias is not None:
            b = self.bias[...]
            u = u + like(jnp.pad(b, (0, u.shape[-1] - len(b))), u)
        return self._spread(u)

    def mix(self, carry: Carry) -> Gates1997:
        """``U (i, o, h)``."""
        _, *gates, h = carry
        if self.recurrent_kernel is None:
            return Gates1997(None, None, None)
        r = jnp.concatenate([*(gate[..., :: self.block_size] for gate in gates), h], axis=-1)
        return self._spread(r @ self.recurrent_kernel[...])

    def update(self, carry: Carry, a: tuple[Any, ...]) -> Carry:
        """``C = C + i c~``, ``h = o h(C)``; the new gates stay in the carry because the next step sees them."""
        i, o, c_tilde = self._activate(a)
        C = carry[0] + i * c_tilde
        return (C, i, self.h(C)) if o is None else (C, i, o, o * self.h(C))

    def gates(self, carry: Carry, x: jax.Array) -> Gates1997:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        return self._activate(preactivations(self.project(x), self.mix(carry)))

    def _activate(self, a: tuple[Any, ...]) -> Gates1997:
        i, o, c_tilde = a
        return Gates1997(jax.nn.sigmoid(i), None if o is None else jax.nn.sigmoid(o), self.g(c_tilde))

    def _spread(self, units: jax.Array) -> Gates1997:
        """Splits units ``[..., N]`` into arrays ``[..., H]``; repeats a gate for each cell of its block."""
        K, N = self.blocks, units.shape[-1]
        i, o, c_tilde = jnp.split(units, [K, N - K * self.block_size], axis=-1)
        i, o = (jnp.repeat(gate, self.block_size, axis=-1) for gate in (i, o))
        return Gates1997(i, o if self.output_gate else None, c_tilde)


def _check(D: int, H: int, S: int, biased: str) -> None:
    """Raises ValueError if a size or ``biased`` cannot be used."""
    check_size("Hochreiter1997Cell", in_features=D, hidden_features=H, block_size=S)
    if H % S:
        raise ValueError(
            f"Hochreiter1997Cell got hidden_features={H} in blocks of block_size={S}; allowed: a multiple of it. "
            f"Give e.g. hidden_features={2 * S}."
        )
    if biased not in BIASED:
        raise ValueError(f"Hochreiter1997Cell got biased={biased!r}; allowed: {', '.join(BIASED)}. Use 'all'.")


def _set(bias: jax.Array, start: int, count: int, name: str, value: float | Sequence[float] | None) -> jax.Array:
    """The biases of all units, with ``count`` of them from ``start`` on set to the value unless it is None."""
    if value is None:
        return bias
    values = jnp.asarray(value, bias.dtype)
    if bias.size < start + count or not count or values.shape not in ((), (count,)):
        raise ValueError(
            f"Hochreiter1997Cell got {name}={value}; allowed: None, or where such gates have biases a number or one "
            f"for each of the {count} blocks. Give a number, or change biased or output_gate."
        )
    return bias.at[start : start + count].set(values)
