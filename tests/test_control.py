"""Gradient control: clipping that counts, Pascanu's Omega, clipping inside the backward recurrence."""

import functools
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
from recurrax.cells import RNNCell
from recurrax.tasks import Adding

pytestmark = pytest.mark.usefixtures("quick")

D, H, T = 2, 3, 6


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, jnp.float64)


def rnn(**options: Any) -> RNNCell:
    return RNNCell(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0), **options)


def share(state: Any) -> float:
    fraction = training.clipped_fraction(state)
    assert fraction is not None
    return float(fraction)


def linear(a: jax.Array) -> jax.Array:
    return a


@pytest.mark.parametrize(
    "ours, theirs, limit",
    [(training.clip_by_norm, optax.clip_by_global_norm, 1.5), (training.clip_by_value, optax.clip, 0.6)],
)
def test_clipping_is_optax_s_and_counts(ours, theirs, limit):
    gradients = [{"a": jnp.array([s, -s / 2]), "b": jnp.array(0.1)} for s in (0.2, 3.0, 0.5, -2.0, np.nan)]
    state, expected = ours(limit).init(gradients[0]), theirs(limit).init(gradients[0])
    assert np.isnan(share(state))
    shares = []
    for gradient in gradients:
        actual, state = ours(limit).update(gradient, state)
        wanted, expected = theirs(limit).update(gradient, expected)
        jax.tree.map(np.testing.assert_array_equal, actual, wanted)
        shares.append(share(state))
    np.testing.assert_allclose(shares, [0, 1 / 2, 1 / 3, 2 / 4, 3 / 5], rtol=1e-6)


def test_the_share_is_found_anywhere_and_nowhere():
    chain = optax.chain(optax.scale(1.0), optax.chain(training.clip_by_norm(1.0), training.clip_by_value(9.0)))
    state = chain.init(jnp.zeros(2))
    _, state = chain.update(jnp.array([3.0, 4.0]), state)
    assert training.clipped_fraction(state) == 1
    both = training.sgd(1.0, clip_norm=1.0, clip_value=2.0)  # norm alone, value and norm, neither
    state = both.init(jnp.zeros(4))
    for gradient in (jnp.full(4, 0.9), jnp.array([3.0, 0, 0, 0]), jnp.full(4, 0.1)):
        _, state = both.update(gradient, state)
    np.testing.assert_allclose(share(state), 2 / 3, rtol=1e-6)
    assert training.clipped_fraction(optax.adam(1e-3).init(jnp.zeros(2))) is None
    for clip, name in ((training.clip_by_norm, "max_norm"), (training.clip_by_value, "max_value")):
        with pytest.raises(ValueError, match=rf"{name}=-1.0; allowed: a finite number > 0"):
            clip(-1.0)
    with pytest.raises(ValueError, match=r"clip_value=0; allowed: a finite number > 0"):
        training.sgd(1e-2, clip_value=0)


def test_adam_clips_nothing_unless_told_to():
    """Its first moment after one update is a tenth of the gradient that it saw."""
    gradient, optimizer = jnp.array([30.0, 40.0]), training.adam(1e-3)
    _, state = optimizer.update(gradient, optimizer.init(gradient))
    np.testing.assert_allclose(optax.tree_utils.tree_get(state, "mu"), [3.0, 4.0], rtol=1e-6)
    assert training.clipped_fraction(state) is None


@pytest.mark.slow
def test_every_run_of_a_fit_tells_its_share():
    """One norm that every gradient exceeds and one that none does, in one program, by SGD."""

    def build(key: jax.Array) -> rx.SequenceModel:
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.RNN(RNNCell(2, 4, rngs=rngs)), 1, rngs=rngs)

    plan = training.Plan(
        steps=3, batch_size=2, chunk=3, held_out=2, seeds=(0,), sweep={"clip_norm": (1e-9, 1e9)}, devices=1
    )
    history = training.fit(build, Adding(4), training.sgd, plan)
    np.testing.assert_array_equal(history.clipped, [1, 0])
    assert any(np.abs(leaf[0] - leaf[1]).max() > 1e-4 for leaf in jax.tree.leaves(history.run.model))  # it does clip
    plain = training.fit(build, Adding(4), optax.sgd(1e-2), training.Plan(**{**vars(plan), "sweep": {}}))
    assert np.isnan(plain.clipped).all()


@pytest.mark.parametrize("form, power", [pytest.param("norm", 1, marks=pytest.mark.slow), ("squared", 2)])
def test_omega_by_brute_force(x64, form, power):
    cell, carry, xs, w = (
        rx.LSTMCell(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0)),
        None,
        noise(T, D),
        noise(H, seed=1),
    )
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


@pytest.mark.slow
def test_omega_of_a_scaled_orthogonal_matrix_and_its_derivative(x64):
    """U = gamma Q: (gamma - 1)^2 and (gamma^2 - 1)^2 at every step; d/dU = the sum over steps of a closed form."""
    gamma = 0.25
    cell = rnn(activation_fn=linear, recurrent_kernel_init=rx.initializers.orthogonal(gamma))
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


@pytest.mark.slow
def test_omega_where_no_error_is_left():
    def forgets(s: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x, x  # the old state is not read

    terms = gradflow.omega(forgets, jnp.zeros(2), jnp.ones((3, 2)))
    np.testing.assert_array_equal(terms, [0, 0, 1])
    with pytest.raises(ValueError, match=r"form='l2'; allowed: 'norm', 'squared'"):
        gradflow.omega(forgets, jnp.zeros(2), jnp.ones((3, 2)), form="l2")


@pytest.mark.slow
def test_omega_differentiated_as_in_the_authors_code(x64):
    """Their J is diag(1 - h_t^2) W with h_t and the errors constant, and the mean is over steps."""
    cell, carry, xs = rnn(recurrent_kernel_init=rx.initializers.orthogonal(1.5)), noise(H), noise(T, D)
    W, U, b = cell.kernel[0].T, cell.recurrent_kernel[0].T, cell.bias[0]
    hs = [carry]
    for x in xs:
        hs.append(jnp.tanh(x @ W + hs[-1] @ U + b))
    gs = [jnp.ones(H)]
    for h in reversed(hs[1:]):
        gs.insert(0, (gs[0] * (1 - h**2)) @ U.T)

    def published(U: jax.Array) -> jax.Array:
        h, g = jnp.stack(hs[1:]), jnp.stack(gs[1:])
        before, after = (((g * (1 - h**2)) @ U.T) ** 2).sum(1), (g**2).sum(1)
        return ((before / after - 1) ** 2).mean()

    def ours(cell: Any) -> jax.Array:
        return gradflow.omega(cell, carry, xs, form="squared", immediate="weights").mean()

    value, slope = jax.jit(jax.value_and_grad(ours))(cell)
    wanted = jax.jit(jax.value_and_grad(published))(U)
    close((value, slope.recurrent_kernel[0].T), wanted)
    assert not slope.kernel[...].any() and not slope.bias[...].any()
    with pytest.raises(ValueError, match=r"immediate='weights' with .*; allowed: a Cell of .*DENSE"):
        gradflow.omega(lambda s, x: cell(s, x), carry, xs, immediate="weights")
    with pytest.raises(ValueError, match=r"immediate='all'; allowed: 'jacobian', 'weights'"):
        gradflow.omega(cell, carry, xs, immediate="all")


@pytest.mark.slow
@pytest.mark.parametrize("form, slope", [("norm", -2), ("squared", 0)])
def test_omega_shows_nan_and_survives_one_step_that_shrinks_by_more_than_a_square_can_hold(form, slope):
    def scaled(factor: jax.Array) -> jax.Array:
        def step(s: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return (s := s * factor * x), s

        return gradflow.omega(step, jnp.ones(2), xs, form=form)

    xs = jnp.ones((1, 1))
    np.testing.assert_allclose(jax.grad(lambda factor: scaled(factor)[0])(1e-25), slope, rtol=1e-5, atol=1e-20)
    xs = jnp.array([[1.0], [jnp.nan], [1.0]])
    np.testing.assert_array_equal(np.isnan(scaled(jnp.ones(()))), [True, True, False])


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2, "truncate_every": 4}])
def test_clipped_cotangents_are_those_of_the_loop_by_hand(x64, options):
    cell, carry, xs, w = rnn(recurrent_kernel_init=rx.initializers.orthogonal(3.0)), noise(H), noise(T, D), noise(T, H)
    limit = 0.5

    def by_hand() -> Any:
        W, U, b = cell.kernel[0].T, cell.recurrent_kernel[0].T, cell.bias[0]
        hs = [carry]
        for x in xs:
            hs.append(jnp.tanh(x @ W + hs[-1] @ U + b))
        dW, dU, db, dh = jnp.zeros_like(W), jnp.zeros_like(U), jnp.zeros_like(b), jnp.zeros(H)
        for t in reversed(range(T)):
            da = (dh + w[t]) * (1 - hs[t + 1] ** 2)
            dW, dU, db = dW + jnp.outer(xs[t], da), dU + jnp.outer(hs[t], da), db + da
            cut = "truncate_every" in options and t > 0 and t % options["truncate_every"] == 0
            dh = jnp.zeros(H) if cut else jnp.clip(U @ da, -limit, limit)
        return (dW.T[None], dU.T[None], db[None]), dh

    def loss(cell: Any, carry: Any, engine: Any) -> jax.Array:
        return jnp.sum(w * rx.unroll(cell, xs, carry, backend=engine)[1])

    run = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)
    d_cell, d_carry = run(cell, carry, rx.Scan(clip_cotangents=limit, **options))
    close(((d_cell.kernel[...], d_cell.recurrent_kernel[...], d_cell.bias[...]), d_carry), by_hand())
    if not options:
        close(run(cell, carry, rx.Scan(clip_cotangents=1e30)), run(cell, carry, rx.Scan()))


@pytest.mark.slow
@pytest.mark.parametrize("general", [False, True])
def test_steps_that_do_not_exist_clip_nothing_and_a_reset_clips(x64, general):
    """Gradients of the last carry: padding leaves them alone, and each way to the initial carry is clipped."""
    cell: Any = rnn(recurrent_kernel_init=rx.initializers.orthogonal(3.0))
    cell = rx.Foreign(cell) if general else cell
    xs, limit = noise(T, D), 0.5
    lengths, resets = jnp.array([T, 3]), jnp.zeros((T, 2), bool).at[2, 1].set(True)

    def loss(cell: Any, carry: Any, xs: Any, mask: Any, resets: Any) -> jax.Array:
        options: Any = {"mask": mask, "resets": resets, "backend": rx.Scan(clip_cotangents=limit)}
        return 50 * rx.unroll(cell, xs, carry, **options)[0].sum()

    run = jax.jit(jax.grad(loss, (0, 1)))
    mask = jnp.arange(T)[:, None] < lengths
    padded = run(cell, noise(2, H), jnp.where(mask[..., None], xs[:, None], jnp.nan), mask, resets)
    whole = [run(cell, noise(2, H)[i], xs[:n], None, resets[:n, i]) for i, n in enumerate((T, 3))]
    together = jax.tree.map(jnp.add, whole[0][0], whole[1][0])
    close(padded, (together, jnp.stack([carry for _, carry in whole])))
    np.testing.assert_allclose(jnp.abs(whole[1][1]).max(), limit)  # from the reset, and nothing from before it
    one = functools.partial(run, cell)
    over_batch = jax.jit(jax.vmap(lambda carry: one(carry, xs, None, resets[:, 0])))(noise(2, H))
    close(jax.tree.map(lambda leaf: leaf[0], over_batch), whole[0])


def test_only_the_floating_part_of_a_carry_is_clipped():
    """A counter has no gradient; a complex number is clipped in its real and imaginary part."""

    def step(carry: Any, x: jax.Array) -> Any:
        z, count = carry
        z = (3 + 4j) * z + x
        return (z, count + 1), z.real

    cell = rx.Foreign(step, initialize_carry=lambda shape: (jnp.zeros(shape, complex), jnp.zeros((), int)))
    carry = jnp.zeros(1, complex), jnp.zeros((), int)

    def last(z: jax.Array, engine: Any) -> jax.Array:
        return rx.unroll(cell, jnp.zeros((1, 1)), (z, carry[1]), backend=engine)[1].sum()

    np.testing.assert_allclose(jax.grad(last)(carry[0], rx.Scan()), 3 + 4j)
    np.testing.assert_allclose(jax.grad(last)(carry[0], rx.Scan(clip_cotangents=3.5)), 3 + 3.5j)


@pytest.mark.slow
def test_an_explosion_is_held_and_bad_limits_are_refused():
    cell = RNNCell(1, 1, activation_fn=linear, recurrent_kernel_init=lambda *_: jnp.full((1, 1), 2.0), rngs=nnx.Rngs(0))
    xs = jnp.zeros((2000, 1))

    def slope(carry: jax.Array, engine: Any) -> jax.Array:
        return jax.grad(lambda carry: rx.unroll(cell, xs, carry, backend=engine)[0].sum())(carry)

    assert slope(jnp.zeros(1), rx.Scan()) == np.inf
    assert slope(jnp.zeros(1), rx.Scan(clip_cotangents=4.0)) == 4
    for bad in (0, -1.0, float("nan"), True, "1"):
        with pytest.raises(ValueError, match=r"Scan got clip_cotangents=.*; allowed: a finite number > 0 or None"):
            rx.Scan(clip_cotangents=bad)  # type: ignore[arg-type]
    engine = rx.Scan(clip_cotangents=1.0)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda carry: rx.unroll(cell, xs, carry, backend=engine)[0], (jnp.ones(1),), (jnp.ones(1),))
