"""Text as tokens: vocabularies of the training part alone, round trips, ends of documents, splits in order."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import check_refusal

from recurrax.datasets import SPLITS, Text, Tokenizer, Vocabulary

TRAIN, VALIDATION, TEST = "abracadabra, banana!", "cab z", "bard"
DOCUMENTS = ["the cat sat.", "", "a cat"]


@pytest.mark.parametrize(
    "tokenizer", ["characters", "bytes", "words", str.split, Tokenizer(lambda t: t.split("|"), "|".join)]
)
def test_what_is_encoded_is_decoded_again(tokenizer):
    text = "the cat sat on the mat" if tokenizer != "bytes" else "naïve café ☕\n"
    vocabulary = Vocabulary.fit(text, tokenizer)
    numbers = vocabulary.encode(text)
    assert numbers.dtype == np.int32 and vocabulary.decode(numbers) == text
    assert vocabulary.decode(jnp.asarray(numbers)) == text
    assert (numbers != vocabulary.unknown).all()


def test_words_are_runs_of_letters_and_signs():
    vocabulary = Vocabulary.fit("Don't stop, don't!", "words")
    assert set(vocabulary.tokens) == {"<unknown>", "Don", "'", "t", "stop", ",", "don", "!"}
    assert vocabulary.decode(vocabulary.encode("stop!")) == "stop !"


def test_the_most_frequent_tokens_come_first():
    assert Vocabulary.fit("bbb aa c aa", "characters").tokens == ("<unknown>", "a", " ", "b", "c")
    small = Vocabulary.fit(["a b b", "c c c"], str.split, size=3)
    assert small.tokens == ("<unknown>", "c", "b") and small.encode("a b c").tolist() == [0, 2, 1]
    ended = Vocabulary.fit("ab", end=True)
    assert (ended.unknown, ended.end, len(ended)) == (0, 1, 4)


def test_bytes_know_everything():
    vocabulary = Vocabulary.fit("", "bytes", end=True)
    assert len(vocabulary) == 257 and vocabulary.unknown is None and vocabulary.end == 256
    assert vocabulary.encode("é").tolist() == list("é".encode())
    assert vocabulary.decode([104, 105, 256]) == "hi<end>"
    assert vocabulary.decode([0xC3]) == "�"


def test_only_the_training_part_is_known():
    text = Text(TRAIN, VALIDATION, TEST)
    assert set(text.vocabulary.tokens) == {"<unknown>", *TRAIN}
    assert text.decode([*text.validation.inputs, text.validation.targets[-1]]) == "cab <unknown>"
    assert text.vocabulary_size == len(text.vocabulary) == 1 + len(set(TRAIN))
    assert Text(TRAIN, VALIDATION + "☕", TEST).vocabulary == text.vocabulary


def test_a_text_predicts_its_next_token():
    text = Text(TRAIN, VALIDATION, TEST)
    assert text.sizes == (len(TRAIN) - 1, len(VALIDATION) - 1, len(TEST) - 1)
    for split, content in zip(SPLITS, (TRAIN, VALIDATION, TEST), strict=True):
        inputs, targets, resets, weights = getattr(text, split)
        tokens = text.encode(content)
        assert inputs.tolist() == tokens[:-1].tolist() and targets.tolist() == tokens[1:].tolist()
        assert resets.tolist() == [True] + [False] * (len(tokens) - 2) and weights is None
        assert isinstance(inputs, jax.Array) and inputs.dtype == targets.dtype == jnp.int32


def test_documents_begin_and_end():
    """Every token of a document is predicted, its first one and its end too, after a reset."""
    text = Text(DOCUMENTS, DOCUMENTS[:1], DOCUMENTS[2:], "words")
    end = text.vocabulary.end
    read = text.decode(text.train.targets)
    assert read == "the cat sat . <end> <end> a cat <end>"
    inputs, resets = np.asarray(text.train.inputs), np.asarray(text.train.resets)
    np.testing.assert_array_equal(inputs == end, resets)
    assert resets.tolist() == [True, False, False, False, False, True, True, False, False]
    assert text.decode(inputs) == "<end> the cat sat . <end> <end> a cat"


def test_token_numbers_are_taken_as_they_are():
    text = Text(np.arange(10), [3, 1, 2], np.asarray([9, 9]), vocabulary=10)
    assert text.train.targets.tolist() == list(range(1, 10)) and text.validation.inputs.tolist() == [3, 1]
    assert text.vocabulary_size == 10
    with pytest.raises(ValueError, match="text was made of token numbers, with no vocabulary to read them by"):
        text.decode([1])
    several = Text([np.arange(3), np.arange(5), np.arange(1)], [np.arange(2)], [np.arange(2)], vocabulary=5)
    assert several.train.inputs.tolist() == [0, 1, 0, 1, 2, 3] and several.train.targets.tolist() == [1, 2, 1, 2, 3, 4]
    assert several.train.resets.tolist() == [1, 0, 1, 0, 0, 0]
    words = Vocabulary(("a", "b", "c"), str.split)
    assert Text([0, 1, 2], [0, 1], [1, 2], vocabulary=words).decode([2, 0]) == "c a"


def test_a_text_is_cut_in_order():
    book = "".join(chr(97 + n // 10) for n in range(200))
    text = Text.contiguous(book, (0.8, 0.1, 0.1))
    assert text.sizes == (159, 19, 19)
    assert len(text.vocabulary) == 1 + 16 and set(text.validation.inputs.tolist()) == {text.vocabulary.unknown}
    documents = [f"{n}" * 3 for n in range(10)]
    parts = Text.contiguous(documents, (0.6, 0.2, 0.2), "characters")
    assert parts.decode(parts.train.targets) == "".join(f"{document}<end>" for document in documents[:6])
    tokens = Text.contiguous(np.arange(40), (0.5, 0.25, 0.25), vocabulary=40)
    assert tokens.test.inputs.tolist() == list(range(30, 39))


def test_texts_are_known_by_their_contents():
    text, same = (Text(TRAIN, VALIDATION, TEST) for _ in range(2))
    assert text == same and hash(text) == hash(same)
    assert text.sha256 != Text(TRAIN, VALIDATION, "bars").sha256
    tokens = ("<unknown>", *(token.upper() for token in text.vocabulary.tokens[1:]))
    renamed = Vocabulary(tokens, lambda text: list(text.upper()))
    other = Text(TRAIN, VALIDATION, TEST, vocabulary=renamed)
    assert (other.train.inputs == text.train.inputs).all() and other != text
    assert pickle.loads(pickle.dumps(text)) == text
    assert text.vocabulary == same.vocabulary and hash(text.vocabulary) == hash(same.vocabulary)
    assert repr(text.vocabulary).startswith("Vocabulary(10 tokens: '<unknown>' 'a' ")


ERRORS = {
    "kinds": (lambda: Text("abc", ["abc"], "abc"), TypeError, "allowed: all three of one kind"),
    "floats": (lambda: Text(np.ones(3), np.ones(3), np.ones(3)), TypeError, "the train split is a ndarray of"),
    "short": (lambda: Text("abc", "a", "abc"), ValueError, "the validation split has nothing to predict"),
    "outside": (lambda: Text([0, 5], [0, 1], [0, 1], vocabulary=5), ValueError, "tokens from 0 to 5; allowed: 0 to 4"),
    "no size": (lambda: Text([0, 1], [0, 1], [0, 1]), ValueError, "vocabulary=None for token numbers; allowed"),
    "a size": (lambda: Text("ab", "ab", "ab", vocabulary=5), ValueError, "vocabulary=5 for texts; allowed: a Vocab"),
    "both": (lambda: Text([0, 1], [0, 1], [0, 1], "words", 5), ValueError, "tokenizer='words' beside token numbers"),
    "tokenizer": (lambda: Text("ab", "ab", "ab", "syllables"), ValueError, "tokenizer='syllables'; allowed: 'char"),
    "no end": (
        lambda: Text(["ab"], ["ab"], ["ab"], vocabulary=Vocabulary.fit("ab")), ValueError, "no token for the end of a"
    ),
    "fractions": (lambda: Text.contiguous("abcd" * 9, (0.9, 0.1)), ValueError, "three numbers that sum to 1"),
    "unknown": (lambda: Vocabulary(("a", "b")).encode("abc"), ValueError, "the token 'c' is not in the vocabulary"),
    "doubled": (lambda: Vocabulary(("a", "b", "a")), ValueError, "the token 'a' is there 2 times"),
    "decode": (lambda: Vocabulary(("a", "b")).decode([0, 2]), ValueError, "tokens from 0 to 2; allowed: 0 to 1"),
    "nothing": (lambda: Vocabulary.fit(["", ""]), ValueError, "2 texts of 0 characters and size=None give no token"),
    "no room": (lambda: Vocabulary.fit("abc", size=1), ValueError, "size=1 give no token"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_is_allowed(name):
    check_refusal(*ERRORS[name])
