"""Text as tokens for language models: three splits, a vocabulary from the training split, and ends of documents.

    text = Text.contiguous(book)                              # 90 / 5 / 5 percent of the characters, in order
    text = Text(train, validation, test, "words")             # lists of documents

    one text     tokens    x_1 x_2 ... x_N                inputs x_1 ... x_N-1, targets x_2 ... x_N
    documents    tokens    END a b c END d e END          inputs END a b c END d e, targets a b c END d e END
                 resets    1   0 0 0 1   0 0              before each document the carry is the initial one

So every token of a document, including the first one and the end, is predicted from this document alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.datasets.dataset import SPLITS, Steps, content_hash
from recurrax.datasets.splitting import shares
from recurrax.datasets.vocabulary import Tokenizer, Vocabulary

FRACTIONS = (0.9, 0.05, 0.05)


@final
@dataclasses.dataclass(frozen=True)
class Text:
    """Three splits of text as `Steps` of int32 tokens on the device; equality compares name, tokens and vocabulary.

    Args:
        train: a text; or a list of documents; or token numbers, ``[N]``, or a list of arrays of them.
        validation, test: in the same form.
        tokenizer: tokenizer of texts, see `Vocabulary`; None is "characters", or the vocabulary's own.
        vocabulary: `Vocabulary`, or the number of tokens; None uses the tokens of the training texts, and all others
            are unknown. It is required for token numbers.
        name: of the data set.

    Raises:
        ValueError: a split has nothing to predict, a token is outside the vocabulary, or there is no vocabulary.
        TypeError: a split is neither text nor token numbers, or not of the same kind as the others.
    """

    train: Any = dataclasses.field(compare=False, repr=False)
    validation: Any = dataclasses.field(compare=False, repr=False)
    test: Any = dataclasses.field(compare=False, repr=False)
    tokenizer: str | Callable[[str], Sequence[str]] | Tokenizer | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    vocabulary: Any = dataclasses.field(default=None, compare=False)
    name: str = "text"
    source: str = dataclasses.field(default="", init=False, compare=False)
    sha256: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        parts = {split: getattr(self, split) for split in SPLITS}
        kinds = {split: _kind(split, part) for split, part in parts.items()}
        if len(set(kinds.values())) > 1:
            raise TypeError(f"the splits are {kinds}; allowed: all three of one kind. Make them alike.")
        texts, several = kinds["train"]
        vocabulary = self.vocabulary
        if self.tokenizer is not None and (vocabulary is not None or not texts):
            raise ValueError(
                f"tokenizer={self.tokenizer!r} beside {'a vocabulary' if texts else 'token numbers'}; allowed: for "
                "texts, where the vocabulary is made of them. Leave it out; a Vocabulary has its own tokenizer."
            )
        if vocabulary is None and texts:
            vocabulary = Vocabulary.fit(parts["train"], self.tokenizer or "characters", end=several)
        if not isinstance(vocabulary, Vocabulary if texts else Vocabulary | int):
            allowed = "a Vocabulary, or None to make it of the training texts" if texts else "a Vocabulary, or an int"
            raise ValueError(
                f"vocabulary={vocabulary!r} for {'texts' if texts else 'token numbers'}; allowed: {allowed}."
            )
        size = vocabulary if isinstance(vocabulary, int) else len(vocabulary)
        for split, part in parts.items():
            documents = part if several else [part]
            if texts:
                documents = [_ended(vocabulary, document, several) for document in documents]
            object.__setattr__(self, split, _steps(split, [np.asarray(d) for d in documents], size))
        ends = ", of documents" if several else ""
        object.__setattr__(self, "vocabulary", vocabulary)
        object.__setattr__(self, "source", f"{' / '.join(f'{n:,}' for n in self.sizes)} tokens{ends}")
        known = size if isinstance(vocabulary, int) else vocabulary.tokens
        object.__setattr__(self, "sha256", content_hash([getattr(self, split) for split in SPLITS], repr(known)))

    @classmethod
    def contiguous(
        cls,
        text: str | Sequence[str] | np.ndarray,
        fractions: Sequence[float] = FRACTIONS,
        tokenizer: str | Callable[[str], Sequence[str]] | Tokenizer | None = None,
        vocabulary: Vocabulary | int | None = None,
        name: str = "text",
    ) -> Text:
        """Cuts one text, list of documents or array of token numbers in order into train, validation and test.

        Args:
            text: the text, cut between characters, whole documents or tokens.
            fractions: three fractions with sum 1.
            tokenizer, vocabulary, name: see `Text`.

        Raises:
            ValueError: a split would be empty, or the fractions do not sum to 1.
        """
        if len(fractions) != 3:
            raise ValueError(f"fractions={tuple(fractions)}; allowed: three numbers that sum to 1. Try {FRACTIONS}.")
        train, validation, _ = shares(len(text), fractions, "characters, documents or tokens")
        parts = text[:train], text[train : train + validation], text[train + validation :]
        return cls(*parts, tokenizer, vocabulary, name)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of tokens to predict in the three splits."""
        return tuple(len(getattr(self, split).targets) for split in SPLITS)

    @property
    def vocabulary_size(self) -> int:
        """The number of tokens in the vocabulary: V of a model's inputs and outputs."""
        return self.vocabulary if isinstance(self.vocabulary, int) else len(self.vocabulary)

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, int32 ``[L]``."""
        return self._words().encode(text)

    def decode(self, numbers: Any) -> str:
        """The text of these tokens."""
        return self._words().decode(numbers)

    def _words(self) -> Vocabulary:
        if isinstance(self.vocabulary, int):
            raise ValueError(
                f"{self.name} was made of token numbers, with no vocabulary to read them by; allowed: Text(..., "
                "vocabulary=Vocabulary(...)). Or decode with the tokenizer that made them."
            )
        return self.vocabulary


def _kind(split: str, part: Any) -> tuple[bool, bool]:
    """Whether a split is text, and whether it is a list of documents."""
    if isinstance(part, str):
        return True, False
    several = isinstance(part, list | tuple) and len(part) > 0 and not np.isscalar(part[0])
    if isinstance(part, list | tuple) and part and all(isinstance(document, str) for document in part):
        return True, True
    arrays = [np.asarray(document) for document in (part if several else [part])]
    if all(array.ndim == 1 and np.issubdtype(array.dtype, np.integer) for array in arrays):
        return False, several
    raise TypeError(
        f"the {split} split is a {type(part).__name__} of {[f'{a.dtype}{list(a.shape)}' for a in arrays[:3]]}; "
        "allowed: a text, a list of texts, token numbers [N], or a list of arrays of them. Read files with "
        "Path.read_text."
    )


def _ended(vocabulary: Any, text: str, several: bool) -> np.ndarray:
    tokens = vocabulary.encode(text)
    if not several:
        return tokens
    if vocabulary.end is None:
        raise ValueError(
            "the vocabulary has no token for the end of a document; allowed: Vocabulary.fit(..., end=True). Or join "
            "the documents into one text."
        )
    return np.concatenate([[vocabulary.end], tokens, [vocabulary.end]]).astype(np.int32)


def _steps(split: str, documents: list[np.ndarray], size: int) -> Steps:
    documents = [document.astype(np.int32) for document in documents if len(document) > 1]
    if not documents:
        raise ValueError(f"the {split} split has nothing to predict; allowed: two tokens or more. Give it more text.")
    tokens = np.concatenate(documents)
    if tokens.min() < 0 or tokens.max() >= size:
        raise ValueError(
            f"the {split} split has tokens from {tokens.min()} to {tokens.max()}; allowed: 0 to {size - 1}. Give the "
            "vocabulary of the tokenizer that made them."
        )
    resets = np.concatenate([np.arange(len(document) - 1) == 0 for document in documents])
    inputs, targets = (np.concatenate([d[part] for d in documents]) for part in (np.s_[:-1], np.s_[1:]))
    return jax.tree.map(jnp.asarray, Steps(inputs, targets, resets))
