"""Levenshtein's distance between two sequences, and error rates computed from it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np


def edit_distance(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> int:
    r"""The least number of insertions, deletions and replacements that turn one sequence into the other.

    .. math::
        d_{ij} = \min(d_{i-1,j} + 1, \; d_{i-1,j-1} + [a_i \ne b_j], \; d_{i,j-1} + 1)

    The last term runs along the row: with t the least of the first two, :math:`d_{ij} = j + \min_{k \le j} (t_k - k)`,
    a running minimum. So a row is a few array operations.

    Args:
        reference: a, tokens of any kind that can be compared and hashed; the letters of a str are its tokens.
        hypothesis: b, likewise.

    Source: Levenshtein (1966); Wagner & Fischer (1974).
    """
    numbers: dict[Hashable, int] = {}
    a, b = (np.array([numbers.setdefault(token, len(numbers)) for token in x], int) for x in (reference, hypothesis))
    columns = np.arange(len(b) + 1)
    row = columns
    for i, token in enumerate(a, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (b != token))
        row = columns + np.minimum.accumulate(np.concatenate([[i], best]) - columns)
    return int(row[-1])


def error_rate(pairs: Iterable[tuple[Sequence[Hashable], Sequence[Hashable]]]) -> float:
    """Edits per token of the references: the sum of all distances over the sum of the references' lengths.

    It is a character, phoneme or word error rate, depending on the tokens. It exceeds 1 if the hypotheses have many
    extra tokens.

    Args:
        pairs: ``(reference, hypothesis)``, one for each sequence.

    Raises:
        ValueError: the references are all empty.
    """
    edits = tokens = 0
    for reference, hypothesis in pairs:
        edits += edit_distance(reference, hypothesis)
        tokens += len(reference)
    if not tokens:
        raise ValueError(
            "the references have 0 tokens, so no rate can be computed; allowed: 1 or more. Check which of the two "
            "in each pair is the reference: it is the first."
        )
    return edits / tokens
