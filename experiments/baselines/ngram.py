"""Text prediction without gradients: interpolated n-grams, and compressors primed with the training text."""

from __future__ import annotations

import bz2
import lzma

import numpy as np

BLOCK = 899_000  # bytes that bz2 sorts together, and a few that it adds to runs of equal ones


class NGram:
    r"""Interpolated n-grams of tokens with Witten and Bell's smoothing, of all orders from 0 to n at once.

    .. math::
        P_k(w \mid h) = \frac{c(h w) + T(h) \, P_{k-1}(w \mid h')}{c(h) + T(h)}, \quad P_0(w) = 1 / V

    with c the counts of the training text, T(h) the number of different tokens seen after the k - 1 tokens h, and h'
    the last k - 2 of them. Where h was never seen, :math:`P_k = P_{k-1}`.

    Args:
        tokens: the training text, int ``[N]``, from 0 to V - 1.
        vocabulary: V.
        order: n, the tokens of the longest n-gram; V^n must fit into 63 bits.

    Raises:
        ValueError: V^n does not fit.

    Source: Witten & Bell (1991), method C; interpolated as in Chen & Goodman (1999).
    """

    def __init__(self, tokens: np.ndarray, vocabulary: int, order: int):
        if vocabulary**order >= 2**63:
            raise ValueError(f"vocabulary={vocabulary} and order={order} give n-grams beyond 63 bits; allowed: fewer.")
        self.vocabulary, self.order = vocabulary, order
        self.tables = []
        for k in range(1, order + 1):
            grams, counts = np.unique(_codes(tokens, vocabulary, k), return_counts=True)
            histories, first = np.unique(grams // vocabulary, return_index=True)
            totals, types = np.add.reduceat(counts, first), np.diff(np.append(first, len(grams)))
            self.tables.append((grams, counts, histories, totals, types))

    def log_probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """Natural logarithms of the probability of every token given those before it: ``[n + 1, N]``, by order.

        The first tokens, which have too few before them for an order, get the probability of a lower one.
        """
        found = [np.full(len(tokens), 1 / self.vocabulary)]
        for k in range(1, self.order + 1):
            current = found[-1].copy()
            current[k - 1 :] = self._mixed(k, _codes(tokens, self.vocabulary, k), found[-1][k - 1 :])
            found.append(current)
        return np.log(np.stack(found))

    def after(self, tokens: np.ndarray) -> np.ndarray:
        """Natural logarithm of the probability of the last of n tokens given the others: ``[..., n]`` to ``[...]``."""
        found = np.full(tokens.shape[:-1], 1 / self.vocabulary)
        for k in range(1, self.order + 1):
            code = np.zeros(tokens.shape[:-1], np.int64)
            for place in range(self.order - k, self.order):
                code = code * self.vocabulary + tokens[..., place]
            found = self._mixed(k, code, found)
        return np.log(found)

    def sample(self, prompt: np.ndarray, steps: int, random: np.random.Generator) -> np.ndarray:
        """Draws tokens that follow a prompt of n - 1 tokens or more: int ``[steps]``."""
        text = list(prompt)
        for _ in range(steps):
            history = np.tile(np.asarray(text[len(text) - self.order + 1 :], np.int64), (self.vocabulary, 1))
            p = np.exp(self.after(np.column_stack([history, np.arange(self.vocabulary)])))
            text.append(random.choice(self.vocabulary, p=p / p.sum()))
        return np.asarray(text[len(prompt) :])

    def _mixed(self, k: int, codes: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """The probabilities of order k from those of the order below."""
        grams, counts, histories, totals, types = self.tables[k - 1]
        before = codes // self.vocabulary
        c, total = _look_up(grams, counts, codes), _look_up(histories, totals, before)
        different = _look_up(histories, types, before)
        return np.where(total > 0, (c + different * lower) / np.maximum(total + different, 1), lower)


def compressed_bits(train: str, test: str) -> dict[str, float]:
    """Bits a character of ``test`` that bz2 and xz need once they have seen ``train``: the difference of two sizes.

    bz2 sorts blocks of 900 kB apart from each other. So it is given the end of the training text that fills one block
    together with the test; after all of it, the test would begin anywhere in a block and bz2 would know less. The
    window of xz, 64 MiB, holds it all.
    """
    before, after = train.encode(), test.encode()
    tail = before[-max(BLOCK - len(after), 1) :]
    sizes = {
        "bz2": [len(bz2.compress(data, 9)) for data in (tail, tail + after)],
        "xz": [len(lzma.compress(data, preset=9)) for data in (before, before + after)],
    }
    return {name: 8 * (size - known) / len(test) for name, (known, size) in sizes.items()}


def _codes(tokens: np.ndarray, vocabulary: int, k: int) -> np.ndarray:
    """Every k tokens in a row as one number, int64 ``[N - k + 1]``."""
    count = max(0, len(tokens) - k + 1)
    code = np.zeros(count, np.int64)
    for place in range(k):
        code = code * vocabulary + np.asarray(tokens[place : place + count], np.int64)
    return code


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
