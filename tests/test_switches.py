"""What users switch on in JAX: explicit meshes, `shard_map`, sizes left open, no promotion of ranks."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import recurrax as rx
from recurrax import cells

B, T, D, H = 8, 5, 3, 4
LENGTHS = np.array([1, 5, 0, 3, 5, 2, 4, 5])
SOME = {
    "RNN": cells.RNNCell,
    "LSTM": cells.LSTMCell,
    "GRU": cells.GRUCell,
    "LRU": cells.LRUCell,
    "Hochreiter1997": cells.Hochreiter1997Cell,
    "GRU-reset-before": functools.partial(cells.GRUCell, reset_after=False),
    "Flax's LSTM": nnx.LSTMCell,
}


@functools.cache
def layer(name: str, backend: str = "auto", **options: Any) -> rx.RNN:
    return rx.RNN(SOME[name](D, H, rngs=nnx.Rngs(0), **options), backend=backend)


def inputs(*batch: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (*batch, T, D))


def loss(layer: rx.RNN, xs: jax.Array, **flags: Any) -> jax.Array:
    return jnp.sum(layer(xs, **flags) ** 2)


def same(actual: Any, expected: Any) -> None:
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-5), actual, expected)


@pytest.fixture
def mesh():
    if jax.device_count() < 8:
        pytest.skip(f"{jax.device_count()} devices, 8 are needed")
    return jax.make_mesh((4, 2), ("data", "more"), axis_types=(jax.sharding.AxisType.Explicit,) * 2)


PAIRS = [("LSTM", "auto"), ("LSTM", "scan"), ("GRU", "auto")]
PAIRS += [
    pytest.param(*pair, marks=pytest.mark.slow)
    for pair in (
        *((name, "auto") for name in SOME if name not in ("LSTM", "GRU")),
        ("LRU", "associative"),
        ("GRU", "newton"),
    )
]


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_inputs_on_an_explicit_mesh_give_outputs_that_lie_there(mesh, name, backend):
    one, xs = layer(name, backend), inputs(B)
    sharded = jax.device_put(xs, NamedSharding(mesh, P("data")))
    ys = jax.jit(one)(sharded)
    assert ys.sharding.spec[0] == "data"
    same(ys, one(xs))
    same(jax.jit(jax.grad(loss))(one, sharded), jax.grad(loss)(one, xs))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LSTM", pytest.param("LRU", marks=pytest.mark.slow)])
def test_eagerly_and_under_set_mesh_too(mesh, name):
    one, xs = layer(name), inputs(B)
    sharded = jax.device_put(xs, NamedSharding(mesh, P("data")))
    same(one(sharded), one(xs))
    with jax.set_mesh(mesh):
        same(jax.jit(one)(sharded), one(xs))
        same(jax.jit(jax.grad(loss))(one, sharded), jax.grad(loss)(one, xs))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["auto", "scan"])
def test_several_batch_axes_lengths_and_a_carry_on_a_mesh(mesh, backend):
    one, xs = layer("LSTM", backend), inputs(4, 2)
    lengths = LENGTHS.reshape(4, 2)
    carry = jax.tree.map(lambda c: c + 0.5, one.cell.initialize_carry((4, 2, D)))
    place = functools.partial(jax.device_put, device=NamedSharding(mesh, P("data", "more")))

    def run(one: rx.RNN, xs: jax.Array, lengths: Any, carry: Any) -> Any:
        return jax.value_and_grad(loss)(one, xs, seq_lengths=lengths, initial_carry=carry)

    expected = run(one, xs, lengths, carry)
    same(jax.jit(run)(one, place(xs), lengths, carry), expected)
    same(jax.jit(run)(one, place(xs), place(lengths), jax.tree.map(place, carry)), expected)
    both = jax.device_put(inputs(B), NamedSharding(mesh, P(("data", "more"))))
    same(jax.jit(one)(both, seq_lengths=LENGTHS), one(inputs(B), seq_lengths=LENGTHS))


@pytest.mark.slow
def test_both_directions_and_a_model_on_a_mesh(mesh):
    rngs = nnx.Rngs(0)
    stack = rx.LSTM(D, H, 2, bidirectional=True, rngs=rngs)
    model = rx.SequenceModel(stack, 2, read="last", rngs=rngs)
    sharded = jax.device_put(inputs(B), NamedSharding(mesh, P("data")))
    same(jax.jit(model)(sharded, seq_lengths=LENGTHS), model(inputs(B), seq_lengths=LENGTHS))


def test_an_engine_that_cannot_run_on_a_mesh_says_so(mesh):
    sharded = jax.device_put(inputs(B), NamedSharding(mesh, P("data")))
    with pytest.raises(ValueError, match=r"Pallas got inputs on explicit axes.*allowed: .*shard_map, or use Adjoint"):
        layer("LSTM", "pallas")(sharded)


@pytest.mark.parametrize(("name", "backend"), [*PAIRS, pytest.param("LSTM", "pallas", marks=pytest.mark.slow)])
def test_each_device_its_share_of_the_batch(mesh, name, backend):
    """The others than "auto" and "scan" only where JAX does not check what varies: the gradient is then a share's."""
    one, xs, checked = layer(name, backend), inputs(B), backend in ("auto", "scan")

    def run(one: rx.RNN, xs: jax.Array) -> Any:
        value, gradient = jax.value_and_grad(loss)(one, xs)
        return jax.lax.psum(value, "data"), gradient if checked else jax.lax.psum(gradient, "data"), one(xs)

    del mesh  # asked for so that the test skips where there are too few devices; this one is of Auto axes
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def mapped(check: bool) -> Any:
        return jax.jit(
            jax.shard_map(run, mesh=mesh, in_specs=(P(), P("data")), out_specs=(P(), P(), P("data")), check_vma=check)
        )(one, xs)

    expected, gradient = jax.value_and_grad(loss)(one, xs)
    same(mapped(checked), (expected, gradient, one(xs)))
    if not checked:
        with pytest.raises(ValueError, match=r"got inputs that vary over the mesh axes.*allowed: .*check_vma=False"):
            mapped(True)


def open_sizes(shape: str) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(export.symbolic_shape(shape), jnp.float32)


@pytest.mark.parametrize(
    "shape", ["b, t, 3", *(pytest.param(s, marks=pytest.mark.slow) for s in ("b, 5, 3", "8, t, 3", "b, c, t, 3"))]
)
@pytest.mark.parametrize(("name", "backend"), [("LSTM", "scan"), ("LSTM", "auto"), ("GRU", "auto"), ("LRU", "auto")])
def test_export_leaves_batch_and_time_open(name, backend, shape):
    one = layer(name, backend)
    exported = export.export(jax.jit(one.__call__))(open_sizes(shape))
    xs = inputs(*(B, 2)[: shape.count(",") - 1])
    same(exported.call(xs), one(xs))


def test_export_of_a_model_with_lengths():
    rngs = nnx.Rngs(0)
    model = rx.SequenceModel(rx.LSTM(D, H, 2, bidirectional=True, rngs=rngs), 2, read="last", rngs=rngs)
    xs, lengths = open_sizes("b, t, 3"), jax.ShapeDtypeStruct(export.symbolic_shape("b"), jnp.int32)
    scope = xs.shape[0].scope
    lengths = jax.ShapeDtypeStruct(export.symbolic_shape("b", scope=scope), jnp.int32)
    exported = export.export(jax.jit(lambda xs, lengths: model(xs, seq_lengths=lengths)))(xs, lengths)
    same(exported.call(inputs(B), jnp.asarray(LENGTHS, jnp.int32)), model(inputs(B), seq_lengths=LENGTHS))


@pytest.mark.parametrize(("name", "backend"), [("LSTM", "adjoint"), ("LSTM", "newton"), ("LRU", "associative")])
def test_engines_that_need_known_sizes_say_so(name, backend):
    one = layer(name, backend)
    with pytest.raises(ValueError, match=r"got inputs of shape .*allowed: known sizes. Use backend='auto' or 'scan'"):
        export.export(jax.jit(one.__call__))(open_sizes("b, t, 3"))


@pytest.mark.parametrize("model", ["stack", "both directions", "tokens"])
def test_layers_promote_no_rank_either(model):
    rngs = nnx.Rngs(0)
    layers = {
        "stack": lambda: rx.Stack([layer("GRU"), rx.RNN(rx.GRUCell(H, H, rngs=rngs))], residual=True),
        "both directions": lambda: rx.GRU(D, H, bidirectional=True, rngs=rngs),
        "tokens": lambda: rx.LSTM(D, H, rngs=rngs),
    }
    one = layers[model]()
    xs = jnp.array([[1, 2, 0, 1, 2]] * B) if model == "tokens" else inputs(B)
    for read in ("every", "last"):
        whole = rx.SequenceModel(one, 2, read=read, vocabulary=3 if model == "tokens" else None, rngs=rngs)
        with jax.numpy_rank_promotion("raise"):
            assert np.isfinite(whole(xs, seq_lengths=LENGTHS)).all()
