"""The verses as words and as numbers, split so that no sentence is in two splits, and how translations are judged."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from recurrax.datasets import Arrays, Dataset, Tokenizer, Vocabulary

LONGEST = 20  # words and signs of a verse that is tested, or chooses
LEARNT = 30  # words of a training verse
LENGTHS = ((1, 9), (10, 13), (14, 16), (17, 20))  # limits of the lengths of Spanish verses, for separate BLEU scores
PER_MILLE = (100, 70)  # shares of test and validation
SPLITS = ("train", "validation", "test")
WORDS = re.compile(r"\w+|[^\w\s]").findall
Sentence = list[str]


class Verses(NamedTuple):
    """Spanish and English verses of each split as lists of words, and how many were taken out of later splits."""

    spanish: dict[str, list[Sentence]]
    english: dict[str, list[Sentence]]
    taken_out: int

    def vocabularies(self, spanish: int, english: int) -> tuple[Vocabulary, Vocabulary]:
        """So many of the most frequent words of the training split in each; unknown is 0 and the end is 1."""
        words = Tokenizer(str.split)
        return tuple(  # type: ignore[return-value]
            Vocabulary.fit([" ".join(verse) for verse in language["train"]], words, size=size, end=True)
            for language, size in ((self.spanish, spanish), (self.english, english))
        )

    def dataset(self, source: Vocabulary, target: Vocabulary) -> Dataset[Arrays]:
        """Verses as numbers, sources and targets with the end token padded to one length."""
        assert target.end is not None
        parts = {}
        for split in SPLITS:
            longest = longest_of(split)
            inputs, lengths = padded(self.spanish[split], source, longest)
            targets, ends = padded(self.english[split], target, longest + 1)
            targets[np.arange(len(ends)), ends] = target.end
            weights = (np.arange(longest + 1) <= ends[:, None]).astype(np.float32)
            parts[split] = Arrays(inputs, targets, lengths, weights=weights)
        return Dataset("Reina-Valera and King James", "split by the hash of the English verse", **parts)

    def shown(self, number: int = 6) -> list[int]:
        """Evenly spaced test verses of 7 to 12 words and signs, which fit on a page; any where there are too few."""
        short = [n for n, verse in enumerate(self.spanish["test"]) if 7 <= len(verse) <= 12]
        some = short if len(short) >= number else list(range(len(self.spanish["test"])))
        return [some[n] for n in np.linspace(0, len(some) - 1, min(number, len(some))).astype(int)]

    def shared(self) -> dict[str, int]:
        """The number of test verses that are also in another split, by language."""
        found = {}
        for name, language in (("spanish", self.spanish), ("english", self.english)):
            known = {" ".join(verse) for split in SPLITS[:2] for verse in language[split]}
            found[name] = sum(" ".join(verse) in known for verse in language["test"])
        return found


def verses(arrays: dict[str, np.ndarray]) -> Verses:
    """Lower-cased verses of 1 to 20 words and signs in both languages, in the training split of 1 to 30.

    The hash of the English verse gives the split. A pair of validation or test whose Spanish verse is also in an
    earlier split is taken out.
    """
    found: dict[str, list[tuple[Sentence, Sentence]]] = {split: [] for split in SPLITS}
    for one, other in zip(arrays["spanish"].tolist(), arrays["english"].tolist(), strict=True):
        spanish, english = WORDS(one.lower()), WORDS(other.lower())
        split = split_of(english)
        if all(1 <= len(verse) <= longest_of(split) for verse in (spanish, english)):
            found[split].append((spanish, english))
    known: set[str] = set()
    taken_out = 0
    for split, pairs in found.items():
        kept = [pair for pair in pairs if " ".join(pair[0]) not in known]
        taken_out += len(pairs) - len(kept)
        known |= {" ".join(spanish) for spanish, _ in pairs}
        found[split] = kept
    spanish, english = ({split: [pair[place] for pair in found[split]] for split in SPLITS} for place in (0, 1))
    return Verses(spanish, english, taken_out)


def split_of(english: Sentence) -> str:
    """The split of an English verse, by its hash."""
    mark = int.from_bytes(hashlib.sha256(" ".join(english).encode()).digest()[:8], "big") % 1000
    return "test" if mark < PER_MILLE[0] else "validation" if mark < sum(PER_MILLE) else "train"


def longest_of(split: str) -> int:
    """Words and signs of a verse at most."""
    return LEARNT if split == "train" else LONGEST


def padded(sentences: Sequence[Sentence], vocabulary: Vocabulary, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Words as numbers ``[N, length]``, zero after the end, and how many there are of each."""
    found = np.zeros((len(sentences), length), np.int32)
    for row, sentence in zip(found, sentences, strict=True):
        row[: len(sentence)] = vocabulary.encode(" ".join(sentence))
    return found, np.array([len(sentence) for sentence in sentences])


def judge(written: Sequence[Sentence], meant: Sequence[Sentence], sources: Sequence[Sentence]) -> dict[str, Any]:
    """BLEU and chrF of a whole split, by sacreBLEU with its own settings.

    Beside them: the 95% bootstrap interval of BLEU over verses, the BLEU of the verses of each length in `LENGTHS`,
    null where there are none, and the BLEU beside the English of other verses, which is chance.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    found, references, others = (
        [" ".join(words) for words in sentences] for sentences in (written, meant, [*meant[1:], *meant[:1]])
    )
    stats, sizes = counts(found, references), np.array([len(source) for source in sources])
    draws = np.random.RandomState(0).randint(0, len(stats), (200, len(stats)))
    inside = [stats[(low <= sizes) & (sizes <= high)] for low, high in LENGTHS]
    return {
        "BLEU": BLEU(force=True).corpus_score(found, [references]).score,
        "chrF": CHRF().corpus_score(found, [references]).score,
        "length": sum(map(len, written)) / sum(map(len, meant)),
        "interval": np.percentile([bleu(stats[draw]) for draw in draws], [2.5, 97.5]),
        "by_length": [bleu(some) if len(some) else None for some in inside],
        "chance": BLEU(force=True).corpus_score(found, [others]).score,
    }


def counts(found: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """The sums that BLEU takes over sentences: right and all n-grams for n = 1 to 4, and both lengths, ``[N, 10]``."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(effective_order=True)
    scores = [metric.sentence_score(one, [other]) for one, other in zip(found, references, strict=True)]
    return np.array([[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores])


def bleu(stats: np.ndarray) -> float:
    """BLEU of sentences whose `counts` these are."""
    from sacrebleu.metrics.bleu import BLEU

    total = stats.sum(axis=0).tolist()
    return BLEU.compute_bleu(total[:4], total[4:8], total[8], total[9], smooth_method="exp").score
