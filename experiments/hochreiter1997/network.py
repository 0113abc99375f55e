"""The three-layer nets of 1997: a hidden layer of memory cells and output units above it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.hochreiter1997.cell import CellsSeeInputs, ShiftedGate
from recurrax import Cell, Foreign, Scan, unroll
from recurrax.cells import Hochreiter1997Cell, TruncatedGradient
from recurrax.cells.hochreiter1997 import squash_input, symmetric
from recurrax.tasks import EmbeddedReber, MemoryTask, TemporalOrder, TimeLag

Biases = tuple[float, ...] | None


@dataclasses.dataclass(frozen=True)
class Net:
    """The net of a row of Table 10; by default the hidden layer is fully connected to itself ("F")."""

    blocks: int
    size: int = 1
    """Cells of a block."""
    bound: float = 0.1
    """Weights start in [-bound, bound]."""
    biased: str = "all"
    """Hidden units with a bias: "all", "gates" or "none"."""
    input_gates: Biases = None
    """Their first biases, a number for each block; None: as the weights."""
    output_gates: Biases = None
    output_biased: bool = True
    """Whether output units have a bias."""
    output: str = "logistic"
    """Squashing of the output units' net input a: "logistic", "linear" (y = a) or "half-linear" (y = 1/2 + a/4)."""
    truncated: bool = True
    """Whether errors flow back through the cells' states alone."""
    kind: str = "F"
    """"F"; "B": inputs reach the outputs too and nothing but the states leads from step to step; there is no output
    gate, g is logistic and h the identity; "simple": one self-recurrent logistic unit in place of the memory cell."""
    cells_see: str = "all"
    """Inputs of cells from the last step: "all" hidden units, or "inputs" for none (gates still see all)."""
    outputs_see: str = "cells"
    """"cells" (and inputs if the kind is "B"), or "all": cells, inputs and gates; no error flows back into gates."""
    state_range: float = 1.0
    """h takes states into (-range, range)."""
    shift: float = 0.0
    """Is added to the net input of every input gate; no weight, so it is never trained."""

    def __post_init__(self) -> None:
        """Refuses gates that the exact gradient would flow back into, and gates that are not there."""
        if self.outputs_see == "all" and not self.by_hand:
            raise ValueError("outputs_see='all' of an exact gradient; allowed: truncated=True. Leave truncated out.")
        if self.kind != "F" and (self.outputs_see, self.cells_see) != ("cells", "all"):
            raise ValueError(
                f"outputs_see={self.outputs_see!r}, cells_see={self.cells_see!r} with kind={self.kind!r}; allowed: "
                "'cells' and 'all', or kind='F'. Leave both out."
            )

    @property
    def hidden(self) -> int:
        """H, the number of cells."""
        return self.blocks * self.size

    @property
    def by_hand(self) -> bool:
        """Whether the gradient is the truncated one, see `learning`."""
        return self.truncated and self.kind != "simple"

    def spread(self, gates: jax.Array) -> jax.Array:
        """Gates ``[..., K]`` to ``[..., H]``, once for each cell of their block."""
        return jnp.repeat(gates, self.size, axis=-1)

    def g(self, a: jax.Array) -> jax.Array:
        """Squashes what a cell is given."""
        return jax.nn.sigmoid(a) if self.kind == "B" else squash_input(a)

    def h(self, C: jax.Array) -> jax.Array:
        """Squashes what a cell holds."""
        return C if self.kind == "B" else self.state_range * (2 * jax.nn.sigmoid(C) - 1)

    def squash(self, a: jax.Array) -> jax.Array:
        """Output units."""
        return {"logistic": jax.nn.sigmoid, "linear": lambda a: a, "half-linear": lambda a: 0.5 + a / 4}[self.output](a)

    def slope(self, y: jax.Array) -> jax.Array:
        """The derivative of `squash` where it gives y."""
        if self.output == "logistic":
            return y * (1 - y)
        return jnp.full_like(y, 1 if self.output == "linear" else 0.25)


class Units(NamedTuple):
    """The hidden units in one or all steps: gates ``[..., K]``, squashed net inputs of cells ``[..., H]``."""

    i: jax.Array
    o: jax.Array  # [..., 0] where cells have no output gates
    g: jax.Array


def activate(net: Net, a: jax.Array) -> Units:
    """Net inputs of input gates, output gates and cells, ``[..., N]``, to what the units make of them."""
    K, H = net.blocks, net.hidden
    i, o, c = a[..., :K], a[..., K:-H], a[..., -H:]
    return Units(jax.nn.sigmoid(i + net.shift), jax.nn.sigmoid(o), net.g(c))


def emit(net: Net, units: Units, C: jax.Array) -> jax.Array:
    """The outputs of cells with the states C, ``[..., H]``."""
    return net.h(C) if net.kind == "B" else net.spread(units.o) * net.h(C)


def seen(net: Net, units: Units, y: jax.Array) -> jax.Array:
    """The units that the next step sees: gates and cells, ``[..., N]``, or none."""
    return y[..., :0] if net.kind == "B" else jnp.concatenate([units.i, units.o, y], axis=-1)


class Network(nnx.Module):
    """``y_t = f(V (h_t, ...))``, with inputs, gates and 1 where the net has such weights: ``[T, D]`` to ``[T, O]``."""

    def __init__(self, net: Net, task: MemoryTask, *, rngs: nnx.Rngs):
        D, H = task.in_features, net.hidden
        self.net = net
        self.one_hot = isinstance(task, EmbeddedReber | TemporalOrder | TimeLag)
        self.cell = _cell(net, D, rngs)
        gates = 2 * net.blocks if net.outputs_see == "all" else 0
        rows = H + (D if self.direct else 0) + gates + (1 if net.output_biased else 0)
        self.kernel = nnx.Param(symmetric(net.bound)(rngs.params(), (rows, task.out_features)))

    @property
    def direct(self) -> bool:
        """Whether inputs reach the output units."""
        return self.net.kind != "F" or self.net.outputs_see == "all"

    def __call__(self, inputs: jax.Array, on: jax.Array | float = 1.0) -> jax.Array:
        """Outputs of every step; with ``on`` 0 the hidden layer is not there. `learning` has its truncated gradient."""
        if not self.net.by_hand:
            return self.outputs(on * unroll(self.cell, inputs, backend=Scan())[1], inputs)
        a, C = states(self, inputs, len(inputs))
        units = activate(self.net, a)
        return self.outputs(on * emit(self.net, units, C), inputs, units)

    def outputs(self, h: jax.Array, x: jax.Array, units: Units | None = None) -> jax.Array:
        """Output units above hidden layer and inputs: ``h: [..., H], x: [..., D]`` to ``[..., O]``."""
        return self.net.squash(self.below(h, x, units) @ self.kernel[...])

    def project(self, inputs: jax.Array, W: jax.Array) -> jax.Array:
        """``inputs W``, of one-hot inputs rows of W, which is many times as fast: ``[T, D], [D, N]`` to ``[T, N]``."""
        return W.at[symbols(inputs)].get(mode="fill", fill_value=0) if self.one_hot else inputs @ W

    def collect(self, inputs: jax.Array, values: jax.Array) -> jax.Array:
        """``inputs^T values``, what `project` hands back to W: ``[T, D], [T, N]`` to ``[D, N]``."""
        if not self.one_hot:
            return inputs.T @ values
        return jnp.zeros((inputs.shape[1], values.shape[1])).at[symbols(inputs)].add(values, mode="drop")

    def below(self, h: jax.Array, x: jax.Array, units: Units | None) -> jax.Array:
        """The inputs of output units: cells first, then inputs, gates and 1 if there are such weights."""
        gates = [units.i, units.o] if units is not None and self.net.outputs_see == "all" else []
        one = [jnp.ones_like(x[..., :1])] if self.net.output_biased else []
        return jnp.concatenate([h, *([x] if self.direct else []), *gates, *one], axis=-1)


def symbols(inputs: jax.Array) -> jax.Array:
    """The symbols that one-hot inputs stand for, D where there is none: ``[T, D]`` to ``[T]``."""
    D = inputs.shape[-1]
    number = jnp.round(inputs @ jnp.arange(1.0, D + 1)).astype(int)
    return jnp.where(number == 0, D, number - 1)


def packed(network: Network) -> tuple[jax.Array, jax.Array]:
    """All weights of hidden units, from inputs, hidden units and 1, ``[D + R + 1, N]``, and those of output units.

    Zeros stand where there is no weight; R is N, or 0 if no unit sees the last step.
    """
    cell: Any = network.cell.cell if isinstance(network.cell, TruncatedGradient) else network.cell
    W = cell.kernel[...]
    N = W.shape[1]
    U = jnp.zeros((0, N)) if cell.recurrent_kernel is None else cell.recurrent_kernel[...]
    b = jnp.zeros(0) if cell.bias is None else cell.bias[...]
    U, b = (jnp.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, N - part.shape[-1])]) for part in (U, b))
    return jnp.concatenate([W, U, b[None]]), network.kernel[...]


def states(network: Network, inputs: jax.Array, steps: Any) -> tuple[jax.Array, jax.Array]:
    """Net inputs ``[T, N]`` and states of cells ``[T, H]`` of the first ``steps`` steps; zeros after them."""
    net, (A, _) = network.net, packed(network)
    T, D = inputs.shape
    U, H = A[D:-1], net.hidden
    us = network.project(inputs, A[:D]) + A[-1]

    def step(t: Any, loop: Any) -> Any:
        r, C, nets, Cs = loop
        a = us[t] + r @ U
        units = activate(net, a)
        C = C + net.spread(units.i) * units.g
        return seen(net, units, emit(net, units, C)), C, nets.at[t].set(a), Cs.at[t].set(C)

    start = jnp.zeros(len(U)), jnp.zeros(H), jnp.zeros_like(us), jnp.zeros((T, H))
    return jax.lax.fori_loop(0, steps, step, start)[2:]


def weights(network: Network) -> int:
    """The number of its parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(network))


def _cell(net: Net, D: int, rngs: nnx.Rngs) -> Cell:
    if net.kind == "simple":
        return _simple(net, D, rngs)
    options: dict[str, Any] = {"output_gate": False, "recurrent": False} if net.kind == "B" else {}
    kind: Any = CellsSeeInputs if net.cells_see == "inputs" else Hochreiter1997Cell
    if net.shift:
        kind, options = ShiftedGate, options | {"shift": net.shift}
    cell = kind(
        D,
        net.hidden,
        block_size=net.size,
        g=net.g,
        h=net.h,
        biased=net.biased,
        input_gate_bias=net.input_gates,
        output_gate_bias=net.output_gates,
        kernel_init=symmetric(net.bound),
        rngs=rngs,
        **options,
    )
    return TruncatedGradient(cell) if net.truncated else cell


def _simple(net: Net, D: int, rngs: nnx.Rngs) -> Cell:
    """Logistic units without biases, ``h = sigma(W x + U h)``; their gradient is exact, as RTRL's and BPTT's are."""
    draw, H = symmetric(net.bound), net.blocks

    def step(params: dict[str, jax.Array], h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jax.nn.sigmoid(x @ params["W"] + h @ params["U"])
        return h, h

    params = {"W": draw(rngs.params(), (D, H)), "U": draw(rngs.params(), (H, H))}
    return Foreign(step, params=params, initialize_carry=lambda shape: jnp.zeros((*shape[:-1], H)))
