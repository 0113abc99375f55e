"""Training steps without internal tricks of the engines, which no option switches off."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import jax

from recurrax.engines import adjoint, tuning

# By name: where the trick is decided, and what decides against it.
TRICKS: dict[str, tuple[Any, str, Any]] = {
    "kernels first": (tuning, "HEAVY", math.inf),
    "transposing before the loop": (adjoint, "for_steps", lambda cell, leading: cell),
}


@contextlib.contextmanager
def without(trick: str) -> Iterator[None]:
    """Programs that are traced inside are made without the trick."""
    module, name, value = TRICKS[trick]
    before = getattr(module, name)
    jax.clear_caches()
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
        jax.clear_caches()
