"""Pickle and deepcopy of objects that hold JAX's functions.

Functions such as ``jax.nn.sigmoid`` are compiled: `pickle` refuses them, and a `copy.deepcopy` of one is not equal to
the original, so that the copied model has another tree structure and is compiled again. Here they are stored by name.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
from typing import Any

from flax import nnx


@dataclasses.dataclass(frozen=True)
class ByName:
    """A reference to a global object: its module and name."""

    module: str
    name: str

    def find(self) -> Any:
        """Returns the object; raises ImportError or AttributeError if it no longer exists."""
        return functools.reduce(getattr, self.name.split("."), importlib.import_module(self.module))


def named(value: Any) -> Any:
    """Replaces a callable by its name if it can be found by it and is neither a class nor a plain function."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)  # JAX's ufuncs have only the second
    place = ByName(getattr(value, "__module__", None) or "", name or "")
    if not callable(value) or isinstance(value, type(named) | type) or not place.module or not place.name:
        return value
    try:
        return place if place.find() is value else value
    except (ImportError, AttributeError):
        return value


class Picklable:
    """A mixin for Flax modules: functions of JAX among the attributes are pickled by name, and copies share them."""

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        del memo
        static, state = nnx.split(self)
        return nnx.merge(static, copy.deepcopy(state))

    def __getstate__(self) -> dict[str, Any]:
        return {name: named(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: v.find() if isinstance(v, ByName) else v for name, v in state.items()})
