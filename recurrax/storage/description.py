"""Descriptions of models, tasks and functions in plain values, for comparison between processes."""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.core import Tracer

LONGEST = 100  # entries of a list or dict that are described one by one; longer ones are hashed
DEEPEST = 20  # levels of nesting to describe
PUBLIC = (  # modules with stable public names of classes and functions
    "recurrax recurrax.cells recurrax.tasks recurrax.training jax.nn jax.numpy jax.lax jax.scipy.special flax.nnx "
    "flax.linen optax"
).split()
LIBRARIES = (
    "recurrax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
)  # libraries whose versions determine what their functions do

Inner = Callable[[Any], Any]  # describes a part of a value


def describe(value: Any, *, values: bool = True) -> Any:
    """The value in JSON's own types: equal descriptions mean equal models, tasks or functions, in any process.

    A class is described by its name, a dataclass by its fields (without those with metadata ``{"setting": False}``), a
    Flax module by its attributes, and another object by its variables. A function is described by its name, its default
    and `functools.partial` arguments, and the variables that it closes over or reads; a lambda also by its constants.
    An Optax transformation is described only by its class, see `recurrax.training.identity.fingerprint`.

    Args:
        value: any object.
        values: whether arrays are described by a hash of their values; otherwise by dtype and shape alone, so that a
            built model equals an abstract one.
    """
    return _describe(value, values, ())


def _describe(value: Any, values: bool, above: tuple[int, ...]) -> Any:
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if id(value) in above or len(above) > DEEPEST:
        return "itself" if id(value) in above else _name(type(value))

    def inner(part: Any, values: bool = values) -> Any:
        return _describe(part, values, (*above, id(value)))

    if isinstance(value, np.ndarray | jax.Array | jax.ShapeDtypeStruct):
        return _array(value, values, inner)
    for is_kind, told in _KINDS:
        if is_kind(value):
            return told(value, inner)
    return _object(value, inner)


def kind(leaf: Any) -> str:
    """The dtype and shape of an array, ``float32[3, 4]``."""
    return f"{leaf.dtype}{list(leaf.shape)}"


def _array(value: Any, values: bool, inner: Inner) -> Any:
    if not values or isinstance(value, jax.ShapeDtypeStruct | Tracer):
        return kind(value)
    is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    found = np.asarray(jax.random.key_data(value) if is_key else value)
    if found.dtype == object:
        return inner(found.tolist())
    return f"{kind(value)} of SHA-256 {_hash(found.tobytes())}"


def _is_dtype(value: Any) -> bool:
    if isinstance(value, type):
        return value in np.sctypeDict.values() or isinstance(vars(value).get("dtype"), np.dtype)  # np's, jnp's
    return isinstance(value, np.dtype)


def _variable(value: nnx.Variable, inner: Inner) -> Any:
    array = value.get_raw_value() if hasattr(value, "get_raw_value") else value.raw_value
    return (
        f"{type(value).__name__} {found}" if isinstance(found := inner(array), str) else {type(value).__name__: found}
    )


def _is_module(value: Any) -> bool:
    return isinstance(value, nnx.Module) or hasattr(type(value), "_pytree__flatten")


def _module(value: Any, inner: Inner) -> Any:
    nodes: Any = getattr(
        value, "_pytree__nodes", ()
    )  # attributes with parameters; arrays in other attributes are settings
    if not nodes or not getattr(value, "_pytree__is_pytree", True):
        nodes = vars(value)
    data = {name for name in nodes if not isinstance(nodes, Mapping) or nodes[name] is not False}
    told = {
        name: inner(part) if name in data else inner(part, values=True)  # type: ignore[call-arg]
        for name, part in vars(value).items()
        if not name.startswith(("_pytree__", "_object__"))
    }
    return _folded({"class": _name(type(value)), **told})


def _mapping(value: Mapping[Any, Any], inner: Inner) -> Any:
    return _folded({str(key): inner(part) for key, part in value.items()})


def _sequence(value: Any, inner: Inner) -> Any:
    if hasattr(value, "_fields"):
        return {"class": _name(type(value)), **{name: inner(getattr(value, name)) for name in value._fields}}
    return _folded([inner(part) for part in value])


def _partial(value: functools.partial, inner: Inner) -> Any:
    told = inner(value.func)
    told = told if isinstance(told, dict) else {"def": told}
    try:
        signature = inspect.signature(value.func)
        given = dict(signature.bind_partial(*value.args, **value.keywords).arguments)
        for name, parameter in signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given |= given.pop(name, {})
    except (TypeError, ValueError):  # the signature of a builtin is unknown
        given = {**{str(place): part for place, part in enumerate(value.args)}, **value.keywords}
    return {**told, **{name: inner(part) for name, part in given.items()}}


def _function(value: FunctionType, inner: Inner) -> Any:
    name, told = _name(value), {}
    library = value.__module__ and value.__module__.split(".")[0] in LIBRARIES
    if not library or value.__module__.startswith("recurrax."):
        parameters = inspect.signature(value, follow_wrapped=False).parameters.values()
        told = {p.name: inner(p.default) for p in parameters if p.default is not inspect.Parameter.empty}
    for variable, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            told[variable] = inner(cell.cell_contents)
        except ValueError:
            pass  # the closure variable is not set yet
    if not library:
        constants, names = _reads(value.__code__)
        found = {one: value.__globals__[one] for one in names if one in value.__globals__}
        told = {**{one: inner(part) for one, part in found.items() if _is_setting(part)}, **told}
        if value.__name__ == "<lambda>":
            told["lambda"] = [*(inner(constant) for constant in constants), *names]
    return {"def": name, **told} if told else name


def _reads(code: CodeType) -> tuple[list[Any], list[str]]:
    """The constants and the names of globals and attributes in the code of a function and its inner functions."""
    constants, names = [], []
    for step in dis.get_instructions(code):
        if isinstance(step.argval, CodeType):
            inside = _reads(step.argval)
            constants, names = constants + inside[0], names + inside[1]
        elif "CONST" in step.opname or step.opname == "LOAD_SMALL_INT":
            constants += [step.argval]
        elif step.opname in ("LOAD_GLOBAL", "LOAD_ATTR", "LOAD_METHOD"):
            names += [step.argval]
    return constants, names


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_setting, value))
    return isinstance(value, bool | int | float | str | functools.partial)


def _method(value: MethodType, inner: Inner) -> Any:
    return {"def": _name(value.__func__), "self": inner(value.__self__)}


def _dataclass(value: Any, inner: Inner) -> Any:
    fields = [field.name for field in dataclasses.fields(value) if field.metadata.get("setting", True)]
    return {"class": _name(type(value)), **{name: inner(getattr(value, name, None)) for name in fields}}


def _object(value: Any, inner: Inner) -> Any:
    """Describes any other object by its variables, without cached values."""
    if hasattr(value, "__array__"):
        return inner(np.asarray(value))
    name, bases = _name(type(value)), type(value).__mro__
    cached = {key for base in bases for key, v in vars(base).items() if isinstance(v, functools.cached_property)}
    told = {key: inner(part) for key, part in _variables(value) if key not in cached}
    if told or type(value).__repr__ is object.__repr__:
        return _folded({"class": name, **told})
    return f"{name} {_short(re.sub(r' at 0x[0-9a-fA-F]+', '', repr(value)))}"


def _variables(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


def _folded(told: Any) -> Any:
    """The description; if it has many entries, their number and a hash instead."""
    if len(told) <= LONGEST:
        return told
    return f"{len(told)} entries of SHA-256 {_hash(json.dumps(told, sort_keys=True).encode())}"


def _short(text: str) -> str:
    return text if len(text) <= 10 * LONGEST else f"of SHA-256 {_hash(text.encode())}"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _name(value: Any) -> str:
    """Module and name of a class or function, at its public location if there is one, and never a memory address."""
    public = _public(value)
    if public is not None:
        return public
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__
    module = getattr(value, "__module__", None) or ""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.name if module == "__main__" and spec else module  # python -m module
    return f"{module}.{name}".strip(".")


def _public(value: Any) -> str | None:
    name = getattr(value, "__name__", None)
    for module in PUBLIC:
        if isinstance(name, str) and module in sys.modules and vars(sys.modules[module]).get(name) is value:
            return f"{module}.{name}"
    return None


def _is_public(value: Any) -> bool:
    """Whether it is a function of JAX, Flax or Optax; functions of recurrax are described with their arguments."""
    return callable(value) and not (_public(value) or "recurrax").startswith("recurrax")


# The first matching entry describes the value.
_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Inner], Any]], ...] = (
    (lambda value: isinstance(value, enum.Enum), lambda value, _: f"{_name(type(value))}.{value.name}"),
    (_is_dtype, lambda value, _: jnp.dtype(value).name),
    (lambda value: isinstance(value, np.generic), lambda value, inner: inner(value.item())),
    (lambda value: isinstance(value, Path), lambda value, _: str(value)),
    (lambda value: isinstance(value, type) or _is_public(value), lambda value, _: _name(value)),
    (lambda value: isinstance(value, ModuleType), lambda value, _: value.__name__),
    (lambda value: isinstance(value, nnx.Variable), _variable),
    (_is_module, _module),
    (
        lambda value: isinstance(value, optax.GradientTransformation | optax.MultiSteps),
        lambda value, _: {"class": _name(type(value))},
    ),
    (lambda value: isinstance(value, Mapping), _mapping),
    (lambda value: isinstance(value, tuple | list), _sequence),
    (lambda value: isinstance(value, set | frozenset), lambda value, inner: sorted(map(inner, value), key=json.dumps)),
    (lambda value: isinstance(value, functools.partial), _partial),
    (lambda value: isinstance(value, FunctionType), _function),
    (lambda value: isinstance(value, MethodType), _method),
    (lambda value: dataclasses.is_dataclass(value), _dataclass),
    (lambda value: callable(value) and hasattr(value, "__wrapped__"), lambda value, inner: inner(value.__wrapped__)),
    (lambda value: callable(value) and hasattr(value, "__name__"), lambda value, _: _name(value)),
)
