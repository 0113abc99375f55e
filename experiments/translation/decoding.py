"""Verses from a model: greedy or beam search, and what stands for a word that it does not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.translation.verses import LONGEST, Sentence, padded
from recurrax.datasets import Vocabulary
from recurrax.layers import EncoderDecoder, beam_search, greedy

WAYS = ("greedy", "beam search")
UNKNOWN = "(unknown)"
ALONE = "beam search, unknown words left out"


@dataclasses.dataclass(frozen=True)
class Translator:
    """Writes English with a model; an unknown word becomes what a dictionary has for the word most looked at.

    Args:
        source, target: the vocabularies.
        dictionary: English words of Spanish ones; one that it lacks stands for itself.
        beams, length_penalty: of the beam search.

    Source: Luong et al. (2015), "Addressing the rare word problem in neural machine translation".
    """

    source: Vocabulary
    target: Vocabulary
    dictionary: Mapping[str, str]
    beams: int
    length_penalty: float

    def __call__(self, model: EncoderDecoder, spanish: list[Sentence], at_once: int = 128) -> dict[str, list[Sentence]]:
        """The translations of verses by both ways of decoding; with attention also without the dictionary's help."""
        found: dict[str, list[Sentence]] = {way: [] for way in WAYS + (ALONE,) * (model.attention is not None)}
        options: dict[str, Any] = {"steps": LONGEST + 1, "end": self.target.end}
        for first in range(0, len(spanish), at_once):
            some = spanish[first : first + at_once]
            filled = some + [spanish[0]] * (at_once - len(some))  # so that one program serves all
            tokens, lengths = map(jnp.asarray, padded(filled, self.source, LONGEST))
            options["seq_lengths"] = lengths
            beams, _ = beam_search(model, tokens, beams=self.beams, length_penalty=self.length_penalty, **options)
            written = {"greedy": np.asarray(greedy(model, tokens, **options)), "beam search": np.asarray(beams[:, 0])}
            for way, rows in written.items():
                looks = None
                if model.attention is not None:
                    looks = np.asarray(model.alignment(tokens, self._before(rows), lengths)).argmax(axis=-1)
                found[way] += self._words(rows, filled, looks)[: len(some)]
            if ALONE in found:
                found[ALONE] += self._words(written["beam search"], filled, None)[: len(some)]
        return found

    def looked(self, model: EncoderDecoder, spanish: list[Sentence]) -> list[dict[str, Any]]:
        """The words that greedy search writes for a few verses, and the weights of attention ``[T, S]``."""
        found = []
        for verse in spanish:
            tokens, _ = padded([verse], self.source, len(verse))
            rows = np.asarray(greedy(model, jnp.asarray(tokens), LONGEST + 1, self._end))
            words = [word or UNKNOWN for word in self._until_end(rows[0])]
            weights = np.asarray(model.alignment(jnp.asarray(tokens), self._before(rows)))[0, : len(words) + 1]
            found.append({"spanish": verse, "english": words, "weights": np.round(weights, 2)})
        return found

    @property
    def _end(self) -> int:
        assert self.target.end is not None
        return self.target.end

    def _before(self, rows: np.ndarray) -> Any:
        """The token before each one."""
        return jnp.concatenate([jnp.full((len(rows), 1), self._end), jnp.asarray(rows[:, :-1])], axis=1)

    def _until_end(self, row: np.ndarray) -> list[str | None]:
        """The words of a row; None for one that the model does not know."""
        tokens = row.tolist()
        tokens = tokens[: tokens.index(self._end)] if self._end in tokens else tokens
        return [None if token == self.target.unknown else self.target.tokens[token] for token in tokens]

    def _words(self, rows: np.ndarray, spanish: list[Sentence], looks: np.ndarray | None) -> list[Sentence]:
        """Rows as words: an unknown one is looked up where the model looks, or left out."""
        found = []
        for number, row in enumerate(rows):
            words: Sentence = []
            for step, word in enumerate(self._until_end(row)):
                if word is not None:
                    words.append(word)
                elif looks is not None:
                    asked = spanish[number][int(looks[number, step])]
                    words.append(self.dictionary.get(asked, asked))
            found.append(words)
        return found
