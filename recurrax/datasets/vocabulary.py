"""Converts text to numbers and back: characters, bytes, words, or the tokens of any function."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, final

import numpy as np

UNKNOWN, END = "<unknown>", "<end>"


class Tokenizer(NamedTuple):
    """Two functions: one splits text into tokens, the other joins tokens to text."""

    split: Callable[[str], Sequence[str]]
    join: Callable[[Iterable[str]], str] = " ".join


def _join_bytes(tokens: Iterable[str]) -> str:
    return b"".join(bytes([ord(t)]) if len(t) == 1 else t.encode() for t in tokens).decode(errors="replace")


# Bytes are represented by the characters with the same code points, as in the encoding Latin-1.
TOKENIZERS = {
    "characters": Tokenizer(list, "".join),
    "bytes": Tokenizer(lambda text: text.encode().decode("latin-1"), _join_bytes),
    "words": Tokenizer(re.compile(r"\w+|[^\w\s]").findall),
}


@final
@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model and their numbers; two vocabularies are equal if they have the same tokens in order.

        vocabulary = Vocabulary.fit(training_texts, "words", size=10_000)
        vocabulary.decode(vocabulary.encode("In the beginning"))

    Args:
        tokens: number k is ``tokens[k]``; all different. ``"<unknown>"``, if included, stands for all other tokens.
        tokenizer: "characters", "bytes", "words" (runs of letters and digits, and single signs), a function from text
            to tokens, which are joined with spaces, or a `Tokenizer`.

    Raises:
        ValueError: the tokenizer is unknown, or a token occurs twice.
    """

    tokens: tuple[str, ...]
    tokenizer: str | Callable[[str], Sequence[str]] | Tokenizer = dataclasses.field(
        default="characters", compare=False, repr=False
    )

    def __post_init__(self) -> None:
        as_tokenizer(self.tokenizer)
        if len(set(self.tokens)) < len(self.tokens):
            token, times = collections.Counter(self.tokens).most_common(1)[0]
            raise ValueError(f"the token {token!r} is there {times} times; allowed: once. Leave out its doubles.")

    @classmethod
    def fit(
        cls,
        texts: str | Iterable[str],
        tokenizer: str | Callable[[str], Sequence[str]] | Tokenizer = "characters",
        size: int | None = None,
        end: bool = False,
    ) -> Vocabulary:
        """Builds a vocabulary from texts: ``"<unknown>"``, optionally ``"<end>"``, then the tokens by frequency.

        Args:
            texts: texts of the training part alone; tokens of other parts are unknown.
            tokenizer: see `Vocabulary`. The vocabulary of "bytes" has all 256 bytes in order, and no byte is unknown.
            size: the largest size, including special tokens; rarer tokens are unknown.
            end: whether there is a token for the end of a text.

        Raises:
            ValueError: the texts have no tokens, or the size leaves no room for any.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if tokenizer == "bytes":
            return cls((*map(chr, range(256)), *([END] if end else [])), tokenizer)
        counts = collections.Counter(token for text in texts for token in as_tokenizer(tokenizer).split(text))
        special = [UNKNOWN, END] if end else [UNKNOWN]
        ordered = sorted(set(counts) - set(special), key=lambda token: (-counts[token], token))
        kept = ordered if size is None else ordered[: max(0, size - len(special))]
        if not kept:
            raise ValueError(
                f"{len(texts)} texts of {sum(map(len, texts))} characters and size={size} give no token; allowed: one "
                f"or more beside {', '.join(special)}. Give longer texts, or a larger size."
            )
        return cls((*special, *kept), tokenizer)

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return (
            f"Vocabulary({len(self)} tokens: {' '.join(map(repr, self.tokens[:8]))}{' ...' if len(self) > 8 else ''})"
        )

    @property
    def unknown(self) -> int | None:
        """The number of the unknown token; None if there is none."""
        return self._numbers.get(UNKNOWN)

    @property
    def end(self) -> int | None:
        """The number of the token that ends a text; None if there is none."""
        return self._numbers.get(END)

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text as int32 ``[L]``.

        Raises:
            ValueError: a token is not known, and the vocabulary has no unknown token.
        """
        tokens, unknown = as_tokenizer(self.tokenizer).split(text), self.unknown
        strange = [token for token in tokens if token not in self._numbers] if unknown is None else []
        if strange:
            raise ValueError(
                f"the token {strange[0]!r} is not in the vocabulary; allowed: one of its {len(self)}. Give the "
                f"vocabulary the token {UNKNOWN!r}."
            )
        return np.fromiter((self._numbers.get(token, unknown) for token in tokens), np.int32)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of these tokens.

        Raises:
            ValueError: a number is outside the vocabulary.
        """
        found = np.asarray(numbers).astype(int).ravel().tolist()
        if found and not 0 <= min(found) <= max(found) < len(self):
            raise ValueError(
                f"tokens from {min(found)} to {max(found)}; allowed: 0 to {len(self) - 1}. Check the model."
            )
        return as_tokenizer(self.tokenizer).join([self.tokens[number] for number in found])

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}


def as_tokenizer(tokenizer: str | Callable[[str], Sequence[str]] | Tokenizer) -> Tokenizer:
    """The tokenizer with this name or with this function.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    if isinstance(tokenizer, str):
        if tokenizer not in TOKENIZERS:
            names = ", ".join(map(repr, TOKENIZERS))
            raise ValueError(f"tokenizer={tokenizer!r}; allowed: {names}, or a function of text. Try 'characters'.")
        return TOKENIZERS[tokenizer]
    return Tokenizer(tokenizer)
