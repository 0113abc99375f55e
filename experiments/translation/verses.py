"""The verses as words and as numbers, split so that no sentence is in two splits, and how translations are judged."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recurrax.datasets import Arrays, Dataset, Tokenizer, Vocabulary

LONGEST = 20  # words and signs of a verse
PER_MILLE = (100, 70)  # of test and validation
SPLITS = ("train", "validation", "test")
WORDS = re.compile(r"\w+|[^\w\s]").findall
Sentence = list[str]


class Verses(NamedTuple):
    """Spanish and English verses of each split as lists of words, and how many were taken out of the others."""

    spanish: dict[str, list[Sentence]]
    english: dict[str, list[Sentence]]
    taken_out: int

    def vocabularies(self, size: int) -> tuple[Vocabulary, Vocabulary]:
        """Of Spanish and English, the most frequent words of the training split; unknown is 0 and the end is 1."""
        words = Tokenizer(str.split)
        return tuple(  # type: ignore[return-value]
            Vocabulary.fit([" ".join(verse) for verse in language["train"]], words, size=size, end=True)
            for language in (self.spanish, self.english)
        )

    def dataset(self, source: Vocabulary, target: Vocabulary) -> Dataset[Arrays]:
        """Verses as numbers, sources and targets with the end token padded to one length."""
        assert target.end is not None
        parts = {}
        for split in SPLITS:
            inputs, lengths = padded(self.spanish[split], source, LONGEST)
            targets, ends = padded(self.english[split], target, LONGEST + 1)
            targets[np.arange(len(ends)), ends] = target.end
            weights = (np.arange(LONGEST + 1) <= ends[:, None]).astype(np.float32)
            parts[split] = Arrays(inputs, targets, lengths, weights=weights)
        return Dataset("Reina-Valera and King James", "split by the hash of the English verse", **parts)

    def shared(self) -> dict[str, int]:
        """How many test verses are also in the training split, by language."""
        found = {}
        for name, language in (("spanish", self.spanish), ("english", self.english)):
            known = {" ".join(verse) for verse in language["train"]}
            found[name] = sum(" ".join(verse) in known for verse in language["test"])
        return found


def verses(arrays: dict[str, np.ndarray]) -> Verses:
    """Lower-cased verses of 1 to 20 words and signs in both languages."""
    found: dict[str, list[tuple[Sentence, Sentence]]] = {split: [] for split in SPLITS}
    for one, other in zip(arrays["spanish"].tolist(), arrays["english"].tolist(), strict=True):
        spanish, english = WORDS(one.lower()), WORDS(other.lower())
        if 1 <= len(spanish) <= LONGEST and 1 <= len(english) <= LONGEST:
            mark = int.from_bytes(hashlib.sha256(" ".join(english).encode()).digest()[:8], "big") % 1000
            split = "test" if mark < PER_MILLE[0] else "validation" if mark < sum(PER_MILLE) else "train"
            found[split].append((spanish, english))
    known = {" ".join(spanish) for spanish, _ in found["train"]}
    kept = {
        split: [pair for pair in pairs if split == "train" or " ".join(pair[0]) not in known]
        for split, pairs in found.items()
    }
    taken_out = sum(map(len, found.values())) - sum(map(len, kept.values()))
    spanish, english = ({split: [pair[place] for pair in kept[split]] for split in SPLITS} for place in (0, 1))
    return Verses(spanish, english, taken_out)


def padded(sentences: Sequence[Sentence], vocabulary: Vocabulary, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Words as numbers ``[N, length]``, zero after the end, and how many there are of each."""
    found = np.zeros((len(sentences), length), np.int32)
    for row, sentence in zip(found, sentences, strict=True):
        row[: len(sentence)] = vocabulary.encode(" ".join(sentence))
    return found, np.array([len(sentence) for sentence in sentences])


def judge(written: Sequence[Sentence], meant: Sequence[Sentence]) -> dict[str, float]:
    """BLEU and chrF of a whole split, by sacreBLEU with its own settings."""
    import sacrebleu

    found, references = ([" ".join(words) for words in sentences] for sentences in (written, meant))
    return {
        "BLEU": sacrebleu.corpus_bleu(found, [references]).score,
        "chrF": sacrebleu.corpus_chrf(found, [references]).score,
        "length": sum(map(len, written)) / sum(map(len, meant)),
    }
