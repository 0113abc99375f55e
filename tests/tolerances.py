"""How close is equal: one tolerance for each dtype, and one for numerical derivatives."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

# Rounding of some dozens of operations in another order; the absolute part is for numbers that cancel to about 0.
TOLERANCE: dict[str, dict[str, float]] = {
    "float64": {"rtol": 1e-10, "atol": 1e-12},
    "differences": {"rtol": 1e-6, "atol": 1e-7},  # a derivative from differences of float64 values 4e-6 apart
    "float32": {"rtol": 1e-5, "atol": 1e-6},
    "long": {"rtol": 1e-3, "atol": 1e-5},  # float32 over some ten thousand steps that remember a thousand
    "bfloat16": {"rtol": 3e-2, "atol": 1e-2},
}


def close(actual: Any, expected: Any, dtype: str = "float64") -> None:
    """Asserts that two pytrees have the same structure, shapes and, to the tolerance of the dtype, numbers."""
    actual, expected = jax.tree.map(wide, actual), jax.tree.map(wide, expected)
    chex.assert_trees_all_equal_shapes(actual, expected)
    chex.assert_trees_all_close(actual, expected, **TOLERANCE[dtype])


def wide(leaf: Any) -> np.ndarray:
    """In double precision, which holds the numbers of every dtype."""
    return np.asarray(leaf, np.complex128 if jnp.iscomplexobj(leaf) else np.float64)
