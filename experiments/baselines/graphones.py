"""Spelling to sound by counting: letters aligned with phonemes by EM, then letters alone, windows, or n-grams of both.

Each letter is given none, one or two phonemes. A pair of phonemes (a, b) is the number 40 a + b, with b = 0 where there
is one and a = b = 0 where there is none; so a word of L letters is L pairs of a letter and a number, its graphones.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.baselines.ngram import NGram

BASE = 40  # phonemes and nothing
LETTERS = 27  # 27 with 0 for padding


def align(words: np.ndarray, sounds: np.ndarray, rounds: int = 6, sample: int = 20_000) -> np.ndarray:
    r"""The likeliest alignment of each word, after EM: int ``[N, L]``, the phonemes of each letter; -1 where none fits.

    .. math:: P(x, y) = \sum_\mathrm{alignments} \prod_i \theta(x_i, y_{(i)})

    Args:
        words: letters from 1 to 26, zero after the end, int ``[N, L]``.
        sounds: phonemes from 1 to 39, zero after the end, int ``[N, P]``.
        rounds: of EM.
        sample: words that EM looks at, the first ones; all of them are aligned.

    Source: expectation maximisation: Dempster, Laird & Rubin (1977); for letters and phonemes Bisani & Ney (2008).
    """
    theta = np.full((LETTERS, BASE * BASE), 1.0)
    theta[:, 0] = 0.5
    for _ in range(rounds):
        theta = _expected(words[:sample], sounds[:sample], theta)
        theta /= np.maximum(theta.sum(axis=1, keepdims=True), 1e-300)
    return _best(words, sounds, theta)


def _numbers(sounds: np.ndarray) -> list[np.ndarray]:
    """The number of the k phonemes that end before place j, for k = 0, 1, 2: each ``[N, P + 1]``."""
    N, P = sounds.shape
    one, two = np.zeros((N, P + 1), int), np.zeros((N, P + 1), int)
    one[:, 1:] = BASE * sounds
    two[:, 2:] = BASE * sounds[:, :-1] + sounds[:, 1:]
    return [np.zeros((N, P + 1), int), one, two]


def _forward(words: np.ndarray, sounds: np.ndarray, theta: np.ndarray, join: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sums, or maxima by ``join``, over alignments of a beginning: ``[N, L + 1, P + 1]``; and where each came from."""
    (N, L), P, numbers = words.shape, sounds.shape[1], _numbers(sounds)
    alpha, came = np.zeros((N, L + 1, P + 1)), np.zeros((N, L + 1, P + 1), np.int8)
    alpha[:, 0, 0] = 1
    for i in range(1, L + 1):
        options = np.zeros((3, N, P + 1))
        for k in range(3):
            options[k, :, k:] = alpha[:, i - 1, : P + 1 - k] * theta[words[:, i - 1, None], numbers[k][:, k:]]
        alpha[:, i], came[:, i] = join(options, axis=0), options.argmax(axis=0)
    return alpha, came


def _expected(words: np.ndarray, sounds: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Expected counts of each letter with each number of phonemes, over all alignments."""
    (N, L), P, numbers = words.shape, sounds.shape[1], _numbers(sounds)
    alpha, _ = _forward(words, sounds, theta, np.sum)
    letters, ends = (words > 0).sum(axis=1), (sounds > 0).sum(axis=1)
    total = alpha[np.arange(N), letters, ends]
    beta = np.zeros((N, P + 1))
    counts = np.zeros(theta.size)
    last = np.arange(P + 1) == ends[:, None]
    for i in range(L, 0, -1):
        beta = np.where((letters == i)[:, None], last, beta)
        before = np.zeros_like(beta)
        for k in range(3):
            step = theta[words[:, i - 1, None], numbers[k][:, k:]] * beta[:, k:]
            before[:, : P + 1 - k] += step
            share = alpha[:, i - 1, : P + 1 - k] * step / np.where(total > 0, total, np.inf)[:, None]
            place = words[:, i - 1, None] * theta.shape[1] + numbers[k][:, k:]
            counts += np.bincount(place.ravel(), share.ravel(), minlength=theta.size)
        beta = before
    return counts.reshape(theta.shape)


def _best(words: np.ndarray, sounds: np.ndarray, theta: np.ndarray) -> np.ndarray:
    (N, L), numbers = words.shape, _numbers(sounds)
    alpha, came = _forward(words, sounds, theta, np.max)
    letters, j = (words > 0).sum(axis=1), (sounds > 0).sum(axis=1)
    fits = alpha[np.arange(N), letters, j] > 0
    found, rows = np.full((N, L), -1), np.arange(N)
    for i in range(L, 0, -1):
        k = came[rows, i, j]
        within = fits & (i <= letters)
        number = np.stack([table[rows, j] for table in numbers])[k, rows]
        found[:, i - 1] = np.where(within, number, -1)
        j = np.where(within, j - k, j)
    return found


def spell(numbers: Sequence[int] | np.ndarray) -> list[int]:
    """The phonemes of numbers of graphones."""
    return [phoneme for number in numbers for phoneme in divmod(int(number), BASE) if phoneme]


class Windows:
    """The phonemes most often seen with a letter between its neighbours; with fewer neighbours where that is unseen.

    Args:
        words, aligned: as `align` takes and gives them.
        sides: neighbours on each side; 0 is letter by letter.
    """

    def __init__(self, words: np.ndarray, aligned: np.ndarray, sides: int):
        self.sides, self.tables = sides, []
        chosen = aligned[words > 0]
        for around in range(sides + 1):
            codes = _windows(words, around)[words > 0]
            counts: dict[int, collections.Counter[int]] = collections.defaultdict(collections.Counter)
            for code, number in zip(codes[chosen >= 0].tolist(), chosen[chosen >= 0].tolist(), strict=True):
                counts[code][number] += 1
            self.tables.append({code: counter.most_common(1)[0][0] for code, counter in counts.items()})

    def __call__(self, words: np.ndarray) -> list[list[int]]:
        """The phonemes of each word."""
        found = np.full(words.shape, -1)
        for around, table in enumerate(self.tables):
            codes = _windows(words, around)
            known = np.array([table.get(code, -1) for code in codes.ravel().tolist()]).reshape(words.shape)
            found = np.where(known >= 0, known, found)
        return [spell(row[(word > 0) & (row >= 0)]) for word, row in zip(words, found, strict=True)]


def _windows(words: np.ndarray, around: int) -> np.ndarray:
    """Each letter and so many neighbours on both sides as one number, ``[N, L]``."""
    padded = np.pad(words, ((0, 0), (around, around)))
    code = np.zeros(words.shape, np.int64)
    for shift in range(2 * around + 1):
        code = code * LETTERS + padded[:, shift : shift + words.shape[1]]
    return code


class JointNGram:
    """n-grams of graphones: the likeliest sequence of pairs whose letters spell the word, by beam search.

    Args:
        words, aligned: as `align` takes and gives them.
        order: n.
        beams: kept at every letter.
        choices: of phonemes for each letter, the most frequent ones.

    Source: Bisani & Ney (2008), "Joint-sequence models for grapheme-to-phoneme conversion".
    """

    def __init__(self, words: np.ndarray, aligned: np.ndarray, order: int = 6, beams: int = 12, choices: int = 12):
        self.order, self.beams = order, beams
        whole = (aligned >= 0).sum(axis=1) == (words > 0).sum(axis=1)
        words, aligned = words[whole], aligned[whole]
        pairs, counts = np.unique((words * BASE * BASE + aligned)[words > 0], return_counts=True)
        frequent = []
        for letter in range(1, LETTERS):
            of = np.flatnonzero(pairs // BASE**2 == letter)
            frequent += of[np.argsort(-counts[of], kind="stable")][:choices].tolist()
        self.pairs = pairs[np.sort(frequent)]  # graphone g + 1 is this pair; 0 stands between words
        self.options = np.zeros((LETTERS, choices), int)
        for letter in range(1, LETTERS):
            of = np.flatnonzero(self.pairs // BASE**2 == letter) + 1
            self.options[letter, : len(of)] = of
        code = words * BASE * BASE + aligned
        place = np.minimum(np.searchsorted(self.pairs, code), len(self.pairs) - 1)
        known = (words == 0) | (self.pairs[place] == code)
        tokens = np.where(words > 0, place + 1, -1)[known.all(axis=1)]
        bounds = np.zeros((len(tokens), order - 1), int)
        text = np.concatenate([bounds, tokens], axis=1).ravel()
        text = np.concatenate([text[text >= 0], bounds[0]])
        self.model = NGram(text, len(self.pairs) + 1, order)

    def __call__(self, words: np.ndarray) -> list[list[int]]:
        """The phonemes of each word."""
        N, L = words.shape
        lengths = (words > 0).sum(axis=1)
        histories = np.zeros((N, 1, self.order - 1), int)
        scores, written = np.zeros((N, 1)), np.zeros((N, 1, L), int)
        result = np.zeros((N, L), int)
        for i in range(L + 1):
            ending = lengths == i
            if ending.any():
                last = scores[ending] + self._score(histories[ending], np.zeros((ending.sum(), 1), int))[..., 0]
                result[ending] = written[ending, :, :][np.arange(ending.sum()), last.argmax(axis=1)]
            if i == L:
                break
            options = self.options[words[:, i]]
            sums = scores[..., None] + np.where(options[:, None] > 0, self._score(histories, options), -np.inf)
            flat = sums.reshape(N, -1)
            chosen = np.argsort(-flat, axis=1)[:, : self.beams]
            origin, token = chosen // options.shape[1], np.take_along_axis(options, chosen % options.shape[1], axis=1)
            scores = np.take_along_axis(flat, chosen, axis=1)
            written = np.take_along_axis(written, origin[..., None], axis=1)
            written[:, :, i] = token
            histories = np.take_along_axis(histories, origin[..., None], axis=1)
            histories = np.concatenate([histories[..., 1:], token[..., None]], axis=-1)
        return [spell(self.pairs[row[row > 0] - 1] % BASE**2) for row in result]

    def _score(self, histories: np.ndarray, options: np.ndarray) -> np.ndarray:
        """Log probabilities ``[N, K, C]`` of the options ``[N, C]`` after histories ``[N, K, n - 1]``."""
        N, K, _ = histories.shape
        histories = np.broadcast_to(histories[:, :, None], (N, K, options.shape[1], self.order - 1))
        tokens = np.broadcast_to(options[:, None, :, None], (N, K, options.shape[1], 1))
        return self.model.after(np.concatenate([histories, tokens], axis=-1))
