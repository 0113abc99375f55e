"""The settings, what counting reaches, and the training of encoder-decoders."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import recurrax as rx
from experiments import lab
from experiments.baselines.graphones import JointNGram, Windows, align
from experiments.pronunciation.lexicon import LONGEST, Lexicon, judge, lexicon, until_end
from experiments.tuning import count
from recurrax import datasets
from recurrax.layers import EncoderDecoder, beam_search, greedy
from recurrax.tasks import SequenceToSequence
from recurrax.training import clip_by_norm

MODELS = ("attention", "no attention")
SHOWN = (
    "thoughtfully",
    "thoroughfare",
    "physiology",
    "nicknamed",
    "sophomore",
    "spectrograph",
)  # words of the test split
WAYS = ("greedy", "beam search")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Spelling to sound; the defaults take about four minutes on two CPU cores."""

    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where `recurrax datasets get cmudict` kept the dictionary; its own folder by default."""
    models: tuple[Literal[*MODELS], ...] = ("attention",)  # type: ignore[valid-type]
    """Encoder-decoders, with and without attention."""
    embedding: int = 64
    """Size of the embedding of a letter or phoneme."""
    hidden: int = 256
    """Units of the decoder; each direction of the encoder has half as many."""
    dropout: float = 0.05
    """Dropout on embeddings and before the last layer."""
    learning_rate: float = 4e-3
    """Adam's first learning rate, which falls to 0 along half a cosine."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    seeds: tuple[int, ...] = (0,)
    """Seeds, all of which are reported."""
    steps: int = 3000
    """Updates of each run."""
    batch_size: int = 64
    """Words of an update."""
    chunk: int = 300
    """Updates between evaluations on the validation split."""
    beams: int = 4
    """Kept by the beam search."""
    orders: tuple[int, ...] = (2, 4, 6)
    """Orders of the n-grams of letter-phoneme pairs; the validation split chooses one."""


PRESETS = {
    "default": Config(),
    "table": Config(models=MODELS, seeds=(0, 1, 2)),
    "accelerator": Config(
        models=MODELS, seeds=(0, 1, 2), hidden=512, dropout=0.3, steps=20_000, batch_size=256, chunk=1000,
        learning_rate=2e-3,
    ),
    "smoke": Config(
        models=MODELS, seeds=(0, 1), embedding=8, hidden=8, steps=4, batch_size=4, chunk=2, beams=2, orders=(2, 3),
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """The data, what counting reaches, and every encoder-decoder."""
    words = lexicon(datasets.read("cmudict", config.data_dir))
    lab.plan(config)
    if config.hidden % 2:
        raise ValueError(f"hidden={config.hidden}; allowed: an even number, half of it a direction. Pass --hidden 256.")
    return {
        "data": functools.partial(describe, words),
        "counting": functools.partial(count_pairs, words, config.orders),
        **{name: functools.partial(learn, config, words, name) for name in config.models},
    }


def describe(words: Lexicon) -> dict[str, Any]:
    """A description of the data, with a few words of the training split, and the overlap of the splits."""
    train = words.splits["train"]
    known, tested = {words.words[n] for n in train}, [words.words[n] for n in words.splits["test"]]
    shown = train[np.linspace(0, len(train) - 1, 8).astype(int)]
    return {
        "sizes": {name: len(numbers) for name, numbers in words.splits.items()},
        "phonemes": words.phonemes,
        "several": sum(len(sounds) > 1 for sounds in words.answers("test")),
        "sha256": words.dataset().sha256,
        "shared": len(known.intersection(tested)),
        "related": sum(any(word[:end] in known for end in range(4, len(word))) for word in tested),
        "examples": {words.words[n]: words.spoken(words.sounds[n][0]) for n in shown},
    }


def count_pairs(words: Lexicon, orders: tuple[int, ...]) -> dict[str, Any]:
    """The scores of letters alone, windows of five and n-grams of pairs on the validation and test splits."""
    began = time.perf_counter()
    order_of = np.random.RandomState(0).permutation(len(words.splits["train"]))  # EM looks at the first ones
    letters, sounds = words.letters("train")[order_of], words.firsts("train")[order_of]
    aligned = align(letters, sounds)
    methods = {
        "letter by letter": Windows(letters, aligned, 0),
        "window of 5 letters": Windows(letters, aligned, 2),
        **{f"{order}-grams of pairs": JointNGram(letters, aligned, order) for order in orders},
    }
    held_out = {name: judge(method(words.letters("validation")), words, "validation")["PER"]
                for name, method in methods.items()}  # fmt: skip
    return {
        "validation": held_out,
        "chosen": min(list(methods)[2:], key=lambda name: held_out[name]),
        "methods": {name: judge(method(words.letters("test")), words, "test") for name, method in methods.items()},
        "seconds": time.perf_counter() - began,
    }


def learn(config: Config, words: Lexicon, name: str) -> dict[str, Any]:
    """Every seed of an encoder-decoder: error rates on the test split by both ways of decoding."""
    task = SequenceToSequence(words.dataset(), end=0)
    build = functools.partial(make, config, len(words.phonemes) + 1, name == "attention")
    optimizer = optax.chain(
        clip_by_norm(config.clip_norm), optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    )
    history = lab.train(config, name, build, task, optimizer, lab.plan(config))
    judged: dict[str, list[Any]] = {way: [] for way in WAYS}
    mistakes: list[Any] = []
    for seed in range(len(history)):
        for way, written in pronounce(history.best(seed), words.letters("test"), config.beams).items():
            judged[way].append(judge(written, words, "test"))
            mistakes = mistakes or (wrong(written, words) if way == WAYS[-1] else [])
    return {
        "model": name,
        "parameters": count(build),
        **lab.outcome(history),
        "judged": judged,
        "mistakes": mistakes,
        "shown": show(history.best(0), words, config.beams),
    }


def make(config: Config, phonemes: int, attention: bool, key: jax.Array) -> EncoderDecoder:
    """A bidirectional LSTM that reads 26 letters, and an LSTM that writes phonemes."""
    rngs = nnx.Rngs(key)
    return EncoderDecoder(
        rx.LSTM(config.embedding, config.hidden // 2, bidirectional=True, rngs=rngs),
        rx.LSTM(config.embedding, config.hidden, rngs=rngs),
        27,
        phonemes,
        attention=attention,
        attention_features=config.hidden // 2,
        dropout=config.dropout,
        rngs=rngs,
    )


def pronounce(model: EncoderDecoder, letters: np.ndarray, beams: int, at_once: int = 512) -> dict[str, list[list[int]]]:
    """The phonemes that a model writes for words ``[N, L]``, by both ways of decoding."""
    found: dict[str, list[list[int]]] = {way: [] for way in WAYS}
    padded = np.pad(letters, ((0, -len(letters) % at_once), (0, 0)))
    padded[len(letters) :, 0] = 1  # a letter, as no word is empty
    for part in np.split(padded, len(padded) // at_once):
        options = {"steps": LONGEST + 1, "end": 0, "seq_lengths": (part > 0).sum(axis=1)}
        tokens, _ = beam_search(model, jnp.asarray(part), beams=beams, **options)
        found["greedy"] += until_end(np.asarray(greedy(model, jnp.asarray(part), **options)))
        found["beam search"] += until_end(np.asarray(tokens[:, 0]))
    return {way: rows[: len(letters)] for way, rows in found.items()}


def wrong(written: list[list[int]], words: Lexicon, number: int = 8) -> list[dict[str, Any]]:
    """A few of the test words that are written wrongly, evenly spaced in the alphabet."""
    test, answers = words.splits["test"], words.answers("test")
    missed = [n for n, tokens in enumerate(written) if tuple(tokens) not in answers[n]]
    chosen = [missed[n] for n in np.linspace(0, len(missed) - 1, min(number, len(missed))).astype(int)]
    return [
        {
            "word": words.words[test[n]],
            "written": words.spoken(written[n]),
            "answers": list(map(words.spoken, answers[n])),
        }
        for n in chosen
    ]


def show(model: EncoderDecoder, words: Lexicon, beams: int) -> list[dict[str, Any]]:
    """The output of a model for a few test words, and its attention."""
    test = words.splits["test"]
    asked = [n for n in range(len(test)) if words.words[test[n]] in SHOWN]
    longest = sorted(range(len(test)), key=lambda n: (-len(words.words[test[n]]), n))
    chosen = (asked + [n for n in longest if n not in asked])[:6]
    letters = words.letters("test")[chosen]
    shown = []
    for row, tokens, n in zip(letters, pronounce(model, letters, beams)[WAYS[-1]], chosen, strict=True):
        looked = None
        if model.attention is not None:
            length = int((row > 0).sum())
            looked = np.round(model.alignment(jnp.asarray(row[None, :length]), jnp.array([[0, *tokens]]))[0], 3)
        answers = [words.spoken(sound) for sound in words.sounds[test[n]]]
        shown.append(
            {"word": words.words[test[n]], "written": words.spoken(tokens), "answers": answers, "looked": looked}
        )
    return shown
