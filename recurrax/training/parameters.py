"""The trained part of a model: its `nnx.Param` arrays as nested dicts, which optimisers, masks and labels can address.

The rest of a model, such as the statistics of `nnx.BatchNorm` or the counters of `nnx.Rngs`, is its state. A call in
training may change the state; the new state is used in the next update, and no optimiser sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.storage.leaves import places
from recurrax.tasks import Stream, Task
from recurrax.tasks.calling import takes

Model = Any  # a pytree that maps inputs to outputs, e.g. a SequenceModel
Parameters = Any  # nested dicts of arrays with the names of the model's attributes


class Leaf(NamedTuple):
    """One array of a model: its path, the variable that holds it, and whether it is trained."""

    path: tuple[str, ...]
    holder: Any
    value: Any
    trained: bool


def parameters(model: Model) -> Parameters:
    """The trained arrays of a model, as nested dicts by attribute, ``{"layer": {"cell": {"kernel": ...}}}``.

    `recurrax.training.fit` passes this tree to the Optax transformation. Masks and labels use the same names; a string
    or bool may stand for a whole branch.

    Args:
        model: a Flax module, whose `nnx.Param` leaves are trained, or another pytree, whose floating-point leaves are
            trained.
    """
    tree: dict[str, Any] = {}
    for leaf in leaves(model):
        if leaf.trained:
            branch = tree
            for name in leaf.path[:-1]:
                branch = branch.setdefault(name, {})
            branch[leaf.path[-1]] = leaf.value
    return tree


def with_parameters(model: Model, values: Parameters) -> Model:
    """The model with new values of its parameters and with its current state."""

    def found(leaf: Leaf) -> Any:
        if not leaf.trained:
            return leaf.value
        branch = values
        for name in leaf.path:
            branch = branch[name]
        return branch

    return jax.tree.unflatten(jax.tree.structure(model), [found(leaf) for leaf in leaves(model)])


def state(model: Model) -> list[Any]:
    """The untrained leaves in order."""
    return [leaf.value for leaf in leaves(model) if not leaf.trained]


def with_state(model: Model, values: list[Any]) -> Model:
    """The model with new values of the untrained leaves, which keep their dtypes."""
    rest = iter(values)

    def found(leaf: Leaf) -> Any:
        if leaf.trained:
            return leaf.value
        value = next(rest)
        return value.astype(leaf.value.dtype) if jnp.issubdtype(leaf.value.dtype, jnp.floating) else value

    return jax.tree.unflatten(jax.tree.structure(model), [found(leaf) for leaf in leaves(model)])


def leaves(model: Model) -> Iterator[Leaf]:
    """All arrays of a model, in the order of `jax.tree.leaves`."""
    plain = not isinstance(model, nnx.Module)
    for path, holder, value in places(model):
        floating = hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.inexact)
        trained = isinstance(holder, nnx.Param) or (plain and not _is_variable(holder) and floating)
        yield Leaf(path, holder, value, trained)


def in_precision(model: Model, dtype: str | None) -> Model:
    """The model with its parameters in another dtype; its state, such as running averages, keeps its dtype."""
    if dtype is None:
        return model
    cast = [
        leaf.value.astype(dtype) if leaf.trained and jnp.issubdtype(leaf.value.dtype, jnp.floating) else leaf.value
        for leaf in leaves(model)
    ]
    return jax.tree.unflatten(jax.tree.structure(model), cast)


def check_model(model: Model) -> None:
    """Raises ValueError, with its path, if a parameter cannot be trained."""
    seen: dict[int, str] = {}
    for leaf in leaves(model):
        path = "model." + ".".join(leaf.path)
        if leaf.trained and not jnp.issubdtype(leaf.value.dtype, jnp.inexact):
            raise ValueError(
                f"{path} is an nnx.Param of {leaf.value.dtype}, which has no gradient; allowed: floating-point "
                "parameters. Hold it in an nnx.Variable, which is not trained."
            )
        if _is_variable(leaf.holder) and id(leaf.holder) in seen:
            raise ValueError(
                f"{path} and {seen[id(leaf.holder)]} are one variable, which would become two; allowed: variables in "
                "one place. Call one module twice in place of holding it twice (SequenceModel: tie_embeddings=True)."
            )
        seen[id(leaf.holder)] = path
    if not any(leaf.trained for leaf in leaves(model)):
        raise ValueError(
            f"{type(model).__name__} has no parameters to train; allowed: a model with nnx.Param leaves, or another "
            "pytree with floating-point leaves. Does build return the model?"
        )


def check_unchanged(before: list[Leaf], model: Model) -> None:
    """Raises ValueError if a call has changed a parameter, which only the optimiser may do, or added a variable."""
    after = list(leaves(model))
    added = {leaf.path for leaf in after} - {leaf.path for leaf in before}
    if added:
        path = ".".join(min(added))
        raise ValueError(
            f"the model's call has added model.{path}; allowed: calls that change values and add none. Make the "
            "variable in __init__, and leave out sow where the model is trained."
        )
    for old, new in zip(before, after, strict=True):
        if old.trained and new.value is not old.value:
            raise ValueError(
                f"model.{'.'.join(old.path)} is an nnx.Param that the model's call has set; allowed: calls that leave "
                "parameters alone. Hold what a call changes in an nnx.Variable or nnx.BatchStat."
            )


def check_noise(task: Task, model: Model) -> None:
    """Raises ValueError if the model has a dropout rate but the task's call does not use it."""
    own = type(task).advance is not Stream.advance if isinstance(task, Stream) else type(task).apply is not Task.apply
    if own or not isinstance(model, nnx.Module) or takes(model, "dropout_key") or takes(model, "rngs"):
        return
    for path, module in nnx.iter_graph(model):
        if isinstance(module, nnx.Dropout) and module.rate > 0 and module.rngs is None and not module.deterministic:
            raise ValueError(
                f"{'.'.join(['model', *map(str, path)])} has rate={module.rate}, and {type(model).__name__} takes no "
                "dropout_key, so that nothing would be dropped; allowed: a model that passes the key on. Write "
                "__call__(self, inputs, dropout_key=None) and give dropout_key to the layer."
            )


def in_evaluation(model: Model) -> Model:
    """The model in evaluation mode: for a Flax module ``model.eval()``, without dropout and with running averages."""
    for part in jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, nnx.Module)):
        if isinstance(part, nnx.Module):
            part.eval()  # changes only the copy in this trace
    return model


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)
