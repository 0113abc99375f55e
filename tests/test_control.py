"""Gradient control: clipping that counts, Pascanu's Omega, clipping inside the backward recurrence."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from tolerances import close

import recurrax as rx
from recurrax import gradflow, training
from recurrax.cells import RNN
from recurrax.tasks import Adding

D, H, T = 2, 3, 6


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, jnp.float64)


def rnn(**options: Any) -> RNN:
    return RNN(D, H, dtype=jnp.float64, rngs=nnx.Rngs(0), **options)


def linear(a: jax.Array) -> jax.Array:
    return a


@pytest.mark.parametrize(
    "ours, theirs, limit",
    [(training.clip_by_norm, optax.clip_by_global_norm, 1.5), (training.clip_by_value, optax.clip, 0.6)],
)
def test_clipping_is_optax_s_and_counts(ours, theirs, limit):
    gradients = [{"a": jnp.array([s, -s / 2]), "b": jnp.array(0.1)} for s in (0.2, 3.0, 0.5, -2.0, np.nan)]
    state, expected = ours(limit).init(gradients[0]), theirs(limit).init(gradients[0])
    assert np.isnan(training.clipped_fraction(state))
    shares = []
    for gradient in gradients:
        actual, state = ours(limit).update(gradient, state)
        wanted, expected = theirs(limit).update(gradient, expected)
        jax.tree.map(np.testing.assert_array_equal, actual, wanted)
        shares.append(float(training.clipped_fraction(state)))
    np.testing.assert_allclose(shares, [0, 1 / 2, 1 / 3, 2 / 4, 3 / 5], rtol=1e-6)


def test_the_share_is_found_anywhere_and_nowhere():
    chain = optax.chain(optax.scale(1.0), optax.chain(training.clip_by_norm(1.0), training.clip_by_value(9.0)))
    state = chain.init(jnp.zeros(2))
    _, state = chain.update(jnp.array([3.0, 4.0]), state)
    assert training.clipped_fraction(state) == 1
    assert training.clipped_fraction(optax.adam(1e-3).init(jnp.zeros(2))) is None
    with pytest.raises(ValueError, match=r"clip_value=0; allowed: a finite number > 0"):
        training.sgd(1e-2, clip_value=0)


def test_every_run_of_a_fit_tells_its_share():
    """One norm that every gradient exceeds and one that none does, in one program, by SGD."""

    def build(key: jax.Array) -> rx.SequenceModel:
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.RNN(RNN(2, 4, rngs=rngs)), 1, rngs=rngs)

    plan = training.Plan(
        steps=3, batch_size=2, chunk=3, held_out=2, seeds=(0,), sweep={"clip_norm": (1e-9, 1e9)}, devices=1
    )
    history = training.fit(build, Adding(4), training.sgd, plan)
    np.testing.assert_array_equal(history.clipped, [1, 0])
    assert any(np.abs(leaf[0] - leaf[1]).max() > 1e-4 for leaf in jax.tree.leaves(history.run.model))  # it does clip
    plain = training.fit(build, Adding(4), optax.sgd(1e-2), training.Plan(**{**vars(plan), "sweep": {}}))
    assert np.isnan(plain.clipped).all()


@pytest.mark.parametrize("form, power", [("norm", 1), ("squared", 2)])
def test_omega_by_brute_force(x64, form, power):
    cell, carry, xs, w = rx.LSTM(D, H, dtype=jnp.float64, rngs=nnx.Rngs(0)), None, noise(T, D), noise(H, seed=1)
    carry = cell.initialize_carry((D,))

    def loss(carry: Any, y: Any) -> jax.Array:
        return w @ y

    def terms_and_sum(cell: Any) -> tuple[jax.Array, jax.Array]:
        terms = gradflow.omega(cell, carry, xs, loss, form=form)
        return terms.sum(), terms

    gradient, actual = jax.jit(jax.grad(terms_and_sum, has_aux=True))(cell)
    step = lambda s, x: jnp.concatenate(cell((s[:H], s[H:]), x)[0])  # noqa: E731
    states = [jnp.concatenate(carry)]
    for x in xs:
        states.append(step(states[-1], x))
    g, errors = jnp.concatenate([jnp.zeros(H), w]), []
    Js = [jax.jacobian(step)(s, x) for s, x in zip(states[:-1], xs, strict=True)]
    for J in reversed(Js):
        errors.insert(0, g)
        g = J.T @ g
    terms = [((np.linalg.norm(J.T @ g) / np.linalg.norm(g)) ** power - 1) ** 2 for J, g in zip(Js, errors, strict=True)]
    close(actual, np.array(terms))

    def immediate(cell: Any) -> jax.Array:
        step = lambda s, x: jnp.concatenate(cell((s[:H], s[H:]), x)[0])  # noqa: E731
        total = jnp.zeros(())
        for s, x, g in zip(states[:-1], xs, errors, strict=True):
            before = jax.jacobian(step)(s, x).T @ g
            total += (jnp.linalg.norm(before) ** power / jnp.linalg.norm(g) ** power - 1) ** 2
        return total

    close(gradient, jax.jit(jax.grad(immediate))(cell))


def test_omega_of_a_scaled_orthogonal_matrix_and_its_derivative(x64):
    """U = gamma Q: (gamma - 1)^2 and (gamma^2 - 1)^2 at every step; d/dU = the sum over steps of a closed form."""
    gamma = 0.25
    cell = rnn(activation=linear, recurrent_kernel_init=rx.initializers.orthogonal(gamma))
    carry, xs = noise(H), noise(500, D)
    for form, term in (("norm", (gamma - 1) ** 2), ("squared", (gamma**2 - 1) ** 2)):
        np.testing.assert_allclose(gradflow.omega(cell, carry, xs, form=form), term, rtol=1e-9)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (cell, carry, xs))
    np.testing.assert_allclose(gradflow.omega(*single), (gamma - 1) ** 2, rtol=1e-4)  # a product of 1e-301
    slope = jax.grad(lambda cell: gradflow.omega(cell, carry, xs).mean())(cell)
    U, dU = cell.recurrent_kernel[0], slope.recurrent_kernel[0]
    # Along U itself, d/d ln gamma of (gamma - 1)^2; the input weights and biases of a linear cell have no part in J.
    np.testing.assert_allclose(jnp.sum(U * dU), 2 * (gamma - 1) * gamma, rtol=1e-9)
    assert not slope.kernel[...].any() and not slope.bias[...].any()


def test_omega_where_no_error_is_left():
    def forgets(s: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x, x  # the old state is not read

    terms = gradflow.omega(forgets, jnp.zeros(2), jnp.ones((3, 2)))
    np.testing.assert_array_equal(terms, [0, 0, 1])
    with pytest.raises(ValueError, match=r"form='l2'; allowed: 'norm', 'squared'"):
        gradflow.omega(forgets, jnp.zeros(2), jnp.ones((3, 2)), form="l2")


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2, "truncate_every": 4}])
def test_clipped_cotangents_are_those_of_the_loop_by_hand(x64, options):
    cell, carry, xs, w = rnn(recurrent_kernel_init=rx.initializers.orthogonal(3.0)), noise(H), noise(T, D), noise(T, H)
    limit = 0.5

    def by_hand() -> Any:
        W, U, b = cell.kernel[0], cell.recurrent_kernel[0], cell.bias[0]
        hs = [carry]
        for x in xs:
            hs.append(jnp.tanh(x @ W + hs[-1] @ U + b))
        dW, dU, db, dh = jnp.zeros_like(W), jnp.zeros_like(U), jnp.zeros_like(b), jnp.zeros(H)
        for t in reversed(range(T)):
            da = (dh + w[t]) * (1 - hs[t + 1] ** 2)
            dW, dU, db = dW + jnp.outer(xs[t], da), dU + jnp.outer(hs[t], da), db + da
            cut = "truncate_every" in options and t > 0 and t % options["truncate_every"] == 0
            dh = jnp.zeros(H) if cut else jnp.clip(U @ da, -limit, limit)
        return (dW[None], dU[None], db[None]), dh

    def loss(cell: Any, carry: Any, engine: Any) -> jax.Array:
        return jnp.sum(w * rx.unroll(cell, xs, carry, backend=engine)[1])

    run = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)
    d_cell, d_carry = run(cell, carry, rx.Scan(clip_cotangents=limit, **options))
    close(((d_cell.kernel[...], d_cell.recurrent_kernel[...], d_cell.bias[...]), d_carry), by_hand())
    if not options:
        close(run(cell, carry, rx.Scan(clip_cotangents=1e30)), run(cell, carry, rx.Scan()))


def test_an_explosion_is_held_and_bad_limits_are_refused():
    cell = RNN(1, 1, activation=linear, recurrent_kernel_init=lambda *_: jnp.full((1, 1), 2.0), rngs=nnx.Rngs(0))
    xs = jnp.zeros((2000, 1))

    def slope(carry: jax.Array, engine: Any) -> jax.Array:
        return jax.grad(lambda carry: rx.unroll(cell, xs, carry, backend=engine)[0].sum())(carry)

    assert slope(jnp.zeros(1), rx.Scan()) == np.inf
    assert slope(jnp.zeros(1), rx.Scan(clip_cotangents=4.0)) == 4
    for bad in (0, -1.0, float("nan"), True, "1"):
        with pytest.raises(ValueError, match=r"Scan got clip_cotangents=.*; allowed: a finite number > 0 or None"):
            rx.Scan(clip_cotangents=bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(
            lambda carry: rx.unroll(cell, xs, carry, backend=rx.Scan(clip_cotangents=1.0))[0], *2 * ((jnp.ones(1),),)
        )
