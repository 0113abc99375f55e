"""Silent wrong numbers that `fit` once gave, and what it says of arguments that cannot be right."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import recurrax as rx
from recurrax import datasets, tasks, training
from recurrax.tasks import Example, HostTask, Task
from recurrax.training import CheckpointError, Output, Plan

pytestmark = pytest.mark.usefixtures("quick")

PLAN = Plan(steps=4, batch_size=4, chunk=2, held_out=8, seeds=(0,), devices=1)


class Lin(nnx.Module):
    """The last of ``x W + b``."""

    def __init__(self, key):
        self.inner = nnx.Linear(2, 1, rngs=nnx.Rngs(key))

    def __call__(self, xs):
        return self.inner(xs)[..., -1, 0]


@dataclasses.dataclass(frozen=True)
class Sum(Task):
    """The sum of the last inputs."""

    scale: float = 1.0

    def sample(self, key):
        xs = jax.random.normal(key, (5, 2))
        return Example(xs, self.scale * jnp.sum(xs[-1]))

    def loss(self, outputs, example):
        return jnp.abs(outputs - example.targets) ** 2


def fit(task=Sum(), build=Lin, optimizer=optax.sgd(0.1), plan=PLAN, output=Output(), **options):
    return training.fit(build, task, optimizer, plan, output, **options)


def test_a_complex_parameter_goes_downhill():
    class Complex(nnx.Module):
        def __init__(self, key):
            self.z = nnx.Param(jnp.zeros((), jnp.complex64))

        def __call__(self, xs):
            return jnp.broadcast_to(self.z[...], xs.shape[:1])

    class Fixed(Sum):
        def sample(self, key):
            return Example(jnp.zeros((5, 2)), jnp.asarray(1 + 1j, jnp.complex64))

    history = fit(Fixed(), Complex, plan=dataclasses.replace(PLAN, steps=40, chunk=40))
    assert history.loss[0, -1] < 1e-4
    np.testing.assert_allclose(history.best().z[...], 1 + 1j, atol=1e-2)


def test_modules_in_a_dict_are_evaluated_without_dropout():
    def build(key):
        rngs = nnx.Rngs(key)
        return {"in": nnx.Linear(2, 8, rngs=rngs), "drop": nnx.Dropout(0.9, rngs=rngs), "out": Lin(key)}

    class Own(Sum):
        def apply(self, model, example, key=None):
            return model["out"](model["drop"](model["in"](example.inputs))[..., :2])

    history = fit(Own(), build, optax.sgd(0.0))
    assert len(set(history.loss[0].tolist())) == 1


def test_a_learned_initial_carry_of_a_stream_learns():
    series = datasets.Series(np.random.default_rng(0).normal(size=(60, 1)))
    task = tasks.NextValue(series.split((0.8, 0.1, 0.1)).steps(), window=50)

    def build(key):
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.RNN(rx.RNNCell(1, 3, rngs=rngs), learn_initial_carry=True), 1, rngs=rngs)

    history = fit(task, build, plan=dataclasses.replace(PLAN, batch_size=1))
    assert all((np.asarray(leaf) != 0).all() for leaf in jax.tree.leaves(history.run.model.layer.initial_carry))


def test_the_dtype_of_a_loss_is_float32_whatever_the_model_computes_in():
    history = fit(plan=dataclasses.replace(PLAN, precision="bfloat16"))
    assert history.train_loss.dtype == history.loss.dtype == np.float32
    judged = training.evaluate(history.best(), Sum(), jax.vmap(Sum().sample)(jax.random.split(jax.random.key(0), 8)))
    half = training.evaluate(
        history.best(), Sum(), jax.vmap(Sum().sample)(jax.random.split(jax.random.key(0), 8)), precision="bfloat16"
    )
    assert judged["loss"] != half["loss"] == pytest.approx(judged["loss"], rel=0.05)


def test_examples_that_count_nothing_make_no_nan():
    random = np.random.default_rng(0)
    xs, weights = random.normal(size=(30, 5, 2)), np.ones(30)
    weights[::3] = 0
    examples = Example(jnp.asarray(xs), jnp.asarray(xs[:, -1].sum(-1)), jnp.asarray(weights))

    class Weighted(Sum):
        def loss(self, outputs, example):
            return example.weights * super().loss(outputs, example) / example.weights

    model = Lin(jax.random.key(0))
    judged = training.evaluate(model, Weighted(), examples, batch_size=7)
    kept = jax.tree.map(lambda leaf: leaf[weights > 0], examples)
    assert judged == pytest.approx(training.evaluate(model, Sum(), kept), rel=1e-5)


def test_a_stream_with_gaps_counts_every_step_the_same():
    values = np.random.default_rng(0).normal(size=(50, 1))
    values[3:21] = np.nan
    parts = datasets.Series(values, missing="mask").split((0.8, 0.1, 0.1))
    task = tasks.NextValue(parts.steps(), window=4)
    recipe = training.Recipe(Lin, task, optax.sgd(0.1), 2)
    example = task.segment("train", 1, 2)
    outputs = jnp.ones((2, 4, task.out_features))
    counted = np.asarray(example.weights) > 0
    assert 0 < counted.sum() < counted.size
    expected = ((1 - np.asarray(example.targets)[..., 0]) ** 2)[counted].mean()
    np.testing.assert_allclose(recipe.mean_loss(outputs, example), expected, rtol=1e-5)


def test_an_infinite_metric_is_never_the_best():
    class Infinite(Sum):
        monitor, mode = "odd", "max"

        def metrics(self, outputs, example):
            loss = self.loss(outputs, example)
            return {"loss": loss, "odd": jnp.where(outputs == 0, jnp.inf, 1.0)}

    class Zero(Lin):
        def __init__(self, key):
            super().__init__(key)
            self.inner.kernel[...] = self.inner.kernel[...] * 0

    history = fit(Infinite(), Zero)
    assert history.best_at.tolist() == [2] and np.asarray(history.best().inner.kernel[...]).any()


class Buffer(HostTask):
    """Fills one array every time."""

    buffer = np.zeros((4, 5, 2), np.float32)

    def examples(self, split):
        return jax.vmap(Sum().sample)(jax.random.split(jax.random.key(0), 8))

    def batches(self, step):
        self.buffer[...] = step
        return Example(self.buffer, self.buffer[:, -1].sum(-1))

    def loss(self, outputs, example):
        return Sum().loss(outputs, example)


def test_a_host_may_fill_one_buffer_every_time():
    one, four = (fit(Buffer(), plan=dataclasses.replace(PLAN, chunk=chunk)).train_loss for chunk in (1, 4))
    np.testing.assert_array_equal(one, four)


def test_a_task_that_is_changed_is_another_task():
    class Changing(Task):
        scale = 1.0

        def sample(self, key):
            return Sum(self.scale).sample(key)

        def loss(self, outputs, example):
            return Sum().loss(outputs, example)

    task = Changing()
    first = fit(task).loss
    task.scale = 100.0
    assert (fit(task).loss > 100 * first).all()


def test_a_swept_average_and_averages_behind_masks():
    def optimizer(decay):
        return optax.chain(optax.sgd(0.1), training.average(decay))

    history = fit(optimizer=optimizer, plan=dataclasses.replace(PLAN, sweep={"decay": (0.0, 0.9)}))
    assert history.loss[0, -1] != history.loss[1, -1]
    masked = optax.chain(
        optax.sgd(0.1), optax.masked(training.average(0.99), {"inner": {"kernel": True, "bias": False}})
    )
    both = fit(optimizer=masked)
    kernel, bias = (np.asarray(both.best().inner.__getattribute__(name)[...]) for name in ("kernel", "bias"))
    average = both.run.optimizer[-1].inner_state.average["inner"]["kernel"][0]
    assert not np.allclose(kernel, both.run.model.inner.kernel[0]) and np.isfinite(bias).all()
    assert average.shape == kernel.shape


@pytest.mark.parametrize("change", ["penalty", "task", "call", "monitor", "patience"])
def test_a_run_does_not_go_on_as_another_one(tmp_path, change):
    class Call(Lin):
        def __call__(self, xs):
            return factor * super().__call__(xs)

    class Body(Sum):
        def loss(self, outputs, example):
            return factor * super().loss(outputs, example)

    class Monitored(Sum):
        def metrics(self, outputs, example):
            return {"loss": self.loss(outputs, example), "other": -self.loss(outputs, example)}

    def penalty(model, examples):
        return factor * jnp.sum(model.inner.kernel[...] ** 2)

    def once(plan):
        options = {"penalty": penalty} if change == "penalty" else {}
        task = {"task": Body(), "monitor": Monitored()}.get(change, Sum())
        return fit(task, Call if change == "call" else Lin, plan=plan, output=Output(tmp_path), **options)

    factor, plan = 1.0, dataclasses.replace(PLAN, patience=9)
    once(plan)
    assert once(plan).resumed_at == 4
    factor = 2.0
    if change == "monitor":
        Monitored.monitor, Monitored.mode = "other", "max"
    if change == "patience":
        plan = dataclasses.replace(plan, patience=20)
    with pytest.raises(CheckpointError, match="holds a run with other settings"):
        once(dataclasses.replace(plan, steps=8))


class Vector(Sum):
    def loss(self, outputs, example):
        return jnp.broadcast_to(super().loss(outputs, example), (5,))


class Silent(Sum):
    monitor = "rmse"


class Dropping(Sum):
    def finish(self, means):
        return {"error": means["loss"]}


class Typo(Sum):
    mode = "minimize"  # type: ignore


class Adding(Lin):
    def __call__(self, xs):
        self.seen = nnx.Variable(jnp.sum(xs))
        return super().__call__(xs)


class Shapes(Buffer):
    def batches(self, step):
        return Example(np.zeros((4, 5 + step, 2), np.float32), np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": Vector()}, r"loss of one example has shape \[5\] in Vector; allowed: a scalar"),
        ({"task": Silent()}, "Silent reports loss and not 'rmse'"),
        ({"task": Dropping()}, "Dropping reports error and not 'loss'"),
        ({"task": Typo()}, "Typo has mode='minimize'; allowed: 'min'"),
        ({"build": Adding}, r"the model's call has added model\.seen"),
        ({"build": Lin(jax.random.key(0))}, "fit got Lin as build; allowed: a function of a key"),
        ({"output": "runs/x"}, r"Write Output\('runs/x'\)"),
        ({"optimizer": 1e-3}, "the optimizer is float; allowed: an Optax transformation"),
        ({"task": Shapes()}, "different shapes at updates 0 and 1; allowed: one shape"),
        ({"build": lambda key: rx.SequenceModel(rx.LSTM(1, 2, rngs=nnx.Rngs(key)), 2, rngs=nnx.Rngs(key)),
          "task": tasks.NextValue(datasets.Series(np.arange(60.0)[:, None]).split().steps(), window=5)},
         "the model gives 2 outputs a step; allowed: 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_by_a_sentence(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        fit(**options)


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="there are 0 examples; allowed: one or more"):
        training.predict(Lin(jax.random.key(0)), Sum(), Example(jnp.zeros((0, 5, 2)), None))
