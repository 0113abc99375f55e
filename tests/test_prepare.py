"""What a cell prepares for a whole sequence, once, and the way a key takes from a call to every cell's noise."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import D, H, T, jit, noise
from tolerances import close

import recurrax as rx
from recurrax import cells
from recurrax.kernels import RecurrentKernel

B, KEY = 2, jax.random.key(0)
LENGTHS = np.array([2, T])


class NoisyCell(rx.RNNCell):
    """Adds noise to what comes from the input, another at every step."""

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> Any:
        CALLS.append(xs.shape)
        shape = (*xs.shape[:-1], self.hidden_features)
        drawn = jnp.zeros(shape) if key is None else jax.random.normal(key, shape)
        return self, jnp.concatenate([xs, drawn], -1)

    def project(self, x: jax.Array) -> Any:
        (u,) = super().project(x[..., : self.in_features])
        return (u + x[..., self.in_features :],)


CALLS: list[Any] = []


class DroppedCell(rx.LSTMCell):
    """Drops recurrent weights, the same at every step of a sequence."""

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> Any:
        if key is None:
            return self, xs
        U = self.recurrent_kernel[...]
        cell = jax.tree.map(lambda leaf: leaf, self)
        cell.recurrent_kernel = RecurrentKernel(jnp.where(jax.random.bernoulli(key, 0.5, U.shape), 2 * U, 0))
        return cell, xs


class CayleyCell(rx.RNNCell):
    """Its recurrent matrix is orthogonal for all parameters: ``(I - A)^-1 (I + A)`` of an antisymmetric A."""

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> Any:
        A = self.recurrent_kernel[0] - self.recurrent_kernel[0].T
        identity = jnp.eye(len(A), dtype=A.dtype)
        cell = jax.tree.map(lambda leaf: leaf, self)
        cell.recurrent_kernel = RecurrentKernel(jnp.linalg.solve(identity - A, identity + A)[None])
        return cell, xs


@pytest.fixture(autouse=True)
def no_calls():
    CALLS.clear()


@functools.cache
def cell(kind: Any = NoisyCell, size: int = D, seed: int = 1) -> Any:
    return noise(kind(size, H, rngs=nnx.Rngs(0)), seed)


@functools.cache
def xs() -> jax.Array:
    return noise(jax.ShapeDtypeStruct((B, T, D), jnp.float32), seed=2)


def without_noise(one: Any) -> rx.RNNCell:
    plain = rx.RNNCell(one.in_features, H, rngs=nnx.Rngs(0))
    plain.kernel, plain.recurrent_kernel, plain.bias = one.kernel, one.recurrent_kernel, one.bias
    return plain


def test_evaluation_is_without_noise_and_prepares_once_for_a_call():
    layer, plain = rx.RNN(cell()), rx.RNN(without_noise(cell()))
    np.testing.assert_array_equal(layer(xs()), layer(xs()))
    assert [(T, B, D)] * 2 == CALLS  # all steps, before the loop
    close(layer(xs()), plain(xs()), "float32")
    carry = layer.initialize_carry((B, D))
    for t in range(T):
        carry, y = layer.step(carry, xs()[:, t])
    close(y, plain(xs())[:, -1], "float32")


@pytest.mark.slow
def test_a_key_draws_the_noise_of_a_call():
    layer = rx.RNN(cell())
    run = jit(lambda key: layer(xs(), dropout_key=key))
    one, again, other = run(KEY), run(KEY), run(jax.random.key(1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).min() > 1e-6 and np.abs(one - run(None)).min() > 1e-6
    drawn, h = jax.random.normal(KEY, (T, B, H)), jnp.zeros((B, H))
    W, U, b = cell().kernel[0], cell().recurrent_kernel[0], cell().bias[0]
    for t in range(T):
        h = jnp.tanh(xs()[:, t] @ W.T + b + h @ U.T + drawn[t])
        close(one[:, t], h, "float32")


@pytest.mark.parametrize("kind", [NoisyCell, DroppedCell, CayleyCell])
@pytest.mark.parametrize("backend", ["adjoint", "newton", rx.Scan(checkpoint_every=2)])
def test_every_engine_runs_what_was_prepared(kind, backend):
    def loss(one: Any, backend: Any) -> Any:
        ys = rx.RNN(one, backend=backend)(xs(), dropout_key=KEY, seq_lengths=LENGTHS)
        return jnp.sum(ys**2), ys

    run = jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
    close(run(cell(kind), backend), run(cell(kind), "scan"), "float32")


def test_kernels_that_are_computed_hand_their_gradient_to_the_parameters():
    one = cell(CayleyCell)
    inside, _ = one.prepare(xs(), None)
    U = np.asarray(inside.recurrent_kernel[0])
    np.testing.assert_allclose(U @ U.T, np.eye(H), atol=1e-5)
    gradient = jit(jax.grad(lambda one: jnp.sum(rx.RNN(one)(xs()) ** 2)))(one)
    slope = np.asarray(gradient.recurrent_kernel[0])
    assert np.abs(slope).max() > 0.01
    np.testing.assert_allclose(slope, -slope.T, atol=1e-5)  # only the antisymmetric part counts
    close(one(jnp.ones(H), xs()[0, 0])[0], inside.update(None, (inside.project(xs()[0, 0])[0] + U @ jnp.ones(H),)),
          "float32")  # fmt: skip


def test_a_prepared_cell_may_be_truncated():
    inside = cell(DroppedCell)
    run = jit(lambda one, key: rx.RNN(one)(xs(), dropout_key=key))
    close(run(cells.TruncatedGradient(inside), KEY), run(inside, KEY), "float32")
    assert not np.allclose(run(inside, KEY), run(inside, None))


def test_padding_is_prepared_as_zeros():
    poisoned = jnp.where((np.arange(T) < LENGTHS[:, None])[..., None], xs(), jnp.nan)
    layer = rx.RNN(cell())
    ys = layer(poisoned, seq_lengths=LENGTHS, dropout_key=KEY)
    assert np.isfinite(ys).all()
    np.testing.assert_array_equal(ys, layer(xs(), seq_lengths=LENGTHS, dropout_key=KEY))


@pytest.mark.slow
def test_both_directions_and_all_layers_get_keys_of_their_own():
    """The same weights everywhere: only another key makes another output."""
    one, two = cell(), jax.tree.map(lambda leaf: leaf + 0, cell())
    palindrome = jnp.concatenate([xs(), jnp.flip(xs(), 1)], 1)
    both = rx.Bidirectional(rx.RNN(one), rx.RNN(two))
    run = jit(lambda layer, x, key: layer(x, dropout_key=key))
    forward, backward = jnp.split(run(both, palindrome, None), 2, -1)
    close(forward, jnp.flip(backward, 1), "float32")
    forward, backward = jnp.split(run(both, palindrome, KEY), 2, -1)
    assert np.abs(forward - jnp.flip(backward, 1)).min() > 1e-6

    nothing = noise(jax.eval_shape(lambda: NoisyCell(H, H, rngs=nnx.Rngs(0))), 0, scale=0)
    stack = rx.Stack([rx.RNN(nothing), rx.RNN(jax.tree.map(lambda leaf: leaf + 0, nothing))], residual=True)
    x = jnp.zeros((B, T, H))  # each layer's output is tanh of its noise
    lower = run(rx.Stack(stack.layers[:1]), x, KEY)
    total = run(stack, x, KEY)
    assert np.abs(total - 2 * lower).min() > 1e-6 and not run(stack, x, None).any()
    model = rx.SequenceModel(stack, 1, rngs=nnx.Rngs(0))
    assert not np.allclose(run(model, x, KEY), run(model, x, None))
    assert not np.allclose(run(model, x, KEY), run(model, x, jax.random.key(1)))


class HalvedLSTM(rx.LSTMCell):
    """Overrides the step alone, and says nothing of a structure."""

    def __call__(self, carry: Any, inputs: jax.Array) -> Any:
        (c, h), _ = super().__call__(carry, inputs)
        return (0.5 * c, h), 2 * h


class SaysDense(HalvedLSTM):
    structure = rx.Structure.DENSE


@pytest.mark.parametrize("backend", ["auto", "scan", "adjoint"])
def test_a_subclass_with_a_step_of_its_own_is_run_as_it_stands(backend):
    one = cell(HalvedLSTM)
    assert (one.structure, rx.LSTMCell.structure) == (rx.Structure.GENERAL, rx.Structure.DENSE)
    assert SaysDense.structure is rx.Structure.DENSE  # whoever says so is believed
    carry, ys = jit(lambda one: rx.RNN(one, backend=backend, return_carry=True)(xs()))(one)
    state = one.initialize_carry((B, D))
    for t in range(T):
        state, y = one(state, xs()[:, t])
        close(ys[:, t], y, "float32")
    close(carry, state, "float32")
    for refuses in ("newton", "pallas"):
        with pytest.raises(ValueError, match=r"got HalvedLSTM of Structure\.GENERAL; allowed"):
            rx.RNN(one, backend=refuses)(xs())


class FlaxDropout(nnx.SimpleCell):
    """Flax's way of recurrent dropout: a stream of keys of its own."""

    def __init__(self, *sizes: int, rngs: nnx.Rngs):
        super().__init__(*sizes, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rng_collection="recurrent_dropout", rngs=rngs)

    def __call__(self, carry: Any, inputs: jax.Array) -> Any:
        h, _ = super().__call__(carry, inputs)
        return h, self.drop(jnp.ones_like(h))  # the mask itself


def streams() -> nnx.Rngs:
    return nnx.Rngs(params=0, recurrent_dropout=1)


def stream(layer: Any) -> Any:
    return layer.cell.drop.rngs


def test_recurrent_dropout_of_a_flax_cell_draws_once_a_call():
    layer = rx.RNN(FlaxDropout(D, H, rngs=streams()), broadcast_rngs="recurrent_dropout")
    before, masks = int(stream(layer).count[...]), []
    for call in range(1, 4):
        ys = np.asarray(layer(xs()))
        assert int(stream(layer).count[...]) == before + call
        assert set(np.unique(ys)) == {0, 2}
        np.testing.assert_array_equal(ys, np.broadcast_to(ys[:, :1], ys.shape))  # one mask for all steps
        masks.append(ys[:, 0].tobytes())
    assert len(set(masks)) == 3  # another in every call


@pytest.mark.slow
def test_recurrent_dropout_inside_nnx_jit_and_grad():
    layer = rx.RNN(FlaxDropout(D, H, rngs=streams()), broadcast_rngs="recurrent_dropout", return_carry=True)

    @nnx.jit
    def run(layer: Any) -> Any:
        return layer(xs())

    (_, one), (_, two) = run(layer), run(layer)
    assert (one != two).any() and int(stream(layer).count[...]) == 2
    gradient = nnx.grad(lambda layer: layer(xs())[0].sum())(layer)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_without_broadcast_rngs_a_cell_with_a_stream_is_refused():
    layer = rx.RNN(FlaxDropout(D, H, rngs=streams()))
    with pytest.raises(ValueError, match=r"changes state of its own in a step.*broadcast_rngs='recurrent_dropout'"):
        layer(xs())
    layer.cell.drop.deterministic = True  # in evaluation nothing is drawn
    np.testing.assert_array_equal(layer(xs()), 1)


def test_a_filter_that_no_stream_passes_is_refused():
    """With one stream for everything its name is "default": a mask that is never new would be worse."""
    cell = FlaxDropout(D, H, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"broadcast_rngs='recurrent_dropout' is not a random stream.*allowed"):
        rx.RNN(cell, broadcast_rngs="recurrent_dropout")(xs())
    assert set(np.unique(rx.RNN(cell, broadcast_rngs=...)(xs()))) == {0, 2}
