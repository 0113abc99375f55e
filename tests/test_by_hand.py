"""Training as Flax's users write it: `nnx.Optimizer`, `nnx.jit`, `nnx.grad`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import recurrax as rx

B, T, D, H = 16, 6, 2, 8


def lstm(rngs: nnx.Rngs) -> nnx.Module:
    return rx.SequenceModel(rx.LSTM(D, H, rngs=rngs), 1, read="last", rngs=rngs)


def stack(rngs: nnx.Rngs) -> nnx.Module:
    layers = rx.GRU(D, H, 2, bidirectional=True, dropout=0.1, rngs=rngs)
    return rx.SequenceModel(layers, 1, read="last", dropout=0.1, rngs=rngs)


class OurCellInTheirLayer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.rnn = nnx.RNN(rx.GRUCell(D, H, rngs=rngs), rngs=False)
        self.head = nnx.Linear(H, 1, rngs=rngs)

    def __call__(self, xs: jax.Array, **_: object) -> jax.Array:
        carry = self.rnn.cell.initialize_carry((*xs.shape[:-2], D))
        return self.head(self.rnn(xs, initial_carry=carry)[..., -1, :])


class TheirCellInOurLayer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.rnn = rx.RNN(nnx.GRUCell(D, H, rngs=rngs))
        self.head = nnx.Linear(H, 1, rngs=rngs)

    def __call__(self, xs: jax.Array, **_: object) -> jax.Array:
        return self.head(self.rnn(xs, read="last"))


@pytest.mark.parametrize(
    "build",
    [
        lstm,
        *(pytest.param(build, marks=pytest.mark.slow) for build in (stack, OurCellInTheirLayer, TheirCellInOurLayer)),
    ],
)
def test_an_optimizer_of_flax_learns_a_sum(build):
    model = build(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    xs = jax.random.normal(jax.random.key(1), (B, T, D))
    targets = xs[..., 0].sum(-1, keepdims=True)
    keyed = build in (lstm, stack)

    @nnx.jit
    def update(model: nnx.Module, optimizer: nnx.Optimizer, key: jax.Array) -> jax.Array:
        def loss(model: nnx.Module) -> jax.Array:
            options = {"dropout_key": key} if keyed else {}
            return jnp.mean((model(xs, **options) - targets) ** 2)

        value, gradient = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradient)
        return value

    before = jax.tree.map(jnp.array, nnx.state(model, nnx.Param))
    losses = [float(update(model, optimizer, key)) for key in jax.random.split(jax.random.key(2), 60)]
    assert losses[-1] < 0.5 * losses[0]
    moved = jax.tree.map(lambda a, b: bool(np.any(np.asarray(a) != np.asarray(b))), before, nnx.state(model, nnx.Param))
    assert all(jax.tree.leaves(moved))  # every parameter gets a gradient
