"""The three-layer nets of 1997: a hidden layer, logistic output units above it; and learning step by step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from recurrax import Cell, Foreign, Scan, unroll
from recurrax.cells import Hochreiter1997Cell, TruncatedGradient
from recurrax.cells.hochreiter1997 import symmetric
from recurrax.tasks import Example, MemoryTask

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


def learn_stepwise(
    network: Network, wanted: jax.Array, example: Example, optimizer: optax.GradientTransformation, state: Any, on: Any
) -> tuple[Network, Any, jax.Array]:
    """One sequence, an update after each step that counts; gives network, optimiser's state and outputs ``[T, O]``.

    With the truncated gradient the only way from the past is the cells' state, whose factor per step is 1. So

        P_t = dC_t/dw = P_{t-1} + (dC_t/dw at this step alone),
        dE_t/dw = (dE_t/dC_t) P_{t-1} + (dE_t/dw at this step alone),

    which needs neither stored activations nor a backward pass (section 4 and appendix A.1 of the paper).
    ``wanted: [T, O]`` are the targets, ``on`` is 0 where the hidden layer is not there yet; a step's output is that
    before its update.
    """

    def error(network: Network, C: jax.Array, others: Any, inputs: Any) -> tuple[jax.Array, Any]:
        x, target, _ = inputs
        carry, h = network.cell((C, *others), x)
        y = network.outputs(on * h, x)
        return jnp.sum((y - target) ** 2) / 2, (carry, y)

    def step(loop: Any, inputs: Any) -> tuple[Any, jax.Array]:
        network, state, (C, *others), P = loop
        (here, dC), (carry, y) = jax.grad(error, argnums=(0, 1), has_aux=True)(network, C, others, inputs)
        gradient = jax.tree.map(lambda here, past: here + jnp.tensordot(dC, past, 1), here, P)
        alone = jax.jacrev(lambda network: network.cell((C, *others), inputs[0])[0][0])(network)
        P = jax.tree.map(jnp.add, P, alone)
        updates, changed = optimizer.update(gradient, state)
        new = optax.apply_updates(network, updates), changed
        counts = inputs[2] > 0
        network, state = jax.tree.map(lambda a, b: jnp.where(counts, a, b), new, (network, state))
        return (network, state, carry, P), y

    carry = network.cell.initialize_carry(example.inputs.shape[1:])
    P = jax.tree.map(lambda leaf: jnp.zeros((*carry[0].shape, *leaf.shape), leaf.dtype), network)
    steps = example.inputs, wanted, example.weights
    (network, state, *_), ys = jax.lax.scan(step, (network, state, carry, P), steps)
    return network, state, ys
