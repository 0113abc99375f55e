"""What `fit` trains beyond the catalogue: lengths, dropout, streams, encoder-decoders, batches from the host."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.tasks import Example, HostTask, Stream, Task
from recurrax.tasks.task import cross_entropy
from recurrax.training import Output, Plan, Recipe

pytestmark = pytest.mark.usefixtures("quick")

PLAN = Plan(steps=6, batch_size=4, chunk=3, held_out=16, seeds=(3, 5), devices=1)
VOCABULARY, T = 5, 6


def drawn(task: Task, count: int, seed: int = 0) -> Example:
    return jax.vmap(task.sample)(jax.random.split(jax.random.key(seed), count))


@dataclasses.dataclass(frozen=True)
class MoreOnes(Task):
    """Token ids of several lengths: are there more ones than zeros? One answer, targets a tree, padding is 9."""

    def sample(self, key):
        length = jax.random.randint(key, (), 1, T + 1)
        tokens = jax.random.bernoulli(jax.random.fold_in(key, 1), shape=(T,)).astype(jnp.int32)
        exists = jnp.arange(T) < length
        answer = 2 * jnp.sum(tokens * exists) > length
        return Example(jnp.where(exists, tokens, 9), {"more": answer.astype(jnp.int32)}, lengths=length)

    def loss(self, outputs, example):
        logits = outputs.astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, example.targets["more"])

    def accuracy(self, outputs, example):
        return (jnp.argmax(outputs) == example.targets["more"]).astype(jnp.float32)


def reader(dropout=0.0):
    def build(key):
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(
            rx.LSTM(3, 8, rngs=rngs), 2, vocabulary=2, read="last", dropout=dropout, rngs=rngs
        )  # fmt: skip

    return build


def test_lengths_reach_the_model():
    """Padding of tokens outside the vocabulary would make the outputs NaN if a model read them."""
    history = training.fit(reader(), MoreOnes(), training.adam(1e-2, None), PLAN)
    assert np.isfinite(history.train_loss).all() and np.isfinite(history.loss).all()
    model, examples = history.best(0), drawn(MoreOnes(), 6)
    run = jax.jit(lambda tokens: model(tokens)[0])
    outputs = training.predict(model, MoreOnes(), examples, batch_size=4)
    for one, length, tokens in zip(outputs, *map(np.asarray, (examples.lengths, examples.inputs)), strict=True):
        np.testing.assert_allclose(one, run(tokens[None, :length]), rtol=1e-5, atol=1e-6)


def test_a_model_without_lengths_is_refused_by_name():
    class Deaf(nnx.Module):
        def __init__(self, key):
            self.inner = reader()(key)

        def __call__(self, tokens):
            return self.inner(tokens)

    with pytest.raises(ValueError, match="calls Deaf with seq_lengths, which its call does not take; allowed"):
        training.fit(Deaf, MoreOnes(), training.adam(1e-2, None), PLAN)


def test_dropout_is_used_in_training_alone():
    """Other losses of the updates; the same evaluation of the same weights; other noise at every update and seed."""
    rates = {rate: training.fit(reader(rate), MoreOnes(), optax.sgd(0.0), PLAN) for rate in (0.0, 0.9)}
    assert (rates[0.0].train_loss != rates[0.9].train_loss).mean() > 0.9
    np.testing.assert_array_equal(rates[0.0].loss, rates[0.9].loss)
    recipe = Recipe(reader(0.9), MoreOnes(), optax.sgd(0.0), 4)
    runs = [recipe.start(seed) for seed in (0, 1)]
    examples = drawn(MoreOnes(), 4)
    losses = []
    for run in (runs[0], runs[1]._replace(model=runs[0].model), runs[0]._replace(step=jnp.asarray(1))):
        losses.append(float(jax.jit(recipe.step)(run, examples)[1]))
    assert len(set(losses)) == 3


def test_dropout_that_nothing_would_use_is_refused():
    class Wrapped(nnx.Module):
        def __init__(self, key):
            self.inner = reader(0.5)(key)

        def __call__(self, tokens, seq_lengths=None):
            return self.inner(tokens, seq_lengths=seq_lengths)

    with pytest.raises(ValueError, match=r"model\.inner\.dropout has rate=0\.5, and Wrapped takes no dropout_key"):
        training.fit(Wrapped, MoreOnes(), training.adam(1e-2, None), PLAN)


@dataclasses.dataclass(frozen=True)
class Reverse(Task):
    """Sequence to sequence with teacher forcing: give the tokens backwards. Two inputs in one tree."""

    def sample(self, key):
        source = jax.random.randint(key, (T,), 1, VOCABULARY)
        wanted = source[::-1]
        given = jnp.concatenate([jnp.zeros(1, source.dtype), wanted[:-1]])
        return Example({"source": source, "given": given}, wanted, jnp.ones(T))

    def loss(self, outputs, example):
        return cross_entropy(outputs["logits"], example)

    def metrics(self, outputs, example):
        wrong = jnp.any(jnp.argmax(outputs["logits"], -1) != example.targets)
        return {"loss": self.loss(outputs, example), "wrong": wrong.astype(jnp.float32)}

    def finish(self, means):
        return means | {"right": 1 - means["wrong"], "bits": means["loss"] / jnp.log(2.0)}


class Translator(nnx.Module):
    """An encoder whose last carry starts the decoder."""

    def __init__(self, key):
        rngs = nnx.Rngs(key)
        self.embed = nnx.Embed(VOCABULARY, 8, rngs=rngs)
        self.encoder, self.decoder = (rx.RNN(rx.LSTMCell(8, 16, rngs=rngs)) for _ in range(2))
        self.head = nnx.Linear(16, VOCABULARY, rngs=rngs)

    def __call__(self, tokens):
        carry, _ = self.encoder(self.embed(tokens["source"]), return_carry=True)
        hs = self.decoder(self.embed(tokens["given"]), initial_carry=carry)
        return {"logits": self.head(hs), "summary": carry[1]}


@pytest.mark.slow
def test_an_encoder_decoder_learns_to_reverse_and_its_metrics_are_those_of_the_task():
    plan = dataclasses.replace(PLAN, steps=300, chunk=100, batch_size=32, held_out=64, seeds=(0,))
    history = training.fit(Translator, Reverse(), training.adam(2e-2, None), plan)
    assert set(history.metrics) == {"loss", "wrong", "right", "bits"} == set(history.test_metrics)
    np.testing.assert_allclose(history.metrics["right"], 1 - history.metrics["wrong"], rtol=1e-6)
    np.testing.assert_allclose(history.metrics["bits"], history.loss / np.log(2), rtol=1e-6)
    assert history.loss[0, -1] < 0.5 * history.loss[0, 0] and np.isnan(history.accuracy).all()
    judged = training.evaluate(history.best(), Reverse(), drawn(Reverse(), 50, seed=1), batch_size=16)
    by_hand = Recipe(Translator, Reverse(), None).evaluate(history.best(), drawn(Reverse(), 50, seed=1))
    assert judged == pytest.approx({name: float(value) for name, value in by_hand.items()}, rel=1e-5)


@dataclasses.dataclass(frozen=True)
class Spelling(Task):
    """Connectionist temporal classification: every symbol lasts two steps, and the labels do not say when."""

    def sample(self, key):
        labels = jax.random.randint(key, (3,), 1, VOCABULARY)
        length = jax.random.randint(jax.random.fold_in(key, 1), (), 1, 4)
        exists = jnp.arange(3) < length
        inputs = jnp.repeat(jax.nn.one_hot(labels, VOCABULARY) * exists[:, None], 2, axis=0)
        return Example(inputs, {"labels": labels * exists, "padding": 1.0 - exists}, lengths=2 * length)

    def loss(self, outputs, example):
        frames = (jnp.arange(T) >= example.lengths).astype(jnp.float32)
        labels, padding = example.targets["labels"], example.targets["padding"]
        return optax.ctc_loss(outputs[None], frames[None], labels[None], padding[None])[0]


@pytest.mark.slow
def test_connectionist_temporal_classification_is_a_task_like_any_other():
    def build(key):
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.LSTM(VOCABULARY, 8, bidirectional=True, rngs=rngs), VOCABULARY, rngs=rngs)

    plan = dataclasses.replace(PLAN, steps=60, chunk=30, batch_size=16, seeds=(0,))
    history = training.fit(build, Spelling(), training.adam(3e-2), plan)
    assert history.loss[0, -1] < 0.5 * history.loss[0, 0]


@dataclasses.dataclass(frozen=True)
class Backwards(Reverse):
    """The best model is that with the most wrong answers."""

    monitor, mode = "wrong", "max"


@pytest.mark.parametrize(
    ("task", "best"), [pytest.param(Reverse(), np.argmin, marks=pytest.mark.slow), (Backwards(), np.argmax)]
)
def test_the_best_model_is_that_of_the_monitored_metric(task, best):
    history = training.fit(Translator, task, training.adam(0.3, None), dataclasses.replace(PLAN, steps=12))
    values = history.metrics[task.monitor]
    np.testing.assert_array_equal(history.best_at, history.steps[best(values, axis=1)])
    np.testing.assert_allclose(history.state.best.value, np.take_along_axis(values, best(values, 1)[:, None], 1)[:, 0])


@pytest.mark.slow
def test_patience_stops_the_runs_that_get_no_better():
    """A learning rate of 0 never gets better: the first evaluation is the best, and two more end the run."""
    plan = dataclasses.replace(PLAN, steps=60, chunk=3, patience=2, sweep={"rate": (0.0, 3e-3)}, stop_when_solved=False)
    history = training.fit(reader(), MoreOnes(), lambda rate: optax.sgd(rate), plan)
    still = history.settings["rate"] == 0
    assert history.stopped[still].all() and (history.run.step[still] == 6).all()
    assert np.isnan(history.train_loss[still, 6:]).all() and np.isfinite(history.train_loss[~still]).all()
    alone = training.fit(reader(), MoreOnes(), optax.sgd(0.0), dataclasses.replace(plan, sweep={}))
    assert alone.steps.tolist() == [0, 3, 6]


TEXT = np.random.default_rng(0).integers(0, VOCABULARY, 46)
ENDS = np.arange(46) % 17 == 0


@dataclasses.dataclass(frozen=True)
class Letters(Stream):
    """The next of random letters, in documents of 17."""

    window: int = 5
    documents: bool = True
    evaluation_streams: int = 1
    restart_rate: float = 0.0

    def sequence(self, split):
        tokens = jnp.asarray(TEXT if split == "train" else TEXT[::-1])
        return Example(tokens[:-1], tokens[1:], resets=jnp.asarray(ENDS[:-1]) if self.documents else None)

    def loss(self, outputs, example):
        return cross_entropy(outputs, example)


def speaker(key):
    rngs = nnx.Rngs(key)
    layer = rx.LSTM(6, 8, num_layers=2, rngs=rngs)
    return rx.SequenceModel(layer, VOCABULARY, vocabulary=VOCABULARY, rngs=rngs)


@pytest.mark.parametrize(
    ("window", "documents"),
    [(7, True), (60, False), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((5, False), (45, True)))],
)
def test_perplexity_of_a_stream_is_that_of_the_whole_text_run_at_once(window, documents):
    task, model = Letters(window, documents), speaker(jax.random.key(0))
    whole = task.sequence("test")
    resets = None if whole.resets is None else whole.resets[None]
    logits = model(whole.inputs[None], resets=resets)[0]
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, whole.targets).mean()
    assert training.evaluate(model, task, "test")["loss"] == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(training.predict(model, task, "test"), logits, rtol=1e-4, atol=1e-5)


def test_a_validation_split_read_in_several_streams_counts_every_step_once():
    several, whole = Letters(4, False, 4), Letters(4, False).sequence("validation")
    length = several.length("validation", 4)
    parts = [several.segment("validation", index, 4) for index in range(several.windows("validation", 4))]
    counted = [np.concatenate([np.asarray(p.inputs)[b][np.asarray(p.weights)[b] > 0] for p in parts]) for b in range(4)]
    np.testing.assert_array_equal(np.concatenate(counted), whole.inputs)
    assert [len(part) for part in counted] == [length, length, length, 45 - 3 * length]


@pytest.mark.slow
def test_the_carry_goes_on_from_update_to_update_and_begins_anew_with_text_and_document():
    """Three streams of 15 steps in windows of 6: the third update reads the last 3 steps, the fourth begins again."""
    task, B = Letters(6, True), 3
    recipe = Recipe(speaker, task, optax.sgd(0.1), B)
    run = recipe.start(0)
    model, step, whole = run.model, jax.jit(recipe.step), task.sequence("train")
    carries: Any = [None] * B
    for update in range(4):
        first, count = (update % 3) * 6, 3 if update % 3 == 2 else 6
        carries = [None] * B if first == 0 else carries

        def by_hand(model, first=first, count=count, carries=tuple(carries)):
            losses, after = [], []
            for stream, carry in enumerate(carries):
                for place in stream * 15 + first + np.arange(count):  # one step at a time
                    carry = None if ENDS[place] else carry
                    carry, logits = model(whole.inputs[None, [place]], initial_carry=carry, return_carry=True)
                    losses.append(-jax.nn.log_softmax(logits[0, 0])[whole.targets[place]])
                after.append(carry)
            return sum(losses) / len(losses), after

        (loss, carries), gradient = jax.jit(jax.value_and_grad(by_hand, has_aux=True))(model)
        run, ours = step(run)
        np.testing.assert_allclose(ours, loss, rtol=1e-5)
        model = jax.tree.map(lambda p, g: p - 0.1 * g, model, gradient)
    for ours, expected in zip(*map(jax.tree.leaves, (run.model, model)), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


class Counting(nnx.Module):
    """Its carry counts the steps since the beginning in two leaves of different shapes; it starts from 100."""

    def __init__(self, key):
        self.scale = nnx.Param(jnp.ones(VOCABULARY))

    def initialize_carry(self, shape):
        return jnp.full(shape, 100.0), jnp.full((*shape, 2, 3), 100.0)

    def __call__(self, tokens, initial_carry, return_carry, resets=None):
        carry = jax.tree.map(lambda leaf: leaf + tokens.shape[1], initial_carry)
        return carry, self.scale * jnp.ones((*tokens.shape, 1))


def steps_since_the_beginning(rate: float, seed: int = 0, updates: int = 40) -> np.ndarray:
    """After every update, ``[updates, 5]``: what the carry of every stream counted; splits of 9 steps, windows of 3."""
    recipe = Recipe(Counting, Letters(3, False, restart_rate=rate), optax.sgd(0.1), 5)
    run, step, found = recipe.start(seed), jax.jit(recipe.step), []
    for _ in range(updates):
        run, _ = step(run)
        np.testing.assert_array_equal(run.carry[1], jnp.broadcast_to(run.carry[0][:, None, None], (5, 2, 3)))
        found.append(np.asarray(run.carry[0]) - 100)
    return np.stack(found)


def test_restarts_take_streams_to_the_initial_carry_at_their_rate():
    """Every window begins with the last one's carry or with the initial one, which is not 0; each stream for itself."""
    np.testing.assert_array_equal(steps_since_the_beginning(0.0), np.tile([[3], [6], [9]], (14, 5))[:40])
    assert (steps_since_the_beginning(1.0) == 3).all()
    counted = steps_since_the_beginning(0.4, updates=150)
    assert set(counted.ravel()) == {3, 6, 9} and (counted[::3] == 3).all()
    begun = counted[np.arange(150) % 3 > 0] == 3
    assert begun.mean() == pytest.approx(0.4, abs=0.08) and begun.all(1).mean() < 0.05
    went_on = ~begun & (np.roll(counted, 1, axis=0)[np.arange(150) % 3 > 0] == 3)
    assert (counted[np.arange(150) % 3 > 0][went_on] == 6).all()
    assert (counted != steps_since_the_beginning(0.4, seed=1, updates=150)).any()


def test_restarts_change_no_evaluation_and_no_first_window():
    model, runs = speaker(jax.random.key(0)), []
    for rate in (0.0, 0.5):
        task = Letters(6, True, restart_rate=rate)
        runs.append((training.evaluate(model, task, "test")["loss"], Recipe(speaker, task, optax.sgd(0.1), 3)))
    assert runs[0][0] == runs[1][0]
    first, second = (jax.jit(recipe.step)(recipe.start(0)) for _, recipe in runs)
    np.testing.assert_array_equal(first[1], second[1])
    alone = Recipe(speaker, Letters(6, True, restart_rate=1.0), optax.sgd(0.1), 3)
    run, _ = jax.jit(alone.step)(alone.start(0))
    expected = alone.loss(run.model, alone.examples(run))  # each window from the initial carry
    np.testing.assert_allclose(jax.jit(alone.step)(run)[1], expected, rtol=1e-5)


def test_a_stopped_run_with_restarts_goes_on_as_it_would_have(tmp_path):
    task, half = Letters(6, False, restart_rate=0.5), dataclasses.replace(PLAN, steps=3)
    whole = training.fit(speaker, task, optax.sgd(0.1), PLAN)
    training.fit(speaker, task, optax.sgd(0.1), half, Output(tmp_path))
    same(training.fit(speaker, task, optax.sgd(0.1), PLAN, Output(tmp_path)), whole)
    with pytest.raises(training.CheckpointError, match="restart_rate"):
        training.fit(speaker, Letters(6, False, restart_rate=0.4), optax.sgd(0.1), PLAN, Output(tmp_path))


def test_restarts_of_a_carry_that_streams_share_are_refused():
    class Shared(Counting):
        def initialize_carry(self, shape):
            return jnp.zeros(()), jnp.zeros(shape)

    with pytest.raises(ValueError, match=r"restart_rate=0.5 with a carry of shapes \[\[\], \[4\]\]; allowed"):
        training.fit(Shared, Letters(3, False, restart_rate=0.5), optax.sgd(0.1), PLAN)


def test_more_streams_than_steps_are_refused():
    with pytest.raises(ValueError, match="the train split has 45 steps for 46 streams; allowed: one step or more"):
        training.fit(speaker, Letters(), optax.sgd(0.1), dataclasses.replace(PLAN, batch_size=46))


@dataclasses.dataclass(frozen=True)
class FromHost(HostTask):
    """Reversing, of batches that NumPy draws."""

    with_state: bool = False
    size: int = 4

    def examples(self, split):
        return drawn(Reverse(), 8, seed=len(split))

    def batches(self, step):
        return jax.tree.map(np.asarray, drawn(Reverse(), self.size, seed=step))

    def pipeline(self):
        return Counter(self) if self.with_state else None

    def loss(self, outputs, example):
        return cross_entropy(outputs["logits"], example)


class Counter:
    """A pipeline as grain's, whose state is a number."""

    def __init__(self, task):
        self.task, self.at = task, 0

    def __next__(self):
        self.at += 1
        return self.task.batches(self.at - 1)

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        self.at = state["at"]


def same(a: Any, b: Any) -> None:
    for left, right in zip(*(jax.tree.leaves((h.run.model, h.train_loss, h.metrics)) for h in (a, b)), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("with_state", [pytest.param(False, marks=pytest.mark.slow), True])
def test_batches_from_the_host_are_those_of_each_step_also_after_a_restart(tmp_path, with_state):
    task = FromHost(with_state)
    whole = training.fit(Translator, task, training.adam(1e-2, None), PLAN)
    recipe = Recipe(Translator, task, training.adam(1e-2, None), 4)
    run, losses = recipe.start(3), []
    for step in range(6):
        run, loss = jax.jit(recipe.step)(run, task.batches(step))
        losses.append(loss)
    np.testing.assert_allclose(whole.train_loss[0], losses, rtol=1e-5)
    half = dataclasses.replace(PLAN, steps=3)
    training.fit(Translator, task, training.adam(1e-2, None), half, Output(tmp_path))
    resumed = training.fit(Translator, task, training.adam(1e-2, None), PLAN, Output(tmp_path))
    assert resumed.resumed_at == 3
    same(resumed, whole)


def test_what_a_host_gives_wrong_is_refused():
    class Plain(FromHost):
        def pipeline(self):
            return (self.batches(step) for step in range(9))

    class Short(FromHost):
        def pipeline(self):
            return Ending(self)

    class Ending(Counter):
        def __next__(self):
            if self.at == 4:
                raise StopIteration
            return super().__next__()

    for task, words in (
        (Plain(), "the pipeline of Plain is a generator without get_state and set_state; allowed"),
        (Short(), "the pipeline of Short ends before update 4"),
        (FromHost(size=5), r"gave a batch of \[5\] examples and Plan has batch_size=4"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            training.fit(Translator, task, training.adam(1e-2, None), PLAN)


def test_grain_pipelines_resume_where_they_were(tmp_path):
    grain = pytest.importorskip("grain.python", reason="grain is not installed")

    class Grain(FromHost):
        def pipeline(self):
            rows = [jax.tree.map(lambda leaf, i=i: leaf[i], self.batches(0)) for i in range(4)]
            return iter(grain.MapDataset.source(rows).shuffle(seed=1).repeat().to_iter_dataset().batch(4))

    whole = training.fit(Translator, Grain(), training.adam(1e-2, None), PLAN)
    half = dataclasses.replace(PLAN, steps=3)
    training.fit(Translator, Grain(), training.adam(1e-2, None), half, Output(tmp_path))
    same(training.fit(Translator, Grain(), training.adam(1e-2, None), PLAN, Output(tmp_path)), whole)


def test_metrics_files_name_what_the_task_names(tmp_path):
    training.fit(Translator, Reverse(), optax.inject_hyperparams(optax.sgd)(0.01), PLAN, Output(tmp_path))
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert list(row) == ["step", "seed", "train_loss", "loss", "bits", "learning_rate", "right", "wrong"]
    assert row["learning_rate"] == pytest.approx(0.01)


def test_a_task_is_asked_for_by_name():
    with pytest.raises(TypeError, match="fit got str as task; allowed: a recurrax"):
        training.fit(Translator, "adding", training.adam(1e-2, None), PLAN)  # type: ignore
