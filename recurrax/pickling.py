"""Pickle and deepcopy of objects that hold JAX's functions.

``jax.nn.sigmoid`` and its like are compiled functions: `pickle` refuses them, and `copy.deepcopy` makes one that is
equal to no other, so that the copied model has another tree and is compiled anew. Here they are kept by name.
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
    """A global object, as the place where it is found."""

    module: str
    name: str

    def find(self) -> Any:
        """The object; raises ImportError or AttributeError where it is gone."""
        return functools.reduce(getattr, self.name.split("."), importlib.import_module(self.module))


def named(value: Any) -> Any:
    """A callable that can be found by its name as that name, unless it is a class or a plain function; else itself."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)  # the second of JAX's ufuncs
    place = ByName(getattr(value, "__module__", None) or "", name or "")
    if not callable(value) or isinstance(value, type(named) | type) or not place.module or not place.name:
        return value
    try:
        return place if place.find() is value else value
    except (ImportError, AttributeError):
        return value


class Picklable:
    """A mixin for Flax's modules: attributes that are functions of JAX are kept by name, copies share them."""

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        del memo
        static, state = nnx.split(self)
        return nnx.merge(static, copy.deepcopy(state))

    def __getstate__(self) -> dict[str, Any]:
        return {name: named(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: v.find() if isinstance(v, ByName) else v for name, v in state.items()})
