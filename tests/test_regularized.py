"""Zoneout, variational dropout and weight-drop against loops by hand, on every engine that runs them."""

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

B, KEY = 3, jax.random.key(7)
LENGTHS = np.array([2, T, 4])
WRAPPERS = {
    "zoneout": lambda cell: cells.Zoneout(cell, {cell.states[0]: 0.4, cell.states[-1]: 0.3}),
    "variational": lambda cell: cells.VariationalDropout(cell, 0.4),
    "weight-drop": lambda cell: cells.WeightDrop(cell, 0.4),
}
INSIDE = {"LSTM": rx.LSTMCell, "GRU": rx.GRUCell, "RNN": rx.RNNCell, "peephole": cells.PeepholeLSTMCell}
every_pair = pytest.mark.parametrize(("wrapper", "inside"), [(w, c) for w in WRAPPERS for c in INSIDE])


@functools.cache
def plain(inside: str) -> Any:
    return noise(INSIDE[inside](D, H, rngs=nnx.Rngs(0)), seed=1, around=1, scale=0.3)


def wrapped(wrapper: str, inside: str) -> Any:
    return WRAPPERS[wrapper](plain(inside))


@functools.cache
def xs() -> jax.Array:
    return noise(jax.ShapeDtypeStruct((B, T, D), jnp.float32), seed=2)


def tuple_of(carry: Any) -> tuple[Any, ...]:
    return carry if isinstance(carry, tuple) else (carry,)


@every_pair
def test_without_a_key_it_is_the_expectation_or_the_cell_itself(wrapper, inside):
    ys = rx.RNN(wrapped(wrapper, inside))(xs())
    if wrapper != "zoneout":
        np.testing.assert_array_equal(ys, rx.RNN(plain(inside))(xs()))
        return
    carry, cell = plain(inside).initialize_carry((B, D)), wrapped(wrapper, inside)
    for t in range(T):
        new, _ = plain(inside)(carry, xs()[:, t])
        mixed = [r * a + (1 - r) * b for r, a, b in zip(cell.rates, tuple_of(carry), tuple_of(new), strict=True)]
        carry = tuple(mixed) if isinstance(carry, tuple) else mixed[0]
        close(ys[:, t], mixed[-1], "float32")


@pytest.mark.parametrize("inside", INSIDE)
def test_zoneout_holds_units_at_their_rates_and_updates_the_others(inside):
    """Unit by unit a state is the old one or the new one, and the share of the old ones is the rate."""
    cell, held = wrapped("zoneout", inside), {n: [] for n in range(len(plain(inside).states))}
    prepared, features = cell.prepare(jnp.moveaxis(jnp.tile(xs(), (200, 1, 1)), 1, 0), KEY)
    carry = noise(cell.initialize_carry((200 * B, D)), seed=3)
    for x in features:
        inner = x[..., :D]
        new, _ = plain(inside)(carry, inner)
        after = prepared.update(carry, rx.cell.preactivations(prepared.project(x), prepared.mix(carry)))
        for n, (old, updated, now) in enumerate(zip(*map(tuple_of, (carry, new, after)), strict=True)):
            is_old, is_new = np.isclose(now, old, atol=1e-6), np.isclose(now, updated, atol=1e-6)
            assert np.all(is_old | is_new)
            held[n].append(np.mean(is_old & ~is_new))
        carry = after
    for n, rate in enumerate(cell.rates):
        assert abs(np.mean(held[n]) - rate) < 0.03


def test_variational_dropout_has_a_mask_for_each_sequence_and_all_of_its_steps():
    cell = wrapped("variational", "RNN")
    prepared, _ = cell.prepare(jnp.moveaxis(xs(), 1, 0), KEY)
    (mask,) = (m[...] for m in prepared.masks)
    assert mask.shape == (B, H) and set(np.unique(np.round(mask, 4))) <= {0.0, np.float32(round(1 / 0.6, 4))}
    ys, h, p = rx.RNN(cell)(xs(), dropout_key=KEY), jnp.zeros((B, H)), plain("RNN")
    for t in range(T):
        h = jnp.tanh(xs()[:, t] @ p.kernel[0].T + p.bias[0] + (mask * h) @ p.recurrent_kernel[0].T)
        close(ys[:, t], h, "float32")


def test_weight_drop_drops_the_same_weights_at_every_step():
    cell = wrapped("weight-drop", "RNN")
    prepared, _ = cell.prepare(jnp.moveaxis(xs(), 1, 0), KEY)
    U, dropped = plain("RNN").recurrent_kernel[0], prepared.cell.recurrent_kernel[0]
    kept = np.asarray(dropped != 0)
    assert 0 < kept.mean() < 1
    close(np.asarray(dropped)[kept], np.asarray(U / 0.6)[kept], "float32")
    ys, h, p = rx.RNN(cell)(xs(), dropout_key=KEY), jnp.zeros((B, H)), plain("RNN")
    for t in range(T):
        h = jnp.tanh(xs()[:, t] @ p.kernel[0].T + p.bias[0] + h @ dropped.T)
        close(ys[:, t], h, "float32")


@pytest.mark.parametrize(
    ("wrapper", "inside"),
    [("zoneout", "LSTM"), ("zoneout", "GRU"), ("weight-drop", "GRU"), ("variational", "LSTM")],
)
def test_engines_agree_with_a_key_lengths_and_gradients(wrapper, inside):
    def loss(cell: Any, backend: str) -> Any:
        ys = rx.RNN(cell, backend=backend)(xs(), dropout_key=KEY, seq_lengths=LENGTHS)
        return jnp.sum(ys**2), ys

    run = jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
    cell = wrapped(wrapper, inside)
    for backend in ["adjoint", *([] if wrapper == "variational" else ["newton", "pallas"])]:
        close(run(cell, backend), run(cell, "scan"), "float32")


@every_pair
def test_another_key_is_another_draw_and_the_same_one_the_same(wrapper, inside):
    layer = rx.RNN(wrapped(wrapper, inside))
    one, again, other = (layer(xs(), dropout_key=key) for key in (KEY, KEY, jax.random.key(8)))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cells.Zoneout(plain("GRU"), {"c": 0.1}), ValueError, "rates of c; allowed: h"),
        (lambda: cells.Zoneout(plain("GRU"), {"h": 1.0}), ValueError, r"rate of 1.0; allowed: a number in \[0, 1\)"),
        (lambda: cells.WeightDrop(cells.IndRNNCell(D, H, rngs=nnx.Rngs(0)), 0.1), ValueError, "no recurrent_kernel"),
        (lambda: cells.VariationalDropout(cells.LRUCell(D, H, rngs=nnx.Rngs(0)), 0.1), ValueError, "Structure.DENSE"),
        (lambda: cells.Zoneout(nnx.GRUCell(D, H, rngs=nnx.Rngs(0)), {"h": 0.1}), TypeError, "allowed: a recurrax cell"),
    ],
)  # fmt: skip
def test_what_cannot_be_wrapped_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
