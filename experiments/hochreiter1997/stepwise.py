"""The algorithm of 1997 at its finest grain: weights change after every step, and nothing is propagated back in time.

With the truncated gradient the only way from the past is the cells' state, whose factor per step is 1. So

    P_t = dC_t/dw = P_{t-1} + (dC_t/dw at this step alone),
    dE_t/dw = (dE_t/dC_t) P_{t-1} + (dE_t/dw at this step alone),

which needs neither stored activations nor a backward pass (section 4 and appendix A.1 of the paper).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.hochreiter1997.network import Network
from recurrax.tasks import Example


def learn(
    network: Network, wanted: jax.Array, example: Example, optimizer: optax.GradientTransformation, state: Any, on: Any
) -> tuple[Network, Any, jax.Array]:
    """One sequence, an update after each step that counts; gives network, optimiser's state and outputs ``[T, O]``.

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
