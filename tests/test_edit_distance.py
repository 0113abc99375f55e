"""Levenshtein's distance beside the textbook's double loop, and the error rate made of it."""

import functools

import numpy as np
import pytest

from recurrax.edit_distance import edit_distance, error_rate


def textbook(a, b):
    @functools.cache
    def d(i, j):
        if not i or not j:
            return i + j
        return min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return d(len(a), len(b))


def test_equals_the_textbook_on_random_sequences():
    random = np.random.RandomState(0)
    for _ in range(300):
        a, b = (random.randint(3, size=random.randint(8)).tolist() for _ in range(2))
        assert edit_distance(a, b) == textbook(a, b) == edit_distance(b, a)


@pytest.mark.parametrize(
    "a, b, distance",
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("", "", 0), ("same", "same", 0), ("ab", "ba", 2)],
)
def test_by_hand(a, b, distance):
    assert edit_distance(a, b) == distance


def test_tokens_are_words_where_a_list_of_words_is_given():
    assert edit_distance("in the beginning".split(), "in a beginning".split()) == 1


def test_error_rate_weighs_by_the_length_of_the_reference():
    assert error_rate([("abcd", "abcx"), ("ab", "abcd")]) == pytest.approx(3 / 6)
    assert error_rate(iter([("ab", "")])) == 1
    with pytest.raises(ValueError, match="references have 0 tokens"):
        error_rate([("", "a")])
