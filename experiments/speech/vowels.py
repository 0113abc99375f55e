"""Who said the vowels? Settings by cross-validation inside the training part, then one test of all seeds."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from flax import nnx

from experiments import lab
from experiments.baselines.nearest_utterance import nearest
from experiments.speech.model import LAYERS
from recurrax.datasets import Arrays, Dataset, scale
from recurrax.layers import SequenceModel
from recurrax.tasks import Supervised
from recurrax.training import Plan, adam, evaluate


def build(key: jax.Array, task: Supervised, cell: str, hidden: int) -> SequenceModel:
    """One layer in one direction, whose last output that exists names the speaker; half of it dropped in training."""
    rngs = nnx.Rngs(key)
    layer = LAYERS[cell](task.in_features, hidden, rngs=rngs)
    return SequenceModel(layer, task.out_features, read="last", dropout=0.5, rngs=rngs)


def arrays(found: dict[str, np.ndarray]) -> tuple[Arrays, Arrays]:
    """The given training and test part."""
    train = np.asarray(found["train"], bool)
    whole = Arrays(found["inputs"].astype(np.float32), found["labels"].astype(np.int32), found["lengths"])
    return whole.take(train), whole.take(~train)


def learn(config: Any, found: dict[str, np.ndarray], cell: str) -> dict[str, Any]:
    """Cross-validation chooses learning rate and updates; then every seed learns from the whole training part."""
    train, test = arrays(found)
    curves = [
        fit(config, scale(fold), cell, f"vowels {cell} fold {number}", config.vowel_learning_rate, config.vowel_steps)
        for number, fold in enumerate(inner_folds(train, config.vowel_folds))
    ]
    steps, rates = curves[0].steps, np.asarray(config.vowel_learning_rate)
    losses = np.mean([curve.loss for curve in curves], axis=0)[:, 1:]  # [rates x seeds, evaluations]
    by_rate = losses.reshape(len(rates), -1, losses.shape[1]).mean(axis=1)
    best, at = np.unravel_index(np.nanargmin(by_rate), by_rate.shape)
    # The last model is used and validation has no influence, so the training part can serve as validation part.
    data = scale(Dataset("japanese-vowels", "given split", train, train, test))
    history = fit(config, data, cell, f"vowels {cell}", (float(rates[best]),), int(steps[1 + at]))
    task = Supervised(data)
    models = [jax.tree.map(lambda leaf, n=n: leaf[n], history.run.model) for n in range(len(history))]
    scores = [evaluate(model, task, "test") for model in models]
    return {
        "learning_rate": float(rates[best]),
        "steps": int(steps[1 + at]),
        "cross_validated_loss": by_rate.min(axis=1),
        "accuracy": [score["accuracy"] for score in scores],
        "loss": [score["loss"] for score in scores],
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(models[0])),
        "seconds": sum(one.seconds + one.compile_seconds for one in (*curves, history)),
    }


def inner_folds(train: Arrays, number: int) -> list[Dataset[Arrays]]:
    """Parts of the training part, each of which is held out once; the test split of `Dataset` is not used."""
    labels = np.asarray(train.targets)
    place = np.zeros(len(labels), int)
    for label in np.unique(labels):  # every speaker in equal shares
        place[labels == label] = np.arange(np.sum(labels == label)) % number
    return [
        Dataset(f"fold {fold}", "training part", train.take(place != fold), held_out, held_out)
        for fold in range(number)
        for held_out in [train.take(place == fold)]
    ]


def fit(config: Any, data: Dataset[Arrays], cell: str, title: str, rates: tuple[float, ...], steps: int) -> Any:
    """Every seed at every learning rate."""
    task = Supervised(data)
    plan = Plan(
        steps=steps, batch_size=32, chunk=config.vowel_chunk, seeds=config.vowel_seeds,
        sweep={"learning_rate": rates}, stop_when_solved=False,
    )  # fmt: skip
    builder = functools.partial(build, task=task, cell=cell, hidden=config.vowel_hidden)
    return lab.train(config, title, builder, task, functools.partial(adam, clip_norm=1.0), plan)


def baselines(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Test accuracy of the most frequent speaker, of the nearest utterance and of a linear classifier."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = arrays(found)
    data = scale(Dataset("japanese-vowels", "given split", train, train, test))
    train, test = (jax.tree.map(np.asarray, part) for part in (data.train, data.test))
    queries = [frames[:length] for frames, length in zip(test.inputs, test.lengths, strict=True)]
    neighbours = train.targets[nearest(queries, train.inputs, train.lengths)]
    means = [part.inputs.sum(axis=1) / part.lengths[:, None] for part in (train, test)]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    linear = GridSearchCV(pipeline, {"logisticregression__C": np.logspace(-2, 4, 7)}).fit(means[0], train.targets)
    majority = np.bincount(train.targets).argmax()
    return {
        "sizes": [len(train.targets), len(test.targets)],
        "speakers": int(train.targets.max()) + 1,
        "frames": [int(train.lengths.min()), int(train.lengths.max())],
        "majority": float(np.mean(test.targets == majority)),
        "nearest": float(np.mean(test.targets == neighbours)),
        "logistic": float(linear.score(means[1], test.targets)),  # type: ignore
    }
