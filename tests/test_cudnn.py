"""cuDNN's LSTM: where there is no GPU, with JAX's own reference of the kernel in its place."""

import functools
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental import rnn
from reference import BATCH, D, H, T, build, case, dot, jit, noise
from tolerances import close

import recurrax
from recurrax import LSTM, Bidirectional, Scan, Stack, unroll
from recurrax.engines import cudnn
from recurrax.engines.cudnn import Cudnn, bidirectional, pack, unpack

LENGTHS = np.array([[T, 3], [0, 1]])
SHAPE = jax.ShapeDtypeStruct((*BATCH, T, D), jnp.float32)
pytestmark = pytest.mark.usefixtures("exact")
no_gpu = pytest.mark.skipif(jax.default_backend() != "gpu", reason="no CUDA device: cuDNN cannot be run")


def reference(x: Any, h: Any, c: Any, weights: Any, lengths: Any, D: int, H: int, layers: int, *options: Any) -> Any:
    dropout, two_ways, _ = options
    matrices = rnn.unpack_lstm_weights(weights, D, H, layers, two_ways)
    return rnn.lstm_ref(x, h, c, *matrices, lengths, D, H, layers, dropout, two_ways)


@pytest.fixture(params=["reference", pytest.param("cudnn", marks=no_gpu)])
def kernel(request, monkeypatch):
    """The reference in place of the kernel, or the kernel; the calls of it."""
    calls, lstm = [], reference if request.param == "reference" else rnn.lstm
    monkeypatch.setattr(cudnn.rnn, "lstm", lambda *arguments: calls.append(arguments) or lstm(*arguments))
    monkeypatch.setattr(cudnn, "check_device", lambda: None)
    return calls


def first_order(run: Any, *primals: Any) -> Any:
    """Outputs and the gradients of a weighted sum of them."""
    shapes = jax.eval_shape(run, *primals)

    def weighted(*primals: Any) -> Any:
        out = run(*primals)
        return dot(noise(shapes, seed=3), out), out

    return jit(jax.grad(weighted, argnums=tuple(range(len(primals))), has_aux=True))(*primals)


def holes() -> np.ndarray:
    mask = np.ones((T, *BATCH), bool)
    mask[0, 0, 0] = mask[2:4, 0, 1] = mask[3:, 1, 0] = mask[:, 1, 1] = False
    return mask


@pytest.mark.parametrize("mask", [None, holes()], ids=["all", "holes"])
def test_values_and_gradients_are_those_of_scan(kernel, mask):
    one = case("LSTM", 1, jnp.float32)
    xs = one.xs if mask is None else jnp.where(mask[..., None], one.xs, np.nan)

    def run(engine: Any, cell: Any, carry: Any, xs: Any) -> Any:
        return unroll(cell, xs, carry, mask=mask, backend=engine)

    actual, expected = (first_order(functools.partial(run, e), one.cell, one.carry, xs) for e in (Cudnn(), Scan()))
    close(actual, expected, "float32")
    if mask is not None:
        (carry, ys), _ = actual[1], actual[0]
        np.testing.assert_array_equal(np.asarray(ys)[~mask], 0)
        jax.tree.map(lambda last, first: np.testing.assert_array_equal(last[1, 1], first[1, 1]), carry, one.carry)


def test_the_kernel_reads_and_writes_rows(monkeypatch):
    """XLA, told nothing, makes the transpose of the inputs a change of layout, which cuDNN does not see."""

    @jax.jit
    def kernel(arrays: Any, cotangents: Any = None) -> Any:
        x, h, c, _ = arrays
        return arrays if cotangents else (jnp.zeros((*x.shape[:-1], H)), h, c)

    lstm = jax.custom_vjp(lambda *a: kernel(a[:4]), nondiff_argnums=tuple(range(5, 11)))
    lstm.defvjp(lambda *a: (kernel(a[:4]), a[:4]), lambda *a: (*kernel(*a[-2:]), None))
    monkeypatch.setattr(cudnn.rnn, "lstm", lstm)
    monkeypatch.setattr(cudnn, "check_device", lambda: None)

    def total(*primals: Any) -> jax.Array:
        return sum(map(jnp.sum, jax.tree.leaves(unroll(*primals, backend=Cudnn()))))

    one = case("LSTM", 1, jnp.float32)
    equations = jax.make_jaxpr(jax.grad(total, argnums=(0, 1, 2)))(one.cell, one.xs, one.carry).eqns
    kernels = [equation for equation in equations if equation.params.get("name") == "kernel"]
    rows = [equation for equation in equations if equation.primitive.name == "layout_constraint"]
    assert len(kernels) == 2
    assert {row.params["layout"].major_to_minor for row in rows} == {(0, 1, 2), (0,)}
    for equation in kernels:
        assert set(equation.invars) <= {array for row in rows for array in row.outvars}
        assert set(equation.outvars) <= {array for row in rows for array in row.invars}


@pytest.mark.parametrize("keep_order", [True, False])
def test_a_layer_in_reverse_with_lengths(kernel, keep_order):
    cell, xs = build("LSTM", 0, jnp.float32), noise(SHAPE, seed=1)
    layers = [
        recurrax.RNN(cell, reverse=True, keep_order=keep_order, return_carry=True, backend=e) for e in (Cudnn(), "scan")
    ]
    close(*(layer(xs, seq_lengths=LENGTHS) for layer in layers), "float32")


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
def test_both_directions_in_one_call_are_the_layer(kernel, lengths):
    cells, xs = (build("LSTM", 0, jnp.float32), build("LSTM", 1, jnp.float32)), noise(SHAPE, seed=2)
    if lengths is not None:
        xs = jnp.where(np.arange(T)[:, None] < lengths[..., None, None], xs, np.nan)
    carry = noise(tuple(cell.initialize_carry((*BATCH, D)) for cell in cells), seed=4)

    def layer(cells: Any, carry: Any, xs: Any) -> Any:
        return Bidirectional(*map(recurrax.RNN, cells), return_carry=True)(xs, initial_carry=carry, seq_lengths=lengths)

    def one_call(cells: Any, carry: Any, xs: Any) -> Any:
        return bidirectional(*cells, xs, initial_carry=carry, seq_lengths=lengths)

    close(*(first_order(run, cells, carry, xs) for run in (one_call, layer)), "float32")
    assert {call[9] for call in kernel} == {True}


def test_both_directions_start_from_zero(kernel):
    cells, xs = (build("LSTM", 0, jnp.float32), build("LSTM", 1, jnp.float32)), noise(SHAPE, seed=2)
    layer = Bidirectional(*map(recurrax.RNN, cells), return_carry=True)
    close(bidirectional(*cells, xs), layer(xs), "float32")


@pytest.mark.parametrize("directions", [1, 2])
def test_packed_layers_are_a_stack_and_come_back(directions):
    inputs = [D] * directions + [directions * H] * directions
    cells = [noise(LSTM(size, H, rngs=nnx.Rngs(0)), seed, scale=0.5) for seed, size in enumerate(inputs)]
    weights = pack(cells)
    assert weights.shape == (rnn.get_num_params_in_lstm(D, H, 2, directions == 2),)
    close(unpack(weights, D, H, layers=2, directions=directions), cells, "float32")
    xs, zeros = noise(SHAPE, seed=9)[0], jnp.zeros((2 * directions, 2, H))
    ys, *_ = reference(xs, zeros, zeros, weights, jnp.full(2, T, jnp.int32), D, H, 2, 0.0, directions == 2, None)
    layers = [recurrax.RNN(cell) for cell in cells]
    if directions == 2:
        layers = [Bidirectional(*layers[:2]), Bidirectional(*layers[2:])]
    close(ys, Stack(layers)(xs), "float32")


def test_unpack_adds_the_two_biases():
    weights = noise(jax.ShapeDtypeStruct((rnn.get_num_params_in_lstm(D, H, 1, False),), jnp.float32), seed=0)
    (cell,) = unpack(weights, D, H)
    b = weights[-8 * H :].reshape(2, 4, H).sum(0)
    close(cell.bias[...], b[jnp.array([1, 0, 2, 3])], "float32")


def test_tf32_only_if_asked(kernel):
    cell, xs = build("LSTM", 0, jnp.float32), jnp.zeros((T, D))
    for engine in (Cudnn(), Cudnn(allow_tf32=True)):
        unroll(cell, xs, backend=engine)
    assert [rnn._lstm_cudnn_allow_tf32(call[10]) for call in kernel] == [False, True]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (recurrax.GRU(D, H, rngs=nnx.Rngs(0)), "GRU; allowed: recurrax.LSTM"),
        (LSTM(D, H, activation=jax.nn.relu, rngs=nnx.Rngs(0)), "relu.*allowed: jnp.tanh"),
        (LSTM(D, H, gate=jax.nn.hard_sigmoid, rngs=nnx.Rngs(0)), "hard_sigmoid.*allowed: jnp.tanh"),
        (LSTM(D, H, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)), "bfloat16; allowed: float32"),
    ],
    ids=["cell", "activation", "gate", "dtype"],
)
def test_cells_that_cudnn_does_not_run_are_refused(kernel, cell, words):
    with pytest.raises(ValueError, match=words):
        unroll(cell, jnp.zeros((T, D), cell.dtype), backend=Cudnn())
    with pytest.raises(ValueError, match=words):
        pack([cell])


def test_what_else_is_refused(kernel):
    cell, xs = LSTM(D, H, rngs=nnx.Rngs(0)), jnp.zeros((T, D))
    with pytest.raises(ValueError, match="resets; allowed"):
        unroll(cell, xs, resets=np.zeros(T, bool), backend=Cudnn())
    with pytest.raises(ValueError, match="allowed: one size"):
        pack([cell, LSTM(H, H + 1, rngs=nnx.Rngs(0))])
    with pytest.raises(ValueError, match="allowed: one size"):
        pack([])
    with pytest.raises(ValueError, match=r"allowed: \(144,\)"):
        unpack(jnp.zeros(5), D, H)


def test_a_machine_without_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(platform="cpu")])
    with pytest.raises(ValueError, match=r"found a cpu; allowed: a CUDA device.*auto"):
        unroll(LSTM(D, H, rngs=nnx.Rngs(0)), jnp.zeros((T, D)), backend=Cudnn())
