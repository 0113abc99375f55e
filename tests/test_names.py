"""Names: of cells in tables, of arguments in editors, and of functions in objects that are stored or copied."""

import copy
import functools
import inspect
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import D, H, T, jit, noise

import recurrax as rx
from recurrax import cells, training
from recurrax.tasks import Adding

SHORT = (
    "RNN LSTM GRU NoForgetGate NoInputGate NoOutputGate CIFG Hochreiter1997 PeepholeLSTM ProjectedLSTM "
    "MultiplicativeLSTM LayerNormLSTM LayerNormGRU MGU IndRNN OrthogonalRNN AntisymmetricRNN coRNN LEM CfC sLSTM SRU "
    "DiagonalRNN LRU MinGRU MinLSTM RG-LRU QRNN HGRN S5 S4D Mamba Mamba2 mLSTM DeltaNet GatedDeltaNet GLA"
)
ARGUMENTS: dict[Any, set[str]] = {
    rx.RNN: {"cell", "unroll", "broadcast_rngs"},
    rx.Bidirectional: {"forward_rnn", "backward_rnn", "merge_fn"},
    rx.Stack: {"layers", "dropout", "layer_norm"},
    rx.SequenceModel: {"layer", "out_features", "tie_embeddings"},
    rx.Foreign: {"step", "params"},
    cells.TruncatedGradient: {"cell"},
}
LAYERS = (rx.RNN, rx.Bidirectional, rx.Stack, rx.LSTM, rx.GRU, rx.SimpleRNN, rx.SequenceModel)


def test_short_names_are_the_classes_own_without_cell():
    assert [cell.short for cell in cells.ALL] == SHORT.split()
    assert cells.TruncatedGradient.short == "TruncatedGradient"

    class MineCell(rx.LSTMCell):
        pass

    class Other(rx.LSTMCell):
        short = "mine, too"

    class Third(Other):
        pass

    assert [kind.short for kind in (MineCell, Other, Third)] == ["Mine", "mine, too", "Third"]


@pytest.mark.parametrize("kind", [*cells.ALL, cells.TruncatedGradient, rx.Foreign, *LAYERS])
def test_signatures_show_the_arguments(kind):
    shown = inspect.signature(kind).parameters
    assert list(shown) == list(inspect.signature(kind.__init__).parameters)[1:]
    expected = ARGUMENTS.get(kind, {"in_features", "hidden_features", "dtype", "param_dtype", "rngs"})
    assert expected <= set(shown)
    assert not {"args", "kwargs"} & set(shown)


def test_a_subclass_shows_its_own_arguments():
    class Mine(rx.LSTMCell):
        def __init__(self, size: int, *, rngs: nnx.Rngs):
            super().__init__(size, size, rngs=rngs)

    assert list(inspect.signature(Mine).parameters) == ["size", "rngs"]


def rnn(**options: Any) -> rx.RNN:
    return rx.RNN(rx.LSTMCell(D, H, rngs=nnx.Rngs(0)), **options)


KEPT: dict[str, Any] = {
    **{cell.short: functools.partial(lambda cell: cell(D, H, rngs=nnx.Rngs(0)), cell) for cell in cells.ALL},
    "relu": lambda: rx.RNNCell(D, H, activation_fn=jax.nn.relu, rngs=nnx.Rngs(0)),
    "hard LSTM": lambda: rx.LSTMCell(
        D, H, gate_fn=jax.nn.hard_sigmoid, activation_fn=jax.nn.soft_sign, rngs=nnx.Rngs(0)
    ),
    "GRU of 2014": lambda: rx.GRUCell(D, H, reset_after=False, activation_fn=jax.nn.relu, rngs=nnx.Rngs(0)),
    "truncated": lambda: cells.TruncatedGradient(rx.GRUCell(D, H, gate_fn=jax.nn.hard_sigmoid, rngs=nnx.Rngs(0))),
    "layer": lambda: rnn(learn_initial_carry=True, backend=rx.Scan(unroll=2), reverse=True),
    "Flax's": lambda: rx.RNN(nnx.GRUCell(D, H, rngs=nnx.Rngs(0))),
    "both directions": lambda: rx.Bidirectional(rnn(), rnn(), merge_fn=jnp.multiply),
    "SimpleRNN": lambda: rx.SimpleRNN(D, H, 2, activation_fn=jax.nn.relu, bidirectional=True, rngs=nnx.Rngs(0)),
    "Stack": lambda: rx.Stack([rnn(), rx.RNN(rx.GRUCell(H, H, rngs=nnx.Rngs(0)))], layer_norm=True, dropout=0.5),
    "model": lambda: rx.SequenceModel(rnn(), 2, read="last", dropout=0.5, rngs=nnx.Rngs(0)),
    "model of tokens": lambda: rx.SequenceModel(
        rx.GRU(H, H, rngs=nnx.Rngs(0)), 7, vocabulary=7, tie_embeddings=True, rngs=nnx.Rngs(0)
    ),
}  # fmt: skip
WAYS = {"pickle": lambda one: pickle.loads(pickle.dumps(one)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_stored_or_copied_is_the_same_tree_and_compiles_nothing_anew(name):
    one = noise(jax.eval_shape(KEPT[name]), seed=1)
    xs: Any = np.arange(2 * T).reshape(2, T) % 7 if name == "model of tokens" else np.ones((2, T, D), np.float32)
    run = jit(lambda one: rx.unroll(one, xs) if isinstance(one, rx.Cell) else one(xs))
    expected = run(one)
    for way in WAYS.values() if name != "Flax's" else [copy.deepcopy]:  # Flax's own cells cannot be pickled
        again = way(one)
        assert again is not one and jax.tree.structure(again) == jax.tree.structure(one)
        jax.tree.map(np.testing.assert_array_equal, run(again), expected)
    assert run._cache_size() == 1


def test_a_copy_has_arrays_of_its_own():
    one = rnn()
    again = copy.deepcopy(one)
    again.cell.bias[...] = again.cell.bias[...] + 1
    assert (again.cell.bias[...] == one.cell.bias[...] + 1).all()


@pytest.mark.parametrize("way", WAYS)
def test_a_history_of_a_training_is_kept_with_its_model(way):
    def build(key: jax.Array) -> rx.SequenceModel:
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.SimpleRNN(2, 4, activation_fn=jax.nn.relu, rngs=rngs), 1, read="last", rngs=rngs)

    plan = training.Plan(steps=2, batch_size=2, chunk=2, held_out=2, seeds=(0,), devices=1)
    history = training.fit(build, Adding(4), training.sgd(1e-2), plan)
    again = WAYS[way](history)
    assert jax.tree.structure(again.run.model) == jax.tree.structure(history.run.model)
    jax.tree.map(np.testing.assert_array_equal, again.run.model, history.run.model)
    np.testing.assert_array_equal(again.train_loss, history.train_loss)


class TwoStreams(nnx.GRUCell):
    def __init__(self, *, rngs: nnx.Rngs):
        super().__init__(2, 3, rngs=rngs)
        self.one, self.two = (
            nnx.Dropout(0.5, deterministic=False, rng_collection=name, rngs=rngs) for name in ("a", "b")
        )

    def __call__(self, carry, x):
        h, _ = super().__call__(carry, x)
        h = self.two(self.one(h))
        return h, h


def test_a_stream_that_broadcast_rngs_leaves_out_is_refused():
    xs, rngs = jnp.ones((4, 5, 2)), {"params": 0, "a": 1, "b": 2}
    with pytest.raises(ValueError, match=r"draws from a random stream that broadcast_rngs='a' leaves out; allowed: "):
        rx.RNN(TwoStreams(rngs=nnx.Rngs(**rngs)), broadcast_rngs="a")(xs)
    layer = rx.RNN(TwoStreams(rngs=nnx.Rngs(**rngs)), broadcast_rngs=nnx.RngState)
    assert not np.array_equal(layer(xs), layer(xs))  # new keys in every call
