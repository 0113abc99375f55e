"""Applies a trained model to new data: outputs and metrics, in batches or as one stream."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks import Example, FiniteTask, HostTask, Stream, Task
from recurrax.training.parameters import Model, in_evaluation
from recurrax.training.run import Recipe, copied, in_batches


def predict(
    model: Model, task: Task, examples: Example | str, batch_size: int = 128, precision: str | None = None
) -> Any:
    """The outputs of a model for all examples, as NumPy arrays ``[N, ...]``.

    Args:
        model: one model, e.g. ``history.best()``; it runs in evaluation mode, without dropout.
        task: defines how to call the model.
        examples: every leaf ``[N, ...]``; `Task.apply` needs only part of them, so ``Example(inputs, None)`` suffices.
            For a `FiniteTask`, `HostTask` or `Stream` also the name of a split.
        batch_size: examples per batch; the last batch is filled up, so that all batches use one program. A `Stream`
            ignores it and is read from beginning to end.
        precision: precision of the computation, see `Plan`.

    Returns:
        The outputs, ``[N, T, O]``; for a `Stream` ``[N, O]``, one for each step of the split.

    Raises:
        ValueError: the task does not have the split of this name.
    """
    recipe = _recipe(task, precision)
    if isinstance(task, Stream) and isinstance(examples, str):
        return _streamed(recipe, task, model, examples)
    found = _examples(task, examples)
    total = len(jax.tree.leaves(found)[0])
    batched = in_batches(found, batch_size)
    program = jax.jit(recipe.outputs)
    parts = [
        jax.device_get(program(model, jax.tree.map(lambda leaf, index=index: leaf[index], batched)))
        for index in range(len(jax.tree.leaves(batched)[0]))
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *parts)


def evaluate(
    model: Model, task: Task, examples: Example | str, batch_size: int = 128, precision: str | None = None
) -> dict[str, float]:
    """The metrics of a model over all steps that count; arguments and errors are those of `predict`.

    Returns:
        ``{name: value}``: the results of `Task.metrics` and `Task.finish`, including ``loss``.
    """
    recipe = _recipe(task, precision)
    if isinstance(task, Stream) and isinstance(examples, str):
        metrics = jax.jit(functools.partial(recipe.evaluate_stream, split=examples))(model)
    else:
        program = jax.jit(functools.partial(recipe.evaluate_split, size=batch_size))
        metrics = program(model, _examples(task, examples))
    return {name: float(value) for name, value in metrics.items()}


def _recipe(task: Task, precision: str | None) -> Recipe:
    return Recipe(lambda key: key, task, None, precision=precision)  # nothing is built or trained


def _examples(task: Task, examples: Example | str) -> Example:
    if not isinstance(examples, str):
        if not len(jax.tree.leaves(examples)[0]):
            raise ValueError("there are 0 examples; allowed: one or more. Every leaf has a leading axis N.")
        return jax.tree.map(jnp.asarray, examples)
    if not isinstance(task, FiniteTask | HostTask):
        raise ValueError(
            f"examples={examples!r} names a split, which {type(task).__name__} does not have; allowed: examples, every "
            "leaf [N, ...]. Draw some: jax.vmap(task.sample)(jax.random.split(key, n))."
        )
    return jax.tree.map(jnp.asarray, task.examples(examples))


def _streamed(recipe: Recipe, task: Stream, model: Model, split: str) -> Any:
    """The outputs at each step of a split, read as one stream."""

    @jax.jit
    def window(model: Model, carry: Any, index: jax.Array) -> tuple[Any, Any]:
        passed = recipe.forward(in_evaluation(copied(model)), task.segment(split, index, 1), carry)
        return passed.carry, jax.tree.map(lambda leaf: leaf[0], passed.outputs)

    carry, parts = recipe.initial_carry(model, 1), []
    for index in range(task.windows(split, 1)):
        carry, outputs = window(model, carry, jnp.asarray(index))
        parts.append(jax.device_get(outputs))
    total = len(jax.tree.leaves(task.sequence(split).inputs)[0])
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *parts)
