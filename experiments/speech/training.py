"""The settings, the folds of the prompts, and what is measured on each of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments import lab
from experiments.baselines.nearest_utterance import nearest
from experiments.speech import corpus, vowels
from experiments.speech.model import LAYERS, Recogniser
from recurrax import datasets
from recurrax.datasets import Arrays
from recurrax.edit_distance import edit_distance
from recurrax.layers import ctc_greedy
from recurrax.tasks import Bucketed, Transcription
from recurrax.training import adam, parameters, predict

CELLS = ("LSTM", "GRU", "forward LSTM")
SHAPES = 3  # lengths that batches are padded to, each of which costs a compilation


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Letters of spoken prompts and speakers of vowels; the defaults take about four minutes on two CPU cores."""

    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where `recurrax datasets get prompts` and `recurrax datasets get japanese-vowels` put the data."""
    cells: tuple[Literal[*CELLS], ...] = ("LSTM",)  # type: ignore[valid-type]
    """Recognisers: LSTM and GRU read in both directions, forward LSTM in one."""
    tested: tuple[int, ...] = (0,)
    """Folds that are tested, from 0 on."""
    folds: int = 5
    """Parts of the prompts, each of which is one test split."""
    validation: float = 0.15
    """Share of the other texts that chooses the number of updates."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds, stated in advance; each of them is reported."""
    longest: float = 4.0
    """Prompts of more seconds are left out."""
    mels: int = 40
    """Triangles of the log-mel features."""
    stack: int = 3
    """Frames of 10 ms in one step."""
    hidden: int = 96
    """Units of each layer and direction (H)."""
    layers: int = 2
    """Layers one above the other."""
    dropout: float = 0.3
    """Rate between layers and before the logits."""
    masks: tuple[int, int] = (4, 3)
    """Widest stripes that are hidden in training: so many mels, so many steps."""
    learning_rate: float = 3e-3
    """Adam's learning rate at first; it falls to 0 as a cosine."""
    steps: int = 1400
    """Updates of each run."""
    batch_size: int = 8
    """Prompts of an update."""
    chunk: int = 200
    """Updates between evaluations."""
    vowel_cells: tuple[Literal[*LAYERS], ...] = ("LSTM",)  # type: ignore[valid-type]
    """Cells that name the speakers of the vowels."""
    vowel_seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds of the vowels, stated in advance."""
    vowel_hidden: int = 64
    """Units of the one layer for the vowels."""
    vowel_learning_rate: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """Adam's learning rates for the vowels; cross-validation inside the training part chooses."""
    vowel_steps: int = 600
    """Updates for the vowels at most; cross-validation chooses how many."""
    vowel_chunk: int = 50
    """Updates between evaluations for the vowels."""
    vowel_folds: int = 3
    """Parts of the training part of the vowels in the cross-validation."""

    def __post_init__(self) -> None:
        """Raises ValueError if a setting cannot be used."""
        super().__post_init__()
        if max(self.tested) >= self.folds:
            self.refuse("tested", f"folds from 0 to {self.folds - 1}")


PRESETS = {
    "default": Config(),
    "table": Config(cells=CELLS, tested=(0, 1, 2, 3, 4), seeds=(0, 1, 2), vowel_cells=("RNN", "GRU", "LSTM")),
    "smoke": Config(
        folds=2, tested=(0, 1), longest=2.0, mels=12, hidden=4, layers=1, steps=4, batch_size=2, chunk=2,
        vowel_seeds=(0, 1), vowel_hidden=4, vowel_learning_rate=(1e-2,), vowel_steps=4, vowel_chunk=2, vowel_folds=2,
    ),
    "accelerator": Config(
        cells=CELLS, tested=(0, 1, 2, 3, 4), seeds=(0, 1, 2), longest=20.0, hidden=256, layers=3, steps=6000, chunk=300,
        vowel_cells=("RNN", "GRU", "LSTM"), vowel_seeds=tuple(range(10)),
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """The prompts, what needs no training, every cell on every fold; then the vowels."""
    sounds = datasets.read("prompts", config.data_dir)
    spoken = datasets.read("japanese-vowels", config.data_dir)
    prompts = corpus.read_prompts(sounds, config.longest, config.mels, config.stack, config.folds)
    adam(config.learning_rate)  # raises for an invalid learning rate
    recognisers = {
        f"{cell} fold {fold}": functools.partial(learn, config, prompts, cell, fold)
        for cell in config.cells
        for fold in config.tested
    }
    return {
        "prompts": functools.partial(describe, config, prompts),
        "nearest utterance": functools.partial(compare, config, prompts),
        **recognisers,
        "vowel baselines": functools.partial(vowels.baselines, spoken),
        **{f"vowels {cell}": functools.partial(vowels.learn, config, spoken, cell) for cell in config.vowel_cells},
    }


def describe(config: Config, prompts: corpus.Prompts) -> dict[str, Any]:
    """A description of the prompts: number, length, and texts in the order of the folds."""
    steps = np.array([len(frames) for frames in prompts.frames])
    parts = corpus.folds(prompts, config.folds, config.validation)[0].sizes
    return {
        "counts": prompts.counts,
        "sizes": parts,
        "seconds": prompts.seconds,
        "steps": [int(steps.min()), int(np.median(steps)), int(steps.max())],
        "texts": prompts.texts,
    }


def compare(config: Config, prompts: corpus.Prompts) -> dict[str, Any]:
    """The text of the nearest training utterance for each prompt of each tested fold, by dynamic time warping."""
    written = {}
    for fold in config.tested:
        data = corpus.folds(prompts, config.folds, config.validation)[fold]
        train, test = (jax.tree.map(np.asarray, part) for part in (data.train, data.test))
        queries = [frames[:length] for frames, length in zip(test.inputs, test.lengths, strict=True)]
        answers = nearest(queries, train.inputs, train.lengths)
        written[str(fold)] = [said(train, answer) for answer in answers]
    return {"written": written}


def said(arrays: Arrays, number: int) -> str:
    """The text of an example."""
    assert arrays.weights is not None
    return corpus.decode(np.asarray(arrays.targets[number])[np.asarray(arrays.weights[number]) > 0])


def learn(config: Config, prompts: corpus.Prompts, cell: str, fold: int) -> dict[str, Any]:
    """Every seed of a recogniser on a fold, and what the model with the lowest validation loss writes."""
    data = corpus.folds(prompts, config.folds, config.validation)[fold]
    inner = Transcription(data)
    lengths = corpus.lengths(prompts, SHAPES)
    task = Bucketed(inner, config.batch_size, shapes=lengths, consecutive=2)
    plan = lab.plan(config, sweep={}, held_out=64, stop_when_solved=False)
    history = lab.train(config, f"{cell} fold {fold}", builder(config, inner, cell), task, optimizer(config), plan)
    models = [jax.tree.map(lambda leaf, n=n: leaf[n], history.best_model) for n in range(len(history))]
    outputs = [jnp.asarray(predict(model, task, "test", 64)) for model in models]
    entry: dict[str, Any] = {
        "cell": cell,
        "fold": fold,
        "written": [write(y, data.test) for y in outputs],
        "steps": history.steps,
        "loss": history.loss,
        "test_loss": history.test_loss,
        "best_at": history.best_at,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(parameters(models[0]))),
        "seconds": history.seconds,
        "compile_seconds": history.compile_seconds,
    }
    if (cell, fold) == (config.cells[0], config.tested[0]):
        entry["example"] = example(data.test, outputs[0], entry["written"][0], prompts, config)
    return entry


def builder(config: Config, task: Transcription, cell: str) -> Any:
    """``build(key) -> model``."""

    def build(key: jax.Array) -> Recogniser:
        return Recogniser(
            task.in_features, task.out_features, cell, config.hidden, layers=config.layers, dropout=config.dropout,
            stack=config.stack, masks=config.masks, rngs=nnx.Rngs(key),
        )  # fmt: skip

    return build


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam whose rate falls to 0 as a cosine, the norm of the gradient clipped at 1."""
    rate = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


def write(outputs: jax.Array, arrays: Arrays) -> list[str]:
    """The texts of the best paths."""
    tokens, counts = ctc_greedy(outputs, arrays.lengths)
    return [corpus.decode(row[:n]) for row, n in zip(np.asarray(tokens), np.asarray(counts), strict=True)]


def example(
    test: Arrays, outputs: jax.Array, written: Sequence[str], prompts: corpus.Prompts, config: Config
) -> dict[str, Any]:
    """A test prompt as the figure shows it: the one with the median error rate of those with 15 to 40 letters."""
    texts = [said(test, number) for number in range(len(written))]
    rates = np.array([edit_distance(a, b) / len(a) for a, b in zip(texts, written, strict=True)])
    fit = [n for n, text in enumerate(texts) if 15 <= len(text) <= 40] or list(range(len(texts)))
    chosen = sorted(fit, key=lambda n: (rates[n], texts[n]))[len(fit) // 2]
    assert test.lengths is not None
    length = int(np.asarray(test.lengths)[chosen])
    frames = prompts.frames[prompts.texts.index(texts[chosen])]
    return {
        "text": texts[chosen],
        "written": written[chosen],
        "log_mel": np.round(frames.reshape(length * config.stack, config.mels), 1),
        "posteriors": np.round(np.asarray(jax.nn.softmax(outputs[chosen, :length])), 3),
    }
