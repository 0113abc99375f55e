"""One run as pure functions of its state. `jax.vmap` over runs makes the ensemble.

A `Recipe` is what all runs of an ensemble share; a `Run` is what its next step depends on, and nothing else is.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from recurrax.tasks import Example, Task
from recurrax.training.clipping import check_positive, counted

Model = Any  # a pytree that maps inputs [B, T, D] to outputs [B, T, O], e.g. a SequenceModel
Settings = Mapping[str, Any]  # hyperparameters of one run by name, scalars
PRECISIONS = ("float32", "bfloat16")


class Run(NamedTuple):
    """The state of a training run: everything that its next step depends on."""

    model: Model
    optimizer: optax.OptState
    key: jax.Array  # of the data; step t draws from fold_in(key, t)
    step: jax.Array  # updates done
    settings: dict[str, jax.Array]  # the swept hyperparameters of this run


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how one update is made.

    Args:
        build: ``(key, **settings) -> model``; the model maps inputs ``[B, T, D]`` to outputs ``[B, T, O]``.
        task: makes the examples, on the device, and judges the outputs.
        optimizer: an Optax transformation, or ``(**settings) -> transformation`` such as `adam`.
        batch_size: examples of an update, all fresh; of a `FiniteTask`, drawn from its training split.
        precision: "float32", or "bfloat16" for the model's computation; parameters, optimiser and loss stay float32.
        constrain: applied to every batch of examples; a mesh shards them with it.
        penalty: ``(model, examples, **settings) -> scalar``, added to the loss in training and nowhere reported.

    Each function is given the settings that its signature names.

    Raises:
        ValueError: the precision is not known.
    """

    build: Callable[..., Model]
    task: Task
    optimizer: optax.GradientTransformation | Callable[..., optax.GradientTransformation]
    batch_size: int = 32
    precision: str = "float32"
    constrain: Callable[[Example], Example] = lambda examples: examples
    penalty: Callable[..., jax.Array] | None = None

    def __post_init__(self) -> None:
        check_precision(self.precision)

    def start(self, seed: jax.Array | int, settings: Settings | None = None) -> Run:
        """A run at step 0: the model and the data stream each get a key of their own from the seed."""
        settings = dict(settings or {})
        model_key, data_key = jax.random.split(jax.random.key(seed))
        model = self.build(model_key, **named_by(self.build, settings))
        state = self.transformation(settings).init(model)
        return Run(model, state, data_key, jnp.zeros((), jnp.int32), settings)

    def step(self, run: Run) -> tuple[Run, jax.Array]:
        """One update on fresh examples; gives the new run and the loss before the update."""
        examples = self.constrain(batch(self.task, jax.random.fold_in(run.key, run.step), self.batch_size))
        (_, loss), gradient = jax.value_and_grad(self.objective, has_aux=True)(run.model, examples, run.settings)
        updates, state = self.transformation(run.settings).update(gradient, run.optimizer, run.model)
        return run._replace(model=optax.apply_updates(run.model, updates), optimizer=state, step=run.step + 1), loss

    def chunk(self, steps: int, run: Run) -> tuple[Run, jax.Array]:
        """``steps`` updates in one `jax.lax.scan`; gives the new run and the losses ``[steps]``."""
        return jax.lax.scan(lambda run, _: self.step(run), run, length=steps)

    def objective(self, model: Model, examples: Example, settings: Settings) -> tuple[jax.Array, jax.Array]:
        """What is minimised, the mean loss and the penalty; and the loss alone."""
        loss = self.loss(model, examples)
        if self.penalty is None:
            return loss, loss
        return loss + self.penalty(model, examples, **named_by(self.penalty, settings)), loss

    def loss(self, model: Model, examples: Example) -> jax.Array:
        """Mean loss of the model over a batch of examples, a float32 scalar."""
        return jnp.mean(jax.vmap(self.task.loss)(self.outputs(model, examples), examples))

    def scores(self, model: Model, examples: Example) -> tuple[jax.Array, jax.Array]:
        """Loss and accuracy of each example of a batch, float32 ``[B]``."""
        outputs = self.outputs(model, examples)
        losses, accuracies = (jax.vmap(f)(outputs, examples) for f in (self.task.loss, self.task.accuracy))
        return losses, accuracies

    def evaluate(self, model: Model, examples: Example) -> tuple[jax.Array, jax.Array]:
        """Mean loss and mean accuracy over a batch of examples, two float32 scalars."""
        losses, accuracies = self.scores(model, examples)
        return jnp.mean(losses), jnp.mean(accuracies)

    def evaluate_split(self, model: Model, examples: Example, size: int) -> tuple[jax.Array, jax.Array]:
        """Mean loss and accuracy over all steps that count of a whole split, in batches of at most ``size`` examples.

        Batches are equal: the last one is filled with the first examples, whose scores are dropped.
        """
        count = len(examples.weights)
        batches = -(-count // size)
        filled = jnp.arange(batches * -(-count // batches)) % count
        batched = jax.tree.map(lambda leaf: leaf[filled].reshape(batches, -1, *leaf.shape[1:]), examples)
        scores = jax.lax.map(functools.partial(self.scores, model), batched)
        steps = jnp.sum(examples.weights, axis=1)
        loss, accuracy = (jnp.sum(steps * score.ravel()[:count]) / jnp.sum(steps) for score in scores)
        return loss, accuracy

    def outputs(self, model: Model, examples: Example) -> jax.Array:
        """The model's outputs, computed in the recipe's precision: ``[B, T, O]``."""
        if self.precision == "float32":
            return model(examples.inputs)
        return cast(model, self.precision)(cast(examples.inputs, self.precision))

    def transformation(self, settings: Settings) -> optax.GradientTransformation:
        """The Optax transformation at these settings."""
        if isinstance(self.optimizer, optax.GradientTransformation):
            return self.optimizer
        return self.optimizer(**named_by(self.optimizer, settings))


def adam(
    learning_rate: float = 1e-3, clip_norm: float | None = None, clip_value: float | None = None
) -> optax.GradientTransformation:
    """Adam, after clipping where a limit is given.

    Args:
        learning_rate: positive and finite.
        clip_norm: largest norm of the gradient of all parameters together, see `clip_by_norm`; None does not clip it.
        clip_value: largest size of its entries, see `clip_by_value`; None does not clip them.

    Raises:
        ValueError: a value is not positive and finite (a traced one, in a sweep, was checked before).

    Source: Kingma & Ba (2015); clipping: Pascanu, Mikolov & Bengio (2013).
    """
    return _clipped(optax.adam, learning_rate, clip_norm, clip_value)


def sgd(
    learning_rate: float = 1e-2, clip_norm: float | None = None, clip_value: float | None = None
) -> optax.GradientTransformation:
    """Stochastic gradient descent without momentum after clipping; arguments and errors are those of `adam`."""
    return _clipped(optax.sgd, learning_rate, clip_norm, clip_value)


def _clipped(
    optimizer: Callable[..., optax.GradientTransformation], rate: float, norm: float | None, value: float | None
) -> optax.GradientTransformation:
    check_positive("learning_rate", rate)
    clips = []
    for name, limit, clip in (("clip_norm", norm, optax.clip_by_global_norm), ("clip_value", value, optax.clip)):
        if limit is not None:
            check_positive(name, limit)
            clips.append(clip(limit))
    # One count for both: an update that either of them changed counts once.
    return optax.chain(*([counted(optax.chain(*clips))] if clips else []), optimizer(rate))


def check_precision(precision: str) -> None:
    """Raises ValueError unless the precision is known."""
    if precision not in PRECISIONS:
        allowed = ", ".join(PRECISIONS)
        raise ValueError(f"precision={precision!r}; allowed: {allowed}. bfloat16 computes in half the bytes.")


def named_by(function: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """Those of the settings that the function's signature names."""
    if isinstance(function, optax.GradientTransformation):
        return {}
    names = inspect.signature(function).parameters
    return {name: value for name, value in settings.items() if name in names}


@functools.partial(jax.jit, static_argnums=(0, 2))
def batch(task: Task, key: jax.Array, size: int) -> Example:
    """``size`` examples: inputs ``[B, T, D]``."""
    return jax.vmap(task.sample)(jax.random.split(key, size))


def cast(tree: Any, dtype: str) -> Any:
    """The tree with its floating-point leaves in another dtype."""

    def one(leaf: Any) -> Any:
        return leaf.astype(dtype) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf

    return jax.tree.map(one, tree)
