"""The three-layer nets of 1997: a hidden layer, logistic output units above it, and a choice of weights."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import Cell, Foreign, Scan, unroll
from recurrax.cells import Hochreiter1997Cell, TruncatedGradient
from recurrax.cells.hochreiter1997 import symmetric
from recurrax.tasks import MemoryTask

Biases = tuple[float, ...] | None


@dataclasses.dataclass(frozen=True)
class Net:
    """What a row of Table 10 says of a net; the hidden layer is fully connected to itself ("F") by default."""

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
    logistic: bool = True
    """Whether output units squash into (0, 1); linear ones are not in the paper."""
    truncated: bool = True
    """Whether errors flow back through the cells' states alone."""
    kind: str = "F"
    """"F"; "B": inputs reach the outputs too and nothing but the states leads from step to step; there is no output
    gate, g is logistic and h the identity; "simple": one self-recurrent logistic unit in place of the memory cell."""


class Network(nnx.Module):
    """``y_t = sigma(V (h_t, x_t, 1))``, with ``x_t`` and 1 where the net has such weights: ``[T, D]`` to ``[T, O]``."""

    def __init__(self, net: Net, task: MemoryTask, *, rngs: nnx.Rngs):
        D, H = task.in_features, net.blocks * net.size
        self.cell = _cell(net, D, rngs)
        self.direct, self.biased, self.logistic = net.kind != "F", net.output_biased, net.logistic
        rows = H + (D if self.direct else 0) + (1 if self.biased else 0)
        self.kernel = nnx.Param(symmetric(net.bound)(rngs.params(), (rows, task.out_features)))

    def __call__(self, inputs: jax.Array, on: jax.Array | float = 1.0) -> jax.Array:
        """Outputs of every step; with ``on`` 0 the hidden layer is not there."""
        return self.outputs(on * unroll(self.cell, inputs, backend=Scan())[1], inputs)

    def outputs(self, h: jax.Array, x: jax.Array) -> jax.Array:
        """Output units above hidden layer and inputs: ``h: [..., H], x: [..., D]`` to ``[..., O]``."""
        below = [h, *([x] if self.direct else []), *([jnp.ones_like(x[..., :1])] if self.biased else [])]
        sums = jnp.concatenate(below, axis=-1) @ self.kernel[...]
        return jax.nn.sigmoid(sums) if self.logistic else sums


def weights(network: Network) -> int:
    """The number of its parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(network))


def _cell(net: Net, D: int, rngs: nnx.Rngs) -> Cell:
    if net.kind == "simple":
        return _simple(net, D, rngs)
    alone = {"output_gate": False, "recurrent": False, "g": jax.nn.sigmoid, "h": lambda c: c}
    cell = Hochreiter1997Cell(
        D,
        net.blocks * net.size,
        block_size=net.size,
        biased=net.biased,
        input_gate_bias=net.input_gates,
        output_gate_bias=net.output_gates,
        kernel_init=symmetric(net.bound),
        rngs=rngs,
        **(alone if net.kind == "B" else {}),
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
