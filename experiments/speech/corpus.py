"""The prompts as frames and letters, and the utterances of the Japanese vowels."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence

import numpy as np

from recurrax.audio import log_mel, stack_frames
from recurrax.datasets import Arrays, Dataset, scale
from recurrax.datasets.batching import best_lengths

LETTERS = " abcdefghijklmnopqrstuvwxyz'"  # label 1 is the space; 0 is CTC's blank
WORDS = dict(zip("0123456789#*", "zero one two three four five six seven eight nine pound star".split(), strict=True))


@dataclasses.dataclass(frozen=True)
class Prompts:
    """One recording of each text: frames ``[T_i, D]`` and what they say, in an order that only the texts decide."""

    frames: list[np.ndarray]
    texts: list[str]
    numbers: list[int]  # in the data set
    counts: dict[str, int]  # what was left out and why
    seconds: float


def read_prompts(found: dict[str, np.ndarray], longest: float, mels: int, stack: int, number: int = 1) -> Prompts:
    """Log-mel frames and normalised texts of the prompts of at most ``longest`` seconds.

    Of recordings with the same text the first one is kept, so that no text can be in two folds; some are left out at
    the end so that the count is a multiple of ``number``, and all folds have the same shapes.
    """
    audio, starts, rate = found["audio"], found["starts"], int(found["rate"])
    seconds, texts = np.diff(starts) / rate, [spoken(str(text)) for text in found["texts"]]
    short = [n for n, text in enumerate(texts) if seconds[n] <= longest and text]
    first = {texts[n]: n for n in reversed(short)}
    order = sorted(first, key=lambda text: hashlib.sha256(text.encode()).digest())
    order = order[: len(order) // number * number]
    kept = [first[text] for text in order]
    frames = [stack_frames(log_mel(audio[starts[n] : starts[n + 1]], rate, mels), stack) for n in kept]
    counts = {
        "all": len(texts),
        "too long": len(texts) - len(short),
        "repeated": len(short) - len(first),
        "to equal folds": len(first) - len(kept),
    }
    return Prompts(frames, order, kept, counts, float(seconds[kept].sum()))


def spoken(text: str) -> str:
    """A text in the 28 letters, digits and signs as words: ``"Press 1."`` is ``"press one"``."""
    words = "".join(f" {WORDS[letter]} " if letter in WORDS else letter for letter in text.lower())
    return " ".join(re.sub(r"[^a-z']+", " ", words).split())


def encode(text: str) -> np.ndarray:
    """Letters as labels from 1 on."""
    return np.array([LETTERS.index(letter) + 1 for letter in text], np.int32)


def decode(labels: Sequence[int] | np.ndarray) -> str:
    """Labels as letters, with one space between words."""
    return " ".join("".join(LETTERS[label - 1] for label in labels).split())


def folds(prompts: Prompts, number: int, validation: float) -> list[Dataset[Arrays]]:
    """Data sets for cross-validation, no text in two splits, inputs scaled by the training part.

    The texts stand in the order of their hashes: fold k is the kth of ``number`` equal parts, and the validation part
    are the texts that follow it.
    """
    arrays = Arrays.padded(prompts.frames, [encode(text) for text in prompts.texts])
    count, size = len(arrays), len(arrays) // number
    held_out = round(validation * (count - size))
    found = []
    for fold in range(number):
        order = np.roll(np.arange(count), -fold * size)
        parts = order[size + held_out :], order[size : size + held_out], order[:size]
        found.append(scale(arrays.split_at(*parts, name=f"prompts-{fold}")))
    return found


def lengths(prompts: Prompts, shapes: int) -> tuple[int, ...]:
    """The lengths that batches of every fold are padded to, so that each program is compiled once."""
    steps = np.array([len(frames) for frames in prompts.frames])
    return best_lengths(steps, shapes)
