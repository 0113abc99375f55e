"""The permutation of pixels for each size, by a rule that does not depend on library versions."""

from __future__ import annotations

import functools
import hashlib

import numpy as np

# SHA-256 of each permutation as little-endian uint16.
PERMUTATIONS = {
    64: "ceef97562c2bb46b280c75681394227a2a2b2b4c455e27458e2b35853c2a4fc3",
    784: "aa27dcf06593977886afb10ce7229c7c5a6c3c1fb715e4d1ac96e1c3e6a73c96",
    1024: "9696336ac125e1a6bd00d1c3ba45e0cc7b936155a7442b6fc7608076a9ea1b69",
}


@functools.cache
def permutation(size: int) -> np.ndarray:
    """The numbers below ``size``, in the order of the SHA-256 of ``"recurrax {size} {number}"``: int32 ``[size]``.

    Published implementations use different permutations (NumPy's seeds 92916 and 5544, PyTorch's 5544, stored files),
    so results on permuted pixels can be compared only roughly. If ``PERMUTATIONS`` lists the size, the permutation is
    checked.

    Raises:
        RuntimeError: the permutation is not the listed one.
    """
    order = sorted(range(size), key=lambda number: hashlib.sha256(f"recurrax {size} {number}".encode()).digest())
    found = hashlib.sha256(np.asarray(order, "<u2").tobytes()).hexdigest()
    if found != PERMUTATIONS.get(size, found):
        raise RuntimeError(
            f"the permutation of {size} has SHA-256 {found}; allowed: {PERMUTATIONS[size]}. Reinstall it."
        )
    return np.asarray(order, np.int32)
