"""Bad input: each message names the value, what is allowed, and the way out."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import H, T, jit

from recurrax import RNN, Bidirectional, Foreign, GRUCell, LSTMCell, Scan, SequenceModel, Stack, cells, unroll

B, D = 2, 3


@functools.cache
def lstm() -> LSTMCell:
    return jit(lambda: LSTMCell(D, H, rngs=nnx.Rngs(0)))()


@functools.cache
def gru() -> GRUCell:
    return jit(lambda: GRUCell(D, H, rngs=nnx.Rngs(0)))()


def xs(*shape: int, dtype: Any = jnp.float32) -> jax.Array:
    return jnp.zeros(shape or (T, B, D), dtype)


def layer(**options: Any) -> Any:
    """The layer on zeros, batch-major."""
    return RNN(lstm())(xs(B, T, D), **options)


def model(cell: Any = None, **options: Any) -> SequenceModel:
    return SequenceModel(RNN(cell or lstm()), 2, **options, rngs=nnx.Rngs(0))


def carry(*shape: int, dtype: Any = jnp.float32) -> tuple[jax.Array, jax.Array]:
    return jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)


# name: (call, exception, the value, what is allowed, the way out)
BAD: dict[str, tuple[Any, type[Exception], str, str, str]] = {
    "features": (lambda: unroll(lstm(), xs(T, B, 5)), ValueError, "(6, 2, 5)", "in_features=3", "reshape"),
    "features of a layer": (lambda: RNN(lstm())(xs(B, T, 5)), ValueError, "(2, 6, 5)", "in_features=3", "reshape"),
    "rank": (lambda: unroll(gru(), xs(D)), ValueError, "(3,)", "a time axis", "inputs[..., None]"),
    "rank of a layer": (lambda: RNN(gru())(xs(D)), ValueError, "(3,)", "a time axis", "inputs[..., None]"),
    "complex inputs": (
        lambda: unroll(gru(), xs(dtype=complex)),
        TypeError,
        "complex64",
        "real numbers",
        "jnp.concatenate([xs.real, xs.imag], -1)",
    ),
    "complex inputs of a layer": (
        lambda: RNN(lstm())(xs(dtype=complex)),
        TypeError,
        "complex64",
        "real numbers",
        "imaginary part as features",
    ),
    "no steps": (lambda: unroll(gru(), xs(0, B, D)), ValueError, "(0, 2, 3)", "T >= 1", "Leave"),
    "no sequences": (lambda: layer_of(xs(0, T, D)), ValueError, "(0, 6, 3)", "batch axes >= 1", "Leave"),
    "no sequences, lengths": (
        lambda: RNN(gru())(xs(0, T, D), seq_lengths=np.zeros(0, int)),
        ValueError,
        "(0, 6, 3)",
        "batch axes >= 1",
        "Leave",
    ),
    "structure of the carry": (
        lambda: unroll(lstm(), xs(), jnp.zeros((B, H))),
        TypeError,
        "PyTreeDef(*)",
        "c before h",
        "cell.initialize_carry((2, 3))",
    ),
    "order of a GRU's carry": (
        lambda: unroll(gru(), xs(), carry(B, H)),
        TypeError,
        "PyTreeDef((*, *))",
        "PyTreeDef(*)",
        "cell.initialize_carry",
    ),
    "batch of the carry": (
        lambda: layer(initial_carry=carry(B + 1, H)),
        ValueError,
        "(3, 4)",
        "(2, 4)",
        "cell.initialize_carry",
    ),
    "size of the carry": (
        lambda: unroll(lstm(), xs(), carry(B, 9)),
        ValueError,
        "(2, 9)",
        "(2, 4)",
        "initialize_carry",
    ),
    "dtype of the carry": (
        lambda: layer(initial_carry=carry(B, H, dtype=jnp.complex64)),
        TypeError,
        "complex64",
        "float32",
        "cell.initialize_carry",
    ),
    "negative length": (lambda: layer(seq_lengths=np.array([-1, 2])), ValueError, "from -1", "0 to T = 6", "Clip"),
    "length beyond T": (lambda: layer(seq_lengths=jnp.array([1, 7])), ValueError, "to 7", "0 to T = 6", "which axis"),
    "float lengths": (
        lambda: layer(seq_lengths=np.ones(B, np.float32)),
        TypeError,
        "float32",
        "integers",
        "astype(int)",
    ),
    "bool lengths": (lambda: layer(seq_lengths=np.ones(B, bool)), TypeError, "bool", "integers", "astype(int)"),
    "shape of lengths": (lambda: layer(seq_lengths=np.ones((B, 1), int)), ValueError, "(2, 1)", "(2,)", "Reshape"),
    "lengths and mask": (
        lambda: layer(seq_lengths=np.ones(B, int), mask=np.ones((B, T), bool)),
        ValueError,
        "seq_lengths and mask",
        "one of them",
        "Drop one",
    ),
    "int mask": (lambda: layer(mask=np.ones((B, T), np.int32)), TypeError, "int32", "bool", "mask.astype(bool)"),
    "shape of the mask": (lambda: layer(mask=np.ones((T, B), bool)), ValueError, "(6, 2)", "(2, 6)", "Broadcast"),
    "float resets": (lambda: layer(resets=np.ones((B, T), "f")), TypeError, "float32", "bool", "resets.astype(bool)"),
    "shape of resets": (
        lambda: unroll(gru(), xs(), resets=np.ones(T, bool)),
        ValueError,
        "(6,)",
        "(6, 2)",
        "Broadcast",
    ),
    "a flag for all": (lambda: layer(mask=True), ValueError, "()", "(2, 6)", "Broadcast"),
    "backend": (lambda: unroll(gru(), xs(), backend="cuda"), ValueError, "'cuda'", "'adjoint'", "Use 'auto'"),
    "backend of a layer": (lambda: RNN(gru(), backend="sacn"), ValueError, "'sacn'", "'scan'", "Use 'auto'"),
    "backend that is a class": (lambda: RNN(gru(), backend=Scan), ValueError, "Scan", "'scan'", "Scan(checkpoint"),
    "unroll": (lambda: Scan(unroll=0), ValueError, "unroll=0", "an int >= 1", "unroll=1"),
    "checkpoint_every": (
        lambda: Scan(checkpoint_every=2.5),
        ValueError,
        "checkpoint_every=2.5",
        "'log', None",
        "leave it out",
    ),
    "truncate_every": (lambda: Scan(truncate_every=-1), ValueError, "truncate_every=-1", "or None", "leave it out"),
    "unroll None": (lambda: Scan(unroll=None), ValueError, "unroll=None", "an int >= 1", "unroll=1"),
    "sizes for the layer": (
        lambda: RNN(2, 32, rngs=nnx.Rngs(0)),
        TypeError,
        "cell=2",
        "a recurrax cell",
        "rx.SimpleRNN(2, 32, rngs=rngs)",
    ),
    "state_axes": (
        lambda: RNN(gru(), state_axes={"carry": 0}),
        ValueError,
        "state_axes={'carry': 0}",
        "None",
        "use nnx.RNN",
    ),
    "keys for a layer": (
        lambda: RNN(gru(), rngs=nnx.Rngs(0)),
        ValueError,
        "RNN got rngs",
        "None",
        "layer(inputs, rngs=nnx.Rngs(carry=0))",
    ),
    "keys for both directions": (
        lambda: Bidirectional(RNN(lstm()), RNN(gru()), rngs=nnx.Rngs(0)),
        ValueError,
        "Bidirectional got rngs",
        "None",
        "layer(inputs, rngs=nnx.Rngs(carry=0))",
    ),
    "unroll beside an engine": (
        lambda: RNN(gru(), backend=Scan(), unroll=2),
        ValueError,
        "unroll=2 beside backend=Scan(",
        "'auto', 'adjoint' or 'scan'",
        "backend=Scan(unroll=2)",
    ),
    "unroll beside newton": (
        lambda: RNN(gru(), backend="newton", unroll=2),
        ValueError,
        "beside backend='newton'",
        "'auto', 'adjoint' or 'scan'",
        "Scan(unroll=2)",
    ),
    "unroll of a layer": (lambda: RNN(gru(), unroll=0), ValueError, "unroll=0", "an int >= 1", "Use 'auto'"),
    "reverse of both directions": (
        lambda: Bidirectional(RNN(lstm()), RNN(gru()))(xs(B, T, D), reverse=True),
        ValueError,
        "reverse=True",
        "None",
        "Set them on an RNN",
    ),
    "streaming both directions": (
        lambda: Bidirectional(RNN(lstm()), RNN(gru())).step(None, xs(B, D)),
        ValueError,
        "cannot stream",
        "RNN layers",
        "whole sequences",
    ),
    "streaming in reverse": (
        lambda: RNN(gru(), reverse=True).step(jnp.zeros((B, H)), xs(B, D)),
        ValueError,
        "reverse=True",
        "reverse=False",
        "on sequences",
    ),
    "what a layer reads": (
        lambda: layer(read="first"),
        ValueError,
        "read='first'",
        "'every', 'last'",
        "'every' gives",
    ),
    "norms above a cell that does not tell its size": (
        lambda: Stack([RNN(Foreign(lambda h, x: (h, x), initialize_carry=jnp.zeros)), RNN(gru())], layer_norm=True),
        ValueError,
        "layer_norm=True",
        "layers that do",
        "foreign.hidden_features",
    ),
    "tied embeddings of other sizes": (
        lambda: SequenceModel(RNN(lstm()), 7, vocabulary=7, tie_embeddings=True, rngs=nnx.Rngs(0)),
        ValueError,
        "tie_embeddings=True with vocabulary=7, D=3, a layer of 4",
        "out_features=vocabulary",
        "Change the sizes",
    ),
    "tokens beyond the vocabulary": (
        lambda: model(vocabulary=7)(jnp.array([[0, 7]])),
        ValueError,
        "from 7 to 7",
        "0 to 6",
        "a larger vocabulary",
    ),
    "tokens that are floats": (
        lambda: model(vocabulary=7)(jnp.ones((2, 3))),
        TypeError,
        "float32",
        "integers",
        "tokens.astype(int)",
    ),
    "a class for a cell": (lambda: RNN(LSTMCell), TypeError, "LSTMCell", "a recurrax cell", "RNN(LSTMCell("),
    "size of a cell": (
        lambda: cells.RNNCell(0, 2, rngs=nnx.Rngs(0)),
        ValueError,
        "in_features=0",
        "an int >= 1",
        "=32",
    ),
    "no layer": (lambda: Stack([]), ValueError, "no layers", "one or more", "RNN(LSTM"),
    "a cell in a stack": (lambda: Stack([lstm()]), TypeError, "LSTM", "RNN, Bidirectional or Block", "RNN(cell)"),
    "dropout": (lambda: Stack([RNN(lstm())], dropout=1.5), ValueError, "dropout=1.5", "[0, 1)", "0 is none"),
    "dropout of 1": (lambda: model(dropout=1.0), ValueError, "dropout=1.0", "[0, 1)", "0 is none"),
    "carries of a stack": (
        lambda: Stack([RNN(lstm())])(xs(B, T, D), initial_carry=[]),
        ValueError,
        "0 entries",
        "the 1 layers",
        "None for a layer",
    ),
    "time axes of a stack": (
        lambda: Stack([RNN(lstm()), RNN(lstm(), time_major=True)]),
        ValueError,
        "time-major",
        "all alike",
        "Build them alike",
    ),
    "time axes of directions": (
        lambda: Bidirectional(RNN(lstm()), RNN(gru(), time_major=True)),
        ValueError,
        "False forward and True backward",
        "the same",
        "Build both",
    ),
    "one cell in both directions": (
        lambda: Bidirectional(RNN(gru()), RNN(gru())),
        ValueError,
        "same object",
        "two",
        "Build a second cell",
    ),
    "a cell for a direction": (lambda: Bidirectional(lstm(), gru()), TypeError, "LSTM", "two RNN layers", "RNN(cell)"),
    "a cell in a model": (lambda: SequenceModel(gru(), 2, rngs=nnx.Rngs(0)), TypeError, "GRU", "RNN,", "RNN(cell)"),
    "read": (lambda: model(read="first"), ValueError, "read='first'", "'every', 'last'", "'every' gives"),
    "a layer without a size": (
        lambda: model(Foreign(lambda h, x: (h, x))),
        ValueError,
        "out_features",
        "one that does",
        "foreign.hidden_features",
    ),
    "a time-major layer in a model": (
        lambda: SequenceModel(RNN(lstm(), time_major=True), 2, rngs=nnx.Rngs(0)),
        ValueError,
        "time-major",
        "batch-major",
        "time_major=False",
    ),
}


def layer_of(inputs: jax.Array) -> Any:
    return RNN(gru())(inputs)


@pytest.mark.parametrize("name", BAD)
def test_the_message_names_the_value_what_is_allowed_and_the_way_out(name):
    call, exception, value, allowed, way_out = BAD[name]
    with pytest.raises(exception) as raised:
        call()
    message = str(raised.value)
    for words in (value, allowed, way_out):
        assert words in message, message
    assert re.search(r"allow(ed|s)", message), message
    assert message.endswith(".") and "\n" not in message, message


def test_float64_inputs_make_a_float32_cell_compute_in_float64(x64):
    out = unroll(lstm(), jnp.zeros((T, B, D)), carry(B, H, dtype=jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype("float64")}
    _, ys = unroll(lstm(), xs(), carry(B, H, dtype=jnp.float64))
    assert ys.dtype == jnp.float32  # a carry is cast to what the inputs and the parameters make


def test_errors_come_before_compilation_and_under_jit_too():
    with pytest.raises(ValueError, match="in_features=3"):
        jax.eval_shape(lambda xs: unroll(lstm(), xs), jax.ShapeDtypeStruct((T, B, 5), jnp.float32))
