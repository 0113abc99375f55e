"""What a model carries beside its weights: statistics and random streams go on, nothing else is touched."""

import dataclasses
import gc

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.tasks import make_task
from recurrax.training import Output, Plan, Recipe
from recurrax.training.parameters import state

pytestmark = pytest.mark.usefixtures("quick")

TASK = make_task("adding", 6)
PLAN = Plan(steps=4, batch_size=4, chunk=2, held_out=16, seeds=(3, 5), devices=1, stop_when_solved=False)


class Normed(nnx.Module):
    """Batch normalisation below a recurrent layer, dropout of Flax with a stream of its own above, and a constant."""

    def __init__(self, key):
        rngs = nnx.Rngs(key)
        self.norm = nnx.BatchNorm(2, momentum=0.5, rngs=rngs)
        self.layer = rx.RNN(rx.GRUCell(2, 3, rngs=rngs))
        self.drop = nnx.Dropout(0.5, rngs=nnx.Rngs(key))
        self.head = nnx.Linear(3, 1, rngs=rngs)
        self.scale = nnx.Variable(jnp.ones(3))

    def __call__(self, xs):
        return self.head(self.drop(self.layer(self.norm(xs)) * self.scale[...]))


def test_statistics_and_random_streams_go_on_as_in_a_loop_of_flax():
    """The same updates by `nnx.Optimizer`, `nnx.value_and_grad` and the model's own state."""
    recipe = Recipe(Normed, TASK, optax.adamw(1e-2, weight_decay=0.1), 4)
    run = recipe.start(3)
    model = Normed(jax.random.split(jax.random.key(3))[0])
    optimizer = nnx.Optimizer(model, optax.adamw(1e-2, weight_decay=0.1), wrt=nnx.Param)

    @nnx.jit
    def update(model, optimizer, examples):
        def loss(model):
            return jnp.mean(jax.vmap(TASK.loss)(model(examples.inputs), examples))

        value, gradient = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradient)
        return value

    step = jax.jit(recipe.step)
    for _ in range(4):
        theirs = update(model, optimizer, recipe.examples(run))
        run, ours = step(run)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for ours, theirs in zip(*map(jax.tree.leaves, (run.model, model)), strict=True):
        if jnp.issubdtype(ours.dtype, jnp.floating):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
        else:
            assert (ours == theirs).all()  # keys and counters of the random stream
    assert (run.model.scale[...] == 1).all() and int(run.model.drop.rngs.count[...]) == 4
    model.eval()
    held_out = jax.vmap(TASK.sample)(jax.random.split(jax.random.key(1), 8))
    expected = jnp.mean(jax.vmap(TASK.loss)(model(held_out.inputs), held_out))
    np.testing.assert_allclose(jax.jit(recipe.evaluate)(run.model, held_out)["loss"], expected, rtol=1e-5)


def test_an_ensemble_keeps_the_state_of_each_run_and_resumes_it_exactly(tmp_path):
    history = training.fit(Normed, TASK, optax.adam(1e-2), PLAN)
    means = np.asarray(history.run.model.norm.mean[...])
    assert means.shape == (2, 2) and (means[0] != means[1]).any() and (means != 0).all()
    training.fit(Normed, TASK, optax.adam(1e-2), dataclasses.replace(PLAN, steps=2), Output(tmp_path))
    resumed = training.fit(Normed, TASK, optax.adam(1e-2), PLAN, Output(tmp_path))
    assert resumed.resumed_at == 2
    for ours, theirs in zip(*map(jax.tree.leaves, (resumed.run.model, history.run.model)), strict=True):
        assert (ours == theirs).all()
    assert not history.best().drop.deterministic  # evaluation is of a copy


def test_bfloat16_keeps_the_state_in_its_own_dtype():
    recipe = Recipe(Normed, TASK, optax.adam(1e-2), 4, precision="bfloat16")
    run = recipe.start(3)
    new, _ = jax.jit(recipe.step)(run)
    for before, after in zip(state(run.model), state(new.model), strict=True):
        assert before.dtype == after.dtype


@pytest.mark.slow
def test_recurrent_layers_of_flax_train():
    class Theirs(nnx.Module):
        def __init__(self, key):
            rngs = nnx.Rngs(key)
            self.rnn = nnx.RNN(nnx.LSTMCell(2, 3, rngs=rngs), rngs=rngs)
            self.head = nnx.Linear(3, 1, rngs=rngs)

        def __call__(self, xs):
            return self.head(self.rnn(xs))

    history = training.fit(Theirs, TASK, optax.adam(1e-2), PLAN)
    assert np.isfinite(history.train_loss).all() and (history.train_loss[:, 0] != history.train_loss[:, -1]).all()


def holds(**attributes):
    class Holding(nnx.Module):
        def __init__(self, key):
            self.head = nnx.Linear(2, 1, rngs=nnx.Rngs(key))
            for name, make in attributes.items():
                setattr(self, name, make(self))

        def __call__(self, xs):
            if hasattr(self, "seen"):
                self.seen[...] = self.seen[...] + 1
            return self.head(xs)

    return Holding


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            holds(ids=lambda self: nnx.Param(jnp.arange(3))),
            r"model\.ids is an nnx\.Param of int32, which has no gradient",
        ),
        (holds(same=lambda self: self.head), r"model\.same\.bias and model\.head\.bias are one variable"),
        (
            holds(seen=lambda self: nnx.Param(jnp.zeros(3))),
            r"model\.seen is an nnx\.Param that the model's call has set",
        ),
        (lambda key: "model", r"str has no parameters to train; allowed"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_path(build, words):
    with pytest.raises(ValueError, match=words):
        training.fit(build, TASK, optax.adam(1e-2), PLAN)


def test_parameters_have_the_names_of_their_attributes_whatever_these_are():
    """``value`` is what Flax calls the array inside a variable, and what attention calls a layer."""
    attention = nnx.MultiHeadAttention(num_heads=1, in_features=2, decode=False, rngs=nnx.Rngs(0))
    names = training.parameters(attention)
    assert set(names) == {"query", "key", "value", "out"} and set(names["value"]) == {"bias", "kernel"}
    scalar = training.parameters(nnx.Dict(value=nnx.Param(jnp.ones(2))))
    assert list(scalar) == ["value"] and scalar["value"].shape == (2,)


def test_models_that_are_plain_trees_train():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Plain:
        kernel: jax.Array
        count: jax.Array

        def __call__(self, xs):
            return xs @ self.kernel

    history = training.fit(
        lambda key: Plain(jax.random.normal(key, (2, 1)), jnp.arange(2)), TASK, optax.adamw(1e-2), PLAN
    )
    assert (np.asarray(history.run.model.count) == [0, 1]).all()
    assert (history.run.model.kernel[0] != history.best_model.kernel[1]).any()


@pytest.mark.parametrize("dtype", [pytest.param(jnp.float32, marks=pytest.mark.slow), jnp.float64])
def test_models_of_both_precisions_train_under_x64(x64, dtype, tmp_path):
    def build(key):
        rngs = nnx.Rngs(key)
        cell = rx.LSTMCell(2, 3, param_dtype=dtype, rngs=rngs)
        return jax.tree.map(lambda leaf: leaf.astype(dtype), rx.SequenceModel(rx.RNN(cell), 1, rngs=rngs))

    history = training.fit(build, TASK, optax.adam(1e-2), PLAN, Output(tmp_path))
    assert {leaf.dtype for leaf in jax.tree.leaves(history.run.model)} == {jnp.dtype(dtype)}
    assert history.train_loss.dtype == history.loss.dtype == dtype and np.isfinite(history.test_loss).all()


def test_live_arrays_are_constant_over_many_fits():
    def once():
        training.fit(Normed, TASK, optax.adam(1e-2), dataclasses.replace(PLAN, steps=2))
        gc.collect()
        return len(jax.live_arrays())

    first = [once() for _ in range(2)][-1]
    assert [once() for _ in range(3)] == [first] * 3
