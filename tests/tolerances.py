"""How close is equal: one tolerance for each dtype, and one for numerical derivatives."""

from typing import Any

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
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        assert jnp.shape(a) == jnp.shape(b), path
        wide = np.complex128 if jnp.iscomplexobj(a) or jnp.iscomplexobj(b) else np.float64
        a, b = np.asarray(a, wide), np.asarray(b, wide)
        np.testing.assert_allclose(a, b, **TOLERANCE[dtype], err_msg=jax.tree_util.keystr(path))
