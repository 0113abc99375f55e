"""Translation without a net: a dictionary of words found by EM, and the most similar sentence that is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Sentence = Sequence[str]


class IBM1:
    r"""IBM's first model: which word of the target each word of the source stands for, from sentence pairs alone.

    .. math:: P(e \mid f) = \prod_j \frac{1}{I + 1} \sum_{i=0}^{I} t(e_j \mid f_i)

    with an empty word :math:`f_0` in every source; EM finds t.

    Args:
        sources, targets: the sentences of the training split, as words.
        rounds: of EM.

    Source: Brown et al. (1993), "The mathematics of statistical machine translation".
    """

    EMPTY = ""

    def __init__(self, sources: Sequence[Sentence], targets: Sequence[Sentence], rounds: int = 10):
        self._sources, self._targets = _numbered([[self.EMPTY], *sources]), _numbered(targets)
        size, pairs, slots, slot = len(self._targets), [], [], 0
        for source, target in zip(sources, targets, strict=True):
            f = np.array([self._sources[word] for word in (self.EMPTY, *source)])
            e = np.array([self._targets[word] for word in target])
            pairs.append((f[None] * size + e[:, None]).ravel())
            slots.append(np.repeat(np.arange(slot, slot + len(e)), len(f)))
            slot += len(e)
        self._pairs, index = np.unique(np.concatenate(pairs), return_inverse=True)
        place = np.concatenate(slots)
        of = self._pairs // size
        self._t = np.ones(len(self._pairs))
        for _ in range(rounds):
            weight = self._t[index]
            weight = weight / np.bincount(place, weight)[place]
            counts = np.bincount(index, weight)
            self._t = counts / np.bincount(of, counts)[of]
        names = list(self._targets)
        best: dict[int, tuple[float, int]] = {}
        for f, e, t in zip(of.tolist(), (self._pairs % size).tolist(), self._t.tolist(), strict=True):
            if t > best.get(f, (0.0, 0))[0]:
                best[f] = (t, e)
        words = list(self._sources)
        self.best = {words[f]: names[e] for f, (_, e) in best.items()}

    def probability(self, target: str, source: str) -> float:
        """t(target | source); 0 where they were never seen together."""
        if target not in self._targets or source not in self._sources:
            return 0.0
        code = self._sources[source] * len(self._targets) + self._targets[target]
        place = int(np.searchsorted(self._pairs, code))
        return float(self._t[place]) if place < len(self._pairs) and self._pairs[place] == code else 0.0

    def __call__(self, source: Sentence) -> list[str]:
        """The likeliest word for each word, in the source's order; an unknown one stands for itself."""
        return [self.best.get(word, word) for word in source]


def recall(sources: Sequence[Sentence], targets: Sequence[Sentence], asked: Sequence[Sentence]) -> list[Sentence]:
    """A translation memory: the target of the most similar training source, by the cosine of tf-idf of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer=list)  # type: ignore[arg-type]
    known = vectors.fit_transform(sources)
    similarity = vectors.transform(asked) @ known.T
    return [targets[int(place)] for place in np.asarray(similarity.argmax(axis=1)).ravel()]


def _numbered(sentences: Sequence[Sentence]) -> dict[str, int]:
    return {word: number for number, word in enumerate(sorted({word for words in sentences for word in words}))}
