"""The dictionary as numbers: letters and phonemes, split by the hash of the word, and how answers are judged."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from recurrax.datasets import Arrays, Dataset
from recurrax.edit_distance import edit_distance

LONGEST = 12  # letters, and phonemes
PER_MILLE = (40, 20)  # shares of test and validation


class Lexicon(NamedTuple):
    """Words, all their pronunciations (training uses the first), and the phonemes.

    splits: numbers of words, by name of the split.
    """

    words: list[str]
    sounds: list[list[tuple[int, ...]]]
    phonemes: tuple[str, ...]
    splits: dict[str, np.ndarray]

    def letters(self, split: str) -> np.ndarray:
        """Letters from 1 to 26, zero after the end, int ``[N, 12]``."""
        found = np.zeros((len(self.splits[split]), LONGEST), int)
        for row, index in zip(found, self.splits[split], strict=True):
            row[: len(self.words[index])] = [ord(letter) - 96 for letter in self.words[index]]
        return found

    def firsts(self, split: str) -> np.ndarray:
        """The first pronunciations, phonemes from 1 on, zero after the end, int ``[N, 12]``."""
        found = np.zeros((len(self.splits[split]), LONGEST), int)
        for row, index in zip(found, self.splits[split], strict=True):
            row[: len(self.sounds[index][0])] = self.sounds[index][0]
        return found

    def spoken(self, tokens: Sequence[int]) -> str:
        """Numbers of phonemes as text."""
        return " ".join(self.phonemes[token - 1] for token in tokens)

    def answers(self, split: str) -> list[list[tuple[int, ...]]]:
        """All pronunciations of each word."""
        return [self.sounds[index] for index in self.splits[split]]

    def dataset(self) -> Dataset[Arrays]:
        """Letters and phonemes with the end token 0, one example for each word."""
        parts = {}
        for split in ("train", "validation", "test"):
            letters, sounds = self.letters(split), self.firsts(split)
            ends = (sounds > 0).sum(axis=1)
            targets = np.pad(sounds, ((0, 0), (0, 1)))
            weights = (np.arange(LONGEST + 1) <= ends[:, None]).astype(np.float32)
            parts[split] = Arrays(letters, targets, (letters > 0).sum(axis=1), weights=weights)
        return Dataset("CMU Pronouncing Dictionary", "split by the hash of the word", **parts)


def lexicon(arrays: dict[str, np.ndarray]) -> Lexicon:
    """Words of 2 to 12 letters a to z whose pronunciations have 2 to 12 phonemes, without the marks of stress."""
    entries: dict[str, list[tuple[str, ...]]] = collections.defaultdict(list)
    for word, spoken in zip(arrays["words"].tolist(), arrays["phonemes"].tolist(), strict=True):
        if not (word.isascii() and word.isalpha() and word.islower() and 2 <= len(word) <= LONGEST):
            continue
        sound = tuple(phoneme.rstrip("012") for phoneme in spoken.split())
        if 2 <= len(sound) <= LONGEST and sound not in entries[word]:
            entries[word].append(sound)
    words = sorted(word for word, sounds in entries.items() if sounds)
    phonemes = tuple(sorted({phoneme for word in words for sound in entries[word] for phoneme in sound}))
    number = {phoneme: n for n, phoneme in enumerate(phonemes, start=1)}
    sounds = [[tuple(number[p] for p in sound) for sound in entries[word]] for word in words]
    marks = np.array([int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % 1000 for word in words])
    test, validation = marks < PER_MILLE[0], (PER_MILLE[0] <= marks) & (marks < sum(PER_MILLE))
    masks = {"train": ~test & ~validation, "validation": validation, "test": test}
    return Lexicon(words, sounds, phonemes, {name: np.flatnonzero(mask) for name, mask in masks.items()})


def judge(written: Sequence[Sequence[int]], lexicon: Lexicon, split: str) -> dict[str, Any]:
    """Phoneme and word error rate in percent, each answer beside the nearest pronunciation that the dictionary has.

    ``intervals`` are their 95% bootstrap intervals over words; ``by_length`` is the phoneme error rate of words of 3 to
    12 letters, null where there are none.
    """
    edits, lengths = [], []
    for found, answers in zip(written, lexicon.answers(split), strict=True):
        distances = [edit_distance(answer, found) for answer in answers]
        nearest = int(np.argmin(distances))
        edits.append(distances[nearest])
        lengths.append(len(answers[nearest]))
    distance, length = np.array(edits), np.array(lengths)
    letters = np.array([len(lexicon.words[index]) for index in lexicon.splits[split]])
    by_length = [
        100 * distance[of].sum() / length[of].sum() if (of := letters == n).any() else None
        for n in range(3, LONGEST + 1)
    ]
    draws = np.random.RandomState(0).randint(0, len(length), (500, len(length)))
    drawn = {
        "PER": 100 * distance[draws].sum(axis=1) / length[draws].sum(axis=1),
        "WER": 100 * (distance > 0)[draws].mean(axis=1),
    }
    return {
        "PER": 100 * distance.sum() / length.sum(),
        "WER": 100 * float(np.mean(distance > 0)),
        "intervals": {name: np.percentile(values, [2.5, 97.5]) for name, values in drawn.items()},
        "by_length": by_length,
    }


def until_end(tokens: np.ndarray) -> list[list[int]]:
    """Rows of tokens up to the end token 0."""
    return [row[: row.index(0)] if 0 in row else row for row in tokens.tolist()]
