"""LSTMs with a gate less: initialisation, closed forms; and the truncated gradient of 1997 against loops by hand.

Their equations are tested in test_cells.py, and what engines need of them in the contract.
"""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import build, case, dot, jit, noise, pick
from tolerances import close

import recurrax as rx
from recurrax import cells, gradflow
from recurrax.cells import TruncatedGradient
from recurrax.cells.ablated import AblatedLSTM
from recurrax.initializers import Chrono, normal, zeros

D, H = 2, 3
WITH_FORGET_GATE = (cells.NoInputGateCell, cells.NoOutputGateCell, cells.CIFGCell)


def biases(kind: Any, **options: Any) -> dict[str, Any]:
    """b of each gate, by name."""
    cell = jit(lambda: kind(D, 16, recurrent_kernel_init=zeros, rngs=nnx.Rngs(0), **options))()
    return dict(zip(kind.Gates._fields, np.asarray(cell.bias[...]), strict=True))


@pytest.mark.parametrize("kind", WITH_FORGET_GATE)
def test_forget_bias_is_that_of_the_forget_gate_alone(kind):
    for options, expected in ({}, 1), ({"forget_bias": -2.5}, -2.5):  # 1 is the default
        b = biases(kind, **options)
        values = {name: set(array.tolist()) for name, array in b.items()}
        assert values == {name: {expected if name == "f" else 0} for name in b}


@pytest.mark.parametrize("kind", WITH_FORGET_GATE)
def test_chrono_sets_the_input_gate_only_where_there_is_one(kind):
    b = biases(kind, forget_bias=Chrono(50))
    assert len(np.unique(b["f"])) == 16 and 0 <= b["f"].min() and b["f"].max() <= np.log(49) + 1e-6
    others = {name: array for name, array in b.items() if name != "f"}
    if kind is cells.NoOutputGateCell:
        np.testing.assert_array_equal(others.pop("i"), -b["f"])
    np.testing.assert_array_equal(list(others.values()), 0)


def test_forget_bias_may_be_swept_in_one_program():
    def start(forget_bias: Any) -> Any:
        return cells.CIFGCell(D, H, forget_bias=forget_bias, recurrent_kernel_init=zeros, rngs=nnx.Rngs(0))

    swept = jit(jax.vmap(start))(jnp.array([0.0, 2.0]))
    np.testing.assert_array_equal(swept.bias[:, 0], [[0] * H, [2] * H])


def test_without_forget_gate_there_is_no_forget_bias():
    assert "forget_bias" not in inspect.signature(cells.NoForgetGateCell).parameters
    drawn = biases(cells.NoForgetGateCell, bias_init=normal(1.0))
    assert len(np.unique(list(drawn.values()))) == 3 * 16  # no gate's bias is replaced
    with pytest.raises(TypeError, match="abstract"):
        AblatedLSTM(D, H, rngs=nnx.Rngs(0))  # type: ignore[abstract]


def cell_state_gradients(cell: Any, carry: Any, xs: jax.Array) -> jax.Array:
    return gradflow.state_gradients(cell, carry, xs, lambda carry, _: jnp.sum(carry[0]))


def test_without_recurrent_weights_the_cell_state_decays_by_f_alone(x64):
    """0 nats per step where f = 1, ln f where the gate is constant."""
    carry, xs = noise((jax.ShapeDtypeStruct((H,), jnp.float64),) * 2, seed=1), jnp.zeros((6, D))

    @jit
    def measure() -> Any:
        options: dict[str, Any] = {"recurrent_kernel_init": zeros, "param_dtype": jnp.float64, "rngs": nnx.Rngs(0)}
        forgetful = [kind(D, H, forget_bias=0.7, **options) for kind in WITH_FORGET_GATE]
        return [cell_state_gradients(cell, carry, xs) for cell in (cells.NoForgetGateCell(D, H, **options), *forgetful)]

    carousel, *forgetful = (np.diff(log_norms) for log_norms in measure())
    np.testing.assert_allclose(carousel, 0, atol=1e-12)
    np.testing.assert_allclose(forgetful, np.log1p(np.exp(-0.7)), atol=1e-12)


def lstm_step(cell: Any, carry: Any, x: jax.Array) -> Any:
    W_f, W_i, W_c, W_o = jnp.swapaxes(cell.kernel[...], 1, 2)
    U_f, U_i, U_c, U_o = jnp.swapaxes(cell.recurrent_kernel[...], 1, 2)
    b_f, b_i, b_c, b_o = cell.bias
    C, h = carry
    past = jax.lax.stop_gradient(h)
    C = jax.nn.sigmoid(x @ W_f + past @ U_f + b_f) * C
    C += jax.nn.sigmoid(x @ W_i + past @ U_i + b_i) * jnp.tanh(x @ W_c + past @ U_c + b_c)
    h = jax.nn.sigmoid(x @ W_o + past @ U_o + b_o) * jnp.tanh(C)
    return (C, h), h


def gru_step(cell: Any, h: jax.Array, x: jax.Array) -> Any:
    W_r, W_z, W_n = jnp.swapaxes(cell.kernel[...], 1, 2)
    U_r, U_z, U_n = jnp.swapaxes(cell.recurrent_kernel[...], 1, 2)
    b_r, b_z, b_n = cell.bias
    past = jax.lax.stop_gradient(h)
    r, z = jax.nn.sigmoid(x @ W_r + past @ U_r + b_r), jax.nn.sigmoid(x @ W_z + past @ U_z + b_z)
    n = jnp.tanh(x @ W_n + b_n + r * (past @ U_n + cell.recurrent_bias))
    h = (1 - z) * n + z * h
    return h, h


STEPS = {"LSTM": lstm_step, "GRU": gru_step}


def outputs_by_hand(step: Any, cell: Any, carry: Any, xs: jax.Array) -> Any:
    ys = []
    for x in xs:
        carry, y = step(cell, carry, x)
        ys.append(y)
    return carry, jnp.stack(ys)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_truncated_gradients_are_those_of_the_loop_by_hand(name, x64):
    """With both engines, in an ensemble of two."""
    one, two = case(name, seed=1), case(name, seed=2)
    runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), one, two)
    ways = [
        functools.partial(outputs_by_hand, STEPS[name]),
        lambda cell, carry, xs: rx.unroll(cell, xs, carry),
        *(
            lambda cell, carry, xs, backend=backend: rx.unroll(TruncatedGradient(cell), xs, carry, backend=backend)
            for backend in ("scan", "adjoint")
        ),
    ]

    def weighted(run: Any, *primals: Any) -> Any:
        out = run(*primals)
        return dot(out, noise(out, seed=3)), out

    @jit
    @jax.vmap
    def gradients(*primals: Any) -> Any:
        return [jax.grad(functools.partial(weighted, run), (0, 1, 2), has_aux=True)(*primals) for run in ways]

    by_hand, (full, values), scan, adjoint = gradients(*runs)
    close(scan, by_hand)
    close(adjoint, by_hand)
    close(values, by_hand[1])  # truncation changes no value
    assert not np.allclose(full[0].recurrent_kernel[...], by_hand[0][0].recurrent_kernel[...], rtol=0.01)


def test_the_error_carousel_of_1997_keeps_the_gradient_for_ever(x64):
    inside, carry, xs = case("NoForgetGate", seed=3)
    args = pick(carry, (0, 0)), xs[:, 0, 0]
    log_norms, full = jit(lambda *cells: [cell_state_gradients(cell, *args) for cell in cells])(
        TruncatedGradient(inside), inside
    )
    assert gradflow.slope(log_norms) == 0
    np.testing.assert_array_equal(log_norms, log_norms[-1])
    assert np.abs(np.diff(full)).min() > 1e-3  # the recurrent weights would change it


def test_no_gradient_crosses_a_step_of_a_truncated_rnn(x64):
    inside, carry, xs = case("RNN", seed=1)
    cell, carry, xs = TruncatedGradient(inside), pick(carry, (0, 0)), xs[:, 0, 0]
    log_norms = jit(gradflow.state_gradients)(cell, carry, xs)
    assert np.isfinite(log_norms[-1]) and (log_norms[:-1] == -np.inf).all()


@pytest.mark.slow
def test_layers_and_diagnostics_see_the_cell_inside():
    inside = build("LSTM", seed=1, dtype=jnp.float32)
    cell, xs = TruncatedGradient(inside), jnp.ones((2, 4, inside.in_features))

    def run(one: Any) -> Any:
        model = rx.SequenceModel(rx.RNN(one, learn_initial_carry=True), 1, rngs=nnx.Rngs(0))
        ys = model(xs, seq_lengths=jnp.array([4, 2]), resets=jnp.arange(8).reshape(2, 4) == 1)
        carry = one.initialize_carry(xs.shape[-1:], nnx.Rngs(carry=0), normal(1.0))
        return ys, carry, gradflow.gate_activations(one, carry, xs[0])

    actual, expected = jit(lambda: (run(cell), run(inside)))()
    close(actual, expected, "float32")
    for name in ("in_features", "hidden_features", "states", "dtype"):
        assert getattr(cell, name) == getattr(inside, name)
    with pytest.raises(TypeError, match="TruncatedGradient has no method gates"):
        gradflow.gate_activations(TruncatedGradient(build("RNN", seed=1, dtype=jnp.float32)), None, xs[0])


@pytest.mark.slow
def test_the_dtype_of_the_computation_and_the_drawn_carry_are_those_of_the_cell_inside():
    inside = rx.LSTMCell(D, H, dtype=jnp.bfloat16, carry_init=jax.nn.initializers.normal(), rngs=nnx.Rngs(0))
    xs = jnp.ones((2, 4, D))
    outs = [rx.RNN(cell)(xs, rngs=nnx.Rngs(carry=1)) for cell in (inside, TruncatedGradient(inside))]
    assert {ys.dtype for ys in outs} == {jnp.dtype(jnp.bfloat16)}
    np.testing.assert_array_equal(*outs)


def test_what_cannot_be_truncated_is_refused():
    two_products, theirs = jax.eval_shape(
        lambda: (rx.GRUCell(D, H, reset_after=False, rngs=nnx.Rngs(0)), nnx.LSTMCell(D, H, rngs=nnx.Rngs(0)))
    )
    with pytest.raises(
        ValueError, match=r"got GRUCell of Structure.GENERAL; allowed: Structure.DENSE.*reset_after=True"
    ):
        TruncatedGradient(two_products)
    with pytest.raises(TypeError, match=r"got a LSTMCell; allowed: a recurrax cell of .*Use e.g. recurrax.LSTMCell"):
        TruncatedGradient(theirs)
