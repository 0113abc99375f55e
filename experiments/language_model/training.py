"""The settings, what is counted and compressed, and the training of every cell."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import recurrax as rx
from experiments import lab
from experiments.baselines.ngram import NGram, compressed_bits
from experiments.tuning import count
from recurrax import datasets
from recurrax.datasets import Text
from recurrax.layers import RNN, SequenceModel, Stack, generate
from recurrax.tasks import NextToken
from recurrax.training import clip_by_norm, predict

CELLS = ("LSTM", "GRU", "RNN", "MinGRU")
ORDER = 6  # length of the longest n-gram
TEMPERATURES = (0.5, 0.8, 1.0)
PROMPT = "And it came to pass "
DRAWN = 300  # characters of each sample
WARM, SHOWN = 1000, 360  # characters of the test split that are read first, and whose surprise is kept
BEGUN, TRIED = 400, 500  # characters read from places of the validation split, and how many places
PLACES = 8  # letters of a word whose mean surprise is kept


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Next characters of the King James Bible; the defaults take about five minutes on a CPU core."""

    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where `recurrax datasets get kjv` kept the text; its own folder by default."""
    cells: tuple[Literal[*CELLS], ...] = ("LSTM",)  # type: ignore[valid-type]
    """Cells, one after another: LSTM, GRU, RNN, and MinGRU, a linear one, in two layers."""
    weights: int = 200_000
    """About how many weights every model has; its hidden size follows from it."""
    embedding: int = 64
    """Size of the embedding of a character (D)."""
    learning_rate: float = 1e-2
    """Adam's first learning rate, which falls to 0 along half a cosine; a third of it for the RNN."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    seeds: tuple[int, ...] = (0,)
    """Seeds, all of which are reported."""
    steps: int = 5000
    """Updates of each run."""
    batch_size: int = 32
    """Places of the book that are read side by side."""
    window: int = 64
    """Characters of an update in each of them, through which gradients go."""
    restart_rate: float = 0.05
    """Probability that a place is read on from the initial state in place of the last one, at every update."""
    without_restarts: bool = False
    """Also train the first cell without restarts."""
    chunk: int = 500
    """Updates between evaluations on the validation split."""
    evaluation_streams: int = 32
    """Pieces in which a split is read when it is evaluated, each from the initial state."""


PRESETS = {
    "default": Config(),
    "table": Config(cells=CELLS, seeds=(0, 1, 2), steps=1500, chunk=250, without_restarts=True),
    "restarts": Config(
        cells=("LSTM",), seeds=(0, 1, 2), weights=350_000, learning_rate=4e-3, window=128, steps=500, chunk=100,
        without_restarts=True,
    ),
    "accelerator": Config(
        cells=CELLS, seeds=(0, 1, 2), weights=4_000_000, embedding=128, steps=20_000, batch_size=128, window=128,
        learning_rate=2e-3, chunk=1000, without_restarts=True,
    ),
    "smoke": Config(
        cells=("LSTM", "MinGRU"), seeds=(0, 1), weights=4_000, embedding=8, steps=4, batch_size=4, window=16, chunk=2,
        evaluation_streams=2, restart_rate=0.5, without_restarts=True,
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """The data and what is counted and compressed; then every cell."""
    book = str(datasets.read("kjv", config.data_dir)["text"])
    text = Text.contiguous(book, name="King James Bible")
    for cell in config.cells:
        hidden_size(cell, config, text.vocabulary_size)
    lab.plan(config)
    task = NextToken(text, config.window, config.evaluation_streams, config.restart_rate)
    found = {
        "data": functools.partial(describe, text),
        "n-grams": functools.partial(count_ngrams, text),
        "compressors": functools.partial(compress, text),
        **{cell: functools.partial(learn, config, task, cell) for cell in config.cells},
    }
    if config.without_restarts:
        unbroken = dataclasses.replace(task, restart_rate=0.0)
        found["without restarts"] = functools.partial(learn, config, unbroken, config.cells[0], ", without restarts")
    return found


def describe(text: Text) -> dict[str, Any]:
    """A description of the data."""
    return {
        "name": text.name,
        "sizes": text.sizes,
        "vocabulary": text.vocabulary_size,
        "sha256": text.sha256,
        "begins": text.decode(np.asarray(text.test.inputs)[:200]),
    }


def count_ngrams(text: Text) -> dict[str, Any]:
    """Bits a test character of n-grams of every order, and the surprises of the longest over a passage."""
    began = time.perf_counter()
    model = NGram(_tokens(text, "train"), text.vocabulary_size, ORDER)
    bits = {
        split: -model.log_probabilities(_tokens(text, split))[:, 1:] / math.log(2) for split in ("validation", "test")
    }
    drawn = model.sample(text.encode(PROMPT), DRAWN, np.random.default_rng(0))
    return {
        "orders": list(range(ORDER + 1)),
        "validation": bits["validation"].mean(axis=1),
        "test": bits["test"].mean(axis=1),
        "passage": np.round(bits["test"][-1, WARM : WARM + SHOWN], 3),
        "by_place": by_place(text.decode(_tokens(text, "test"))[1:], bits["test"][-1]),
        "sample": text.decode(drawn),
        "contexts": [len(table[2]) for table in model.tables],
        "grams": [len(table[0]) for table in model.tables],
        "seconds": time.perf_counter() - began,
    }


def compress(text: Text) -> dict[str, Any]:
    """Bits a test character of bz2 and xz after the training text."""
    began = time.perf_counter()
    train, test = (text.decode(_tokens(text, split)) for split in ("train", "test"))
    return {"test": compressed_bits(train, test), "seconds": time.perf_counter() - began}


def learn(config: Config, task: NextToken, cell: str, title: str = "") -> dict[str, Any]:
    """Every seed of a cell, and what its best model writes and is surprised by."""
    hidden = hidden_size(cell, config, task.out_features)
    build = functools.partial(make, cell, config.embedding, hidden, task.out_features)
    rate = config.learning_rate / (3 if cell == "RNN" else 1)
    optimizer = optax.chain(clip_by_norm(config.clip_norm), optax.adam(optax.cosine_decay_schedule(rate, config.steps)))
    history = lab.train(config, cell + title, build, task, optimizer, lab.plan(config))
    best = int(np.argmin(np.nanmin(history.loss, axis=1)))
    model = history.best(best)
    return {
        "cell": cell,
        "hidden": hidden,
        "parameters": count(build),
        "learning_rate": rate,
        **lab.outcome(history),
        "bits": history.metric("bits"),
        "test_bits": history.test_metrics["bits"],
        "stuck": [stuck(history.best(run), task.data) for run in range(len(history))],
        "best_seed": int(history.seeds[best]),
        **write(model, task),
    }


def stuck(model: SequenceModel, text: Text) -> float:
    """The share of places on the validation split from which a model never gets going.

    It begins there from the initial state, and after half of its way knows less than that all characters are equally
    likely.
    """
    tokens = _tokens(text, "validation")
    starts = np.random.default_rng(0).integers(0, max(len(tokens) - BEGUN, 1), TRIED)
    rows = np.stack([tokens[start : start + BEGUN] for start in starts])
    outputs = jax.jit(lambda model, inputs: jax.nn.log_softmax(model(inputs)))(model, rows[:, :-1])
    bits = -np.take_along_axis(np.asarray(outputs), rows[:, 1:, None], axis=-1)[..., 0] / math.log(2)
    return float(np.mean(bits[:, BEGUN // 2 :].mean(axis=1) > 1.001 * math.log2(text.vocabulary_size)))


def write(model: SequenceModel, task: NextToken) -> dict[str, Any]:
    """The surprises in bits over the test split, which is read from beginning to end, and samples of text."""
    text, test = task.data, _tokens(task.data, "test")
    logits = np.asarray(predict(model, task, "test"), np.float64)
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    surprise = -log_probabilities[np.arange(len(test) - 1), test[1:]] / math.log(2)
    prompt = jnp.asarray(text.encode(PROMPT))[None]
    samples = {
        f"{t:g}": text.decode(np.asarray(generate(model, prompt, DRAWN, key=jax.random.key(0), temperature=t))[0])
        for t in TEMPERATURES
    }
    return {
        "streamed_bits": float(surprise.mean()),
        "by_place": by_place(text.decode(test)[1:], surprise),
        "passage": text.decode(test[1 + WARM :][:SHOWN]),
        "surprise": np.round(surprise[WARM : WARM + SHOWN], 3),
        "prompt": PROMPT,
        "samples": samples,
    }


def by_place(text: str, surprise: np.ndarray) -> list[float]:
    """The mean surprise of the first letter of a word, of the second, and so on to the eighth."""
    place, sums, counts = 0, np.zeros(PLACES), np.zeros(PLACES)
    for character, bits in zip(text, surprise, strict=True):
        place = place + 1 if character.isalpha() else 0
        if 1 <= place <= PLACES:
            sums[place - 1] += bits
            counts[place - 1] += 1
    return [float(value) for value in sums / np.maximum(counts, 1)]


def make(cell: str, embedding: int, hidden: int, vocabulary: int, key: jax.Array) -> SequenceModel:
    """The model of a cell: embedding, one layer (two of the linear cell), and a score for every character."""
    rngs = nnx.Rngs(key)
    layers: dict[str, Callable[[], Any]] = {
        "LSTM": lambda: rx.LSTM(embedding, hidden, rngs=rngs),
        "GRU": lambda: rx.GRU(embedding, hidden, rngs=rngs),
        "RNN": lambda: rx.SimpleRNN(embedding, hidden, rngs=rngs),
        "MinGRU": lambda: Stack(
            [RNN(rx.cells.MinGRUCell(size, hidden, rngs=rngs)) for size in (embedding, hidden)], residual=True
        ),
    }
    return SequenceModel(layers[cell](), vocabulary, vocabulary=vocabulary, rngs=rngs)


def hidden_size(cell: str, config: Config, vocabulary: int) -> int:
    """The largest H, in steps of 8, whose model has at most the weights that are asked for.

    Raises:
        ValueError: not even H = 8 fits.
    """
    D, V = config.embedding, vocabulary
    recurrent = {
        "LSTM": lambda H: 4 * H * (D + H + 1),
        "GRU": lambda H: 3 * H * (D + H + 1),
        "RNN": lambda H: H * (D + H + 1),
        "MinGRU": lambda H: 2 * H * (D + H + 2),
    }[cell]
    fitting = [H for H in range(8, 8192, 8) if recurrent(H) + D * V + (H + 1) * V <= config.weights]
    if not fitting:
        raise ValueError(f"weights={config.weights} are too few for a {cell} of 8 units; allowed: more, --weights.")
    return fitting[-1]


def _tokens(text: Text, split: str) -> np.ndarray:
    steps = getattr(text, split)
    return np.append(np.asarray(steps.inputs), np.asarray(steps.targets)[-1])
