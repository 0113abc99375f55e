"""The settings, what translates without a net, the training of encoder-decoders, and the checks for leaks."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import optax
from flax import nnx

import recurrax as rx
from experiments import lab
from experiments.baselines.dictionary import IBM1, recall
from experiments.translation.decoding import Translator
from experiments.translation.verses import LENGTHS, Sentence, Verses, judge, verses
from experiments.tuning import count
from recurrax import datasets
from recurrax.datasets import Arrays, Dataset, Vocabulary
from recurrax.layers import EncoderDecoder
from recurrax.tasks import Bucketed, SequenceToSequence
from recurrax.training import Plan, clip_by_norm, fit

MODELS = ("attention", "no attention")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Spanish to English; the defaults take about five minutes on two CPU cores."""

    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where `recurrax datasets get kjv-es` kept the verses; its own folder by default."""
    models: tuple[Literal[*MODELS], ...] = ("attention",)  # type: ignore[valid-type]
    """Encoder-decoders, with and without attention."""
    spanish_words: int = 4000
    """Spanish words; rarer ones are unknown."""
    english_words: int = 1500
    """English words, likewise; their number is most of what an update costs."""
    embedding: int = 128
    """Size of the embedding of a word."""
    hidden: int = 192
    """Units of the decoder; each direction of the encoder has half as many."""
    dropout: float = 0.2
    """Dropout on embeddings and before the last layer."""
    learning_rate: float = 4e-3
    """Adam's first learning rate, which falls to 0 along half a cosine."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    seeds: tuple[int, ...] = (0,)
    """Seeds, all of which are reported."""
    steps: int = 1000
    """Updates of each run."""
    batch_size: int = 64
    """Verses of an update."""
    chunk: int = 200
    """Updates between evaluations on the validation split."""
    shapes: int = 3
    """Lengths that batches of similar verses are padded to."""
    held_out: int = 128
    """Verses evaluated at once."""
    beams: int = 4
    """Kept by the beam search."""
    length_penalty: float = 1.0
    """Length penalty of the beam search; 1 compares the mean log probability of a word."""
    control_steps: int = 100
    """Updates of the runs that look for leaks."""


PRESETS = {
    "default": Config(),
    "table": Config(models=MODELS, seeds=(0, 1, 2), steps=1200, control_steps=300),
    "accelerator": Config(
        models=MODELS, seeds=(0, 1, 2), spanish_words=10_000, english_words=6000, embedding=256, hidden=512,
        dropout=0.4, learning_rate=1e-3, steps=4000, control_steps=1000,
    ),
    "smoke": Config(
        models=MODELS, seeds=(0, 1), spanish_words=50, english_words=50, embedding=8, hidden=8, steps=4, batch_size=4,
        chunk=2, beams=2, control_steps=2,
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """The data, what needs no net, the checks, and every encoder-decoder."""
    pairs = verses(datasets.read("kjv-es", config.data_dir))
    lab.plan(config)
    if config.hidden % 2:
        raise ValueError(f"hidden={config.hidden}; allowed: an even number, half of it a direction. Pass --hidden 192.")
    return {
        "data": functools.partial(describe, config, pairs),
        "without a net": functools.partial(without_a_net, pairs),
        **{name: functools.partial(learn, config, pairs, name) for name in config.models},
        "leaks": functools.partial(look_for_leaks, config, pairs),
    }


def describe(config: Config, pairs: Verses) -> dict[str, Any]:
    """A description of the data."""
    source, target = pairs.vocabularies(config.spanish_words, config.english_words)
    unknown = [
        float(np.mean([word not in vocabulary.tokens for verse in language["test"] for word in verse]))
        for vocabulary, language in ((source, pairs.spanish), (target, pairs.english))
    ]
    return {
        "sizes": {split: len(found) for split, found in pairs.spanish.items()},
        "taken_out": pairs.taken_out,
        "shared": pairs.shared(),
        "lengths": LENGTHS,
        "vocabularies": [len(source), len(target)],
        "unknown": unknown,
        "sha256": pairs.dataset(source, target).sha256,
        "spanish": texts(pairs.spanish["test"], pairs.shown()),
        "english": texts(pairs.english["test"], pairs.shown()),
    }


def without_a_net(pairs: Verses) -> dict[str, Any]:
    """BLEU and chrF of the source itself, the translation memory and IBM's first model."""
    began = time.perf_counter()
    spanish, english = pairs.spanish, pairs.english
    dictionary = IBM1(spanish["train"], english["train"])
    written = {
        "the Spanish verse": spanish["test"],
        "translation memory": recall(spanish["train"], english["train"], spanish["test"]),
        "IBM model 1": [dictionary(verse) for verse in spanish["test"]],
    }
    return {
        "judged": {name: judge(found, english["test"], spanish["test"]) for name, found in written.items()},
        "shown": {name: texts(found, pairs.shown()) for name, found in written.items()},
        "seconds": time.perf_counter() - began,
    }


def texts(verses: Sequence[Sentence], numbers: Sequence[int]) -> list[str]:
    """Some of the verses as text."""
    return [" ".join(verses[n]) for n in numbers]


def learn(config: Config, pairs: Verses, name: str) -> dict[str, Any]:
    """Every seed of an encoder-decoder: BLEU and chrF on the test split by both ways of decoding."""
    source, target = pairs.vocabularies(config.spanish_words, config.english_words)
    task = in_batches(config, pairs.dataset(source, target), target)
    build = functools.partial(make, config, len(source), len(target), name == "attention")
    history = lab.train(config, name, build, task, optimizer(config, config.steps), lab.plan(config))
    dictionary = IBM1(pairs.spanish["train"], pairs.english["train"])
    translator = Translator(source, target, dictionary.best, config.beams, config.length_penalty)
    judged: dict[str, list[Any]] = {}
    shown: dict[str, list[str]] = {}
    for seed in range(len(history)):
        for way, written in translator(history.best(seed), pairs.spanish["test"]).items():
            judged.setdefault(way, []).append(judge(written, pairs.english["test"], pairs.spanish["test"]))
            if seed == 0:
                shown[way] = texts(written, pairs.shown())
    asked = [pairs.spanish["test"][n] for n in pairs.shown()]
    looked = translator.looked(history.best(0), asked) if name == "attention" else None
    return {
        "model": name,
        "parameters": count(build),
        **lab.outcome(history),
        "judged": judged,
        "shown": shown,
        "looked": looked,
    }


def look_for_leaks(config: Config, pairs: Verses) -> dict[str, Any]:
    """Validation losses in nats a word of short runs: true pairs, each target with another source, and one source."""
    source, target = pairs.vocabularies(config.spanish_words, config.english_words)
    data = pairs.dataset(source, target)
    build = functools.partial(make, config, len(source), len(target), True)
    plan = Plan(
        steps=config.control_steps, batch_size=config.batch_size, chunk=config.control_steps, seeds=config.seeds[:1],
        held_out=config.held_out, devices=1,
    )  # fmt: skip
    found = {}
    for name, sources in (("true pairs", None), ("shuffled pairs", "shuffled"), ("no source", "one")):
        task = in_batches(config, _with_sources(data, sources), target)
        history = fit(build, task, optimizer(config, config.control_steps), plan)
        found[name] = float(history.loss[0, -1])
    return {"loss": found, "steps": config.control_steps}


def _with_sources(data: Dataset[Arrays], which: str | None) -> Dataset[Arrays]:
    """The data with sources of other pairs, or with the same source of one word everywhere, in all splits."""
    parts = {}
    for split in ("train", "validation", "test"):
        part = getattr(data, split)
        inputs, lengths = np.asarray(part.inputs), np.asarray(part.lengths)
        if which == "shuffled":
            order = np.random.RandomState(0).permutation(len(part))
            inputs, lengths = inputs[order], lengths[order]
        elif which == "one":
            inputs, lengths = np.zeros_like(inputs), np.ones_like(lengths)
        parts[split] = Arrays(inputs, part.targets, lengths, weights=part.weights)
    return Dataset(f"{data.name}, {which or 'true'} sources", data.source, **parts)


def in_batches(config: Config, data: Dataset[Arrays], target: Vocabulary) -> Bucketed:
    """The task, in batches of verses of similar lengths."""
    assert target.end is not None
    return Bucketed(SequenceToSequence(data, end=int(target.end)), config.batch_size, config.shapes)


def optimizer(config: Config, steps: int) -> optax.GradientTransformation:
    """Adam whose learning rate falls to 0 within so many updates, after clipping."""
    rate = optax.cosine_decay_schedule(config.learning_rate, steps)
    return optax.chain(clip_by_norm(config.clip_norm), optax.adam(rate))


def make(config: Config, spanish: int, english: int, attention: bool, key: jax.Array) -> EncoderDecoder:
    """A bidirectional LSTM that reads Spanish, and an LSTM that writes English."""
    rngs = nnx.Rngs(key)
    return EncoderDecoder(
        rx.LSTM(config.embedding, config.hidden // 2, bidirectional=True, rngs=rngs),
        rx.LSTM(config.embedding, config.hidden, rngs=rngs),
        spanish,
        english,
        attention=attention,
        attention_features=config.hidden // 2,
        dropout=config.dropout,
        rngs=rngs,
    )
