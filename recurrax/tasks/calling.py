"""Calls models with the options that their signatures accept."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from flax import nnx
from jax import Array


def call(model: Any, inputs: Any, options: Mapping[str, Any], key: Array | None = None) -> Any:
    """Calls ``model(inputs, ...)`` with all options that are not None, and with the key as ``dropout_key`` or ``rngs``.

    Raises:
        ValueError: the model's call does not accept one of the options.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if not takes(model, name):
            raise ValueError(
                f"the task calls {type(model).__name__} with {name}, which its call does not take; allowed: a model "
                f"that takes it. Add the argument {name} to __call__, or give the task an apply of its own."
            )
    if key is not None and takes(model, "dropout_key"):
        given["dropout_key"] = key
    elif key is not None and takes(model, "rngs"):
        given["rngs"] = nnx.Rngs(key)
    return model(inputs, **given)


def takes(model: Any, name: str) -> bool:
    """Whether the model's call accepts an argument of that name."""
    # The class of a module may show its constructor's signature, so inspect the method.
    parameters = inspect.signature(type(model).__call__ if isinstance(model, nnx.Module) else model).parameters
    return name in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
