"""One run as pure functions: `start`, `step`, `chunk`, `evaluate`. `jax.vmap` over runs makes the ensemble."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from recurrax.tasks import Example, Task

Model = Any  # a pytree that maps inputs [B, T, D] to outputs [B, T, O], e.g. a SequenceModel


class Run(NamedTuple):
    """The state of a training run: everything that its next step depends on."""

    model: Model
    optimizer: optax.OptState
    key: jax.Array  # of the data; step t draws from fold_in(key, t)
    step: jax.Array  # updates done


def adam(learning_rate: float, clip_norm: float | None = 1.0) -> optax.GradientTransformation:
    """Adam after clipping by the global norm of the gradient.

    Args:
        learning_rate: positive and finite.
        clip_norm: largest norm of the gradient of all parameters together, before Adam; None clips nothing.

    Raises:
        ValueError: a value is not positive and finite.

    Source: Kingma & Ba (2015); clipping: Pascanu, Mikolov & Bengio (2013).
    """
    for name, value in {"learning_rate": learning_rate, "clip_norm": clip_norm}.items():
        if value is None and name == "clip_norm":
            continue
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value!r}; allowed: a finite number > 0. Try {name}=1e-3.")
    clip = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    return optax.chain(*clip, optax.adam(learning_rate))


def start(build: Callable[[jax.Array], Model], optimizer: optax.GradientTransformation, seed: jax.Array) -> Run:
    """A run at step 0: the model and the data stream each get a key of their own from the seed."""
    model_key, data_key = jax.random.split(jax.random.key(seed))
    model = build(model_key)
    return Run(model, optimizer.init(model), data_key, jnp.zeros((), jnp.int32))


@functools.partial(jax.jit, static_argnums=(0, 2))
def batch(task: Task, key: jax.Array, size: int) -> Example:
    """``size`` examples: inputs ``[B, T, D]``."""
    return jax.vmap(task.sample)(jax.random.split(key, size))


def mean_loss(model: Model, task: Task, examples: Example) -> jax.Array:
    """Mean loss of the model over a batch of examples, scalar."""
    return jnp.mean(jax.vmap(task.loss)(model(examples.inputs), examples))


def step(task: Task, optimizer: optax.GradientTransformation, batch_size: int, run: Run) -> tuple[Run, jax.Array]:
    """One update on fresh examples; gives the new run and the loss before the update."""
    examples = batch(task, jax.random.fold_in(run.key, run.step), batch_size)
    loss, gradient = jax.value_and_grad(mean_loss)(run.model, task, examples)
    updates, state = optimizer.update(gradient, run.optimizer, run.model)
    model = optax.apply_updates(run.model, updates)
    return Run(model, state, run.key, run.step + 1), loss


def chunk(
    task: Task, optimizer: optax.GradientTransformation, batch_size: int, steps: int, run: Run
) -> tuple[Run, jax.Array]:
    """``steps`` updates in one `jax.lax.scan`; gives the new run and the losses ``[steps]``."""
    return jax.lax.scan(lambda run, _: step(task, optimizer, batch_size, run), run, length=steps)


def evaluate(model: Model, task: Task, examples: Example) -> tuple[jax.Array, jax.Array]:
    """Mean loss and mean accuracy over held-out examples, two scalars."""
    outputs = model(examples.inputs)
    loss, accuracy = jax.vmap(task.loss)(outputs, examples), jax.vmap(task.accuracy)(outputs, examples)
    return jnp.mean(loss), jnp.mean(accuracy)
