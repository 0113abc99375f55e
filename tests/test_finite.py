"""Tasks on data sets: examples by hand, splits that `fit` keeps apart and judges whole, chance levels."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from recurrax import datasets, training
from recurrax.datasets import Dataset, Images, Rolls, permutation
from recurrax.tasks import Example, PolyphonicMusic, SequentialImages
from recurrax.training import CheckpointError, Output, Plan

pytestmark = pytest.mark.usefixtures("quick")

SHARED = Path(__file__).parents[2] / "shared" / "data"
RANDOM = np.random.default_rng(0)


def images(count: int, shape=(4, 3, 2), classes=3) -> Images:
    return Images(RANDOM.integers(0, 256, (count, *shape), np.uint8), RANDOM.integers(0, classes, count, np.uint8))


def rolls(*lengths: int) -> Rolls:
    """Three keys; the padding is not zero, so that a test notices who reads it."""
    return Rolls(RANDOM.integers(0, 2, (len(lengths), max(lengths), 3), np.uint8), np.asarray(lengths, np.int32))


PICTURES = Dataset("pictures", "here", images(40), images(23), images(17))
PIECES = Dataset("pieces", "here", rolls(6, 3, 4), rolls(2, 8, 5, 3, 7), rolls(3, 9))


@pytest.mark.parametrize("variant", SequentialImages.VARIANTS)
def test_an_image_is_read_in_its_order(variant):
    task = SequentialImages(PICTURES, variant)
    pixels, labels = map(np.asarray, PICTURES.train)
    standard = (pixels[5] - pixels.reshape(-1, 2).mean(0)) / pixels.reshape(-1, 2).std(0)  # of each channel
    expected = {
        "pixels": [standard[row, column] for row in range(4) for column in range(3)],
        "permuted": [standard[at // 3, at % 3] for at in permutation(12)],
        "rows": [[standard[row, column, channel] for column in range(3) for channel in range(2)] for row in range(4)],
    }[variant]
    example = task.example("train", jnp.asarray(5))
    np.testing.assert_allclose(example.inputs, expected, rtol=1e-5, atol=1e-6)
    assert example.inputs.shape == (task.sequence_length, task.in_features) == np.shape(expected)
    assert example.targets.tolist() == [0] * (task.sequence_length - 1) + [labels[5]]
    assert example.weights.tolist() == [0] * (task.sequence_length - 1) + [1]
    assert [array.dtype for array in example[:3]] == [jnp.float32, jnp.int32, jnp.float32]
    assert task.out_features == 3


def test_samples_are_of_the_training_split_alone_and_all_of_it():
    task = SequentialImages(PICTURES, "rows")
    keys = jax.random.split(jax.random.key(0), 4000)
    examples = jax.jit(jax.vmap(task.sample))(keys)
    drawn = {row.tobytes(): 0 for row in np.asarray(task.examples("train").inputs)}
    for row in np.asarray(examples.inputs):
        drawn[row.tobytes()] += 1  # a KeyError for any other image
    expected = 4000 / 40
    assert max(abs(count - expected) for count in drawn.values()) < 5 * math.sqrt(expected)
    for got, again in zip(examples, jax.vmap(task.sample)(keys), strict=True):
        np.testing.assert_array_equal(got, again)


@pytest.mark.slow
def test_loss_accuracy_and_chance_of_images():
    task = SequentialImages(PICTURES)
    example = task.example("test", jnp.asarray(2))
    label = int(PICTURES.test.labels[2])
    outputs = RANDOM.normal(size=(12, 3)).astype(np.float32)
    p = np.exp(outputs[-1]) / np.exp(outputs[-1]).sum()
    assert task.loss(outputs, example) == pytest.approx(-math.log(p[label]), rel=1e-5)
    assert task.accuracy(outputs, example) == float(p.argmax() == label)
    outputs[-1, label] = 9
    assert task.accuracy(outputs, example) == 1
    outputs[:-1] = np.nan
    assert np.isfinite(jax.grad(task.loss)(outputs, example)).all()
    frequencies = np.bincount(PICTURES.train.labels) / 40
    assert task.chance_level() == pytest.approx(-np.log(frequencies[np.asarray(PICTURES.test.labels)]).mean())
    np.testing.assert_array_equal(task.success(9.0, np.array([0.99, 0.991])), [False, True])


def test_a_piece_predicts_its_next_frame():
    task = PolyphonicMusic(PIECES)
    assert (task.in_features, task.out_features, task.sequence_length) == (3, 3, 8)
    inputs, targets, weights = map(np.asarray, task.example("validation", jnp.asarray(2))[:3])
    roll = np.asarray(PIECES.validation.rolls)[2]
    assert weights.tolist() == [1] * 4 + [0] * 4  # of five frames
    np.testing.assert_array_equal(inputs[:4], roll[:4])
    np.testing.assert_array_equal(targets[:4], roll[1:5])
    assert (inputs[4:] == 0).all()
    assert task.example("train", jnp.asarray(0)).inputs.shape == (8, 3)  # shorter than the longest piece of all


def test_loss_and_accuracy_of_frames_by_hand():
    task = PolyphonicMusic(PIECES)
    targets = jnp.asarray([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]], jnp.float32)
    example = Example(jnp.zeros((4, 3)), targets, jnp.asarray([1, 1, 1, 0], jnp.float32))
    logits = jnp.asarray([[2, -1, 1], [1, -2, -3], [-1, -1, -1], [jnp.nan] * 3])
    p = 1 / (1 + np.exp(-np.asarray(logits[:3])))
    surprise = -np.log(np.where(targets[:3] == 1, p, 1 - p)).sum() / 3
    assert task.loss(logits, example) == pytest.approx(surprise, rel=1e-5)
    assert task.accuracy(logits, example) == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)  # the third is silent, rightly
    assert np.isfinite(jax.grad(task.loss)(logits, example)).all()
    assert task.success(8.6, 0.0) and not task.success(8.61, 1.0)


def test_chance_of_frames_is_that_of_each_key():
    frames = {
        split: np.concatenate([roll[1:length] for roll, length in zip(*map(np.asarray, pieces), strict=True)])
        for split, pieces in {"train": PIECES.train, "test": PIECES.test}.items()
    }
    p = (frames["train"].sum(0) + 0.5) / (len(frames["train"]) + 1)
    surprise = -np.log(np.where(frames["test"] == 1, p, 1 - p)).sum(1).mean()
    assert PolyphonicMusic(PIECES).chance_level() == pytest.approx(surprise)


@pytest.mark.skipif(not (SHARED / "jsb").exists(), reason="no JSB chorales beside the checkout")
def test_chance_of_the_chorales():
    assert PolyphonicMusic(datasets.load("jsb_chorales", SHARED / "jsb")).chance_level() == pytest.approx(
        11.09, abs=5e-3
    )


def test_tasks_are_equal_if_their_data_are():
    other = Dataset("pictures", "there", PICTURES.train, PICTURES.validation, PICTURES.test)
    task = SequentialImages(PICTURES)
    assert task == SequentialImages(other) and hash(task) == hash(SequentialImages(other))
    assert task != SequentialImages(PICTURES, "rows")
    assert task != SequentialImages(dataclasses.replace(PICTURES, test=PICTURES.train))
    with pytest.raises(ValueError, match="variant='columns' is unknown; allowed are 'pixels', 'permuted', 'rows'"):
        SequentialImages(PICTURES, "columns")
    with pytest.raises(NotImplementedError, match="SequentialImages on pictures has no oracle"):
        task.oracle(jnp.zeros((12, 2)))


class Readout(nnx.Module):
    """``y_t = x_t W``: a step's outputs are of its inputs."""

    def __init__(self, key, features):
        self.kernel = nnx.Param(jax.random.normal(key, features))

    def __call__(self, xs):
        return xs @ self.kernel[...]


def train(task, held_out, output=Output(), **changes):
    plan = Plan(steps=4, batch_size=8, chunk=2, held_out=held_out, seeds=(0, 1), devices=1, stop_when_solved=False)
    build = lambda key: Readout(key, (task.in_features, task.out_features))  # noqa: E731
    return training.fit(build, task, training.adam(0.1), dataclasses.replace(plan, **changes), output)


def judged(task, model, split: str) -> tuple[float, float]:
    """Loss and accuracy of a model on a split, example by example, over all steps that count."""
    examples = task.examples(split)
    scores = jax.jit(jax.vmap(lambda x: (task.loss(model(x.inputs), x), task.accuracy(model(x.inputs), x))))(examples)
    steps = np.asarray(examples.weights).sum(1)
    loss, accuracy = (float(np.dot(steps, values) / steps.sum()) for values in scores)
    return loss, accuracy


@pytest.mark.parametrize("task", [SequentialImages(PICTURES, "rows"), PolyphonicMusic(PIECES)], ids=lambda t: t.name)
@pytest.mark.parametrize("held_out", [4, 100])
def test_fit_judges_whole_splits(task, held_out):
    """Each example once, whether or not the batches divide them; pieces count by their frames."""
    history = train(task, held_out)
    for seed in (0, 1):
        model = jax.tree.map(lambda leaf, seed=seed: leaf[seed], history.run.model)
        best = jax.tree.map(lambda leaf, seed=seed: leaf[seed], history.best_model)
        assert (history.loss[seed, -1], history.accuracy[seed, -1]) == pytest.approx(
            judged(task, model, "validation"), rel=1e-5
        )
        assert (history.test_loss[seed], history.test_accuracy[seed]) == pytest.approx(
            judged(task, best, "test"), rel=1e-5
        )


@pytest.mark.slow
def test_the_test_split_chooses_nothing():
    """Another one changes the test and nothing else; another validation split leaves the updates as they are."""
    task = SequentialImages(PICTURES, "rows")
    history = train(task, 100)
    for split in ("test", "validation"):
        other = train(SequentialImages(dataclasses.replace(PICTURES, **{split: images(9)}), "rows"), 100)
        np.testing.assert_array_equal(other.train_loss, history.train_loss)
        assert (other.loss == history.loss).all() == (split == "test")
        assert (other.test_loss != history.test_loss).all() or split == "validation"


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    task = SequentialImages(PICTURES, "rows")
    train(task, 100, Output(tmp_path), steps=2)
    assert train(task, 100, Output(tmp_path)).resumed_at == 2
    other = dataclasses.replace(PICTURES, train=images(40))
    with pytest.raises(CheckpointError, match=r"task.sha256 is \w+ there and \w+ here"):
        train(SequentialImages(other, "rows"), 100, Output(tmp_path))
