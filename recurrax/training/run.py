"""A single run as pure functions of its state; `jax.vmap` over runs gives the ensemble.

A `Recipe` holds what all runs of an ensemble share; a `Run` is the complete state of one run.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from recurrax.tasks import Example, Stream, Task
from recurrax.tasks.task import count
from recurrax.training.optimizers import Optimizer, Settings, accepted_by, check_optimizer, transformation
from recurrax.training.parameters import (
    Model,
    Parameters,
    check_model,
    check_noise,
    check_unchanged,
    in_evaluation,
    in_precision,
    leaves,
    parameters,
    state,
    with_parameters,
    with_state,
)

PRECISIONS = ("float32", "bfloat16")
NOISE = 2**31 - 3  # fold_in number for the key of dropout and other noise; no update has this number
Metrics = dict[str, jax.Array]


class Run(NamedTuple):
    """The state of a training run, which determines its next step completely."""

    model: Model
    optimizer: optax.OptState
    key: jax.Array  # key of the data; step t draws from fold_in(key, t)
    step: jax.Array  # number of updates made
    settings: dict[str, jax.Array]  # the swept hyperparameters of this run
    carry: Any = ()  # the carry of the streams of a `Stream`


class Pass(NamedTuple):
    """Results of a model for a batch: outputs, the carry of a `Stream`, and the model's state after the call."""

    outputs: Any
    carry: Any
    state: list[Any]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The model, task and optimiser, and the definition of one update.

    Args:
        build: ``(key) -> model``; `recurrax.tasks.Task.apply` calls the model.
        task: generates the examples and judges the outputs.
        optimizer: an Optax transformation, or a function that returns one, such as `adam`.
        batch_size: new examples for each update; for a `FiniteTask` they are drawn from the training split; for a
            `Stream` it is the number of parallel streams.
        precision: precision of the model's computation, "float32" or "bfloat16"; None computes in the dtype of the
            parameters. Parameters, optimiser and loss keep their dtypes.
        constrain: function applied to every batch of examples, which shards them over a mesh.
        penalty: ``(model, examples) -> scalar``, added to the training loss, but not reported.

    Each function receives, by name, those swept settings that are among its parameters.

    Raises:
        ValueError: the precision is not known.
    """

    build: Callable[..., Model]
    task: Task
    optimizer: Optimizer
    batch_size: int = 32
    precision: str | None = None
    constrain: Callable[[Example], Example] = lambda examples: examples
    penalty: Callable[..., jax.Array] | None = None

    def __post_init__(self) -> None:
        check_precision(self.precision)

    def start(self, seed: jax.Array | int, settings: Settings | None = None) -> Run:
        """Initialises a run at step 0; the model and the data stream get different keys from the seed.

        Raises:
            ValueError: the model or the optimiser cannot be used; nothing has been compiled.
        """
        settings = dict(settings or {})
        model_key, data_key = jax.random.split(jax.random.key(seed))
        model = self.build(model_key, **accepted_by(self.build, settings))
        check_model(model)
        check_noise(self.task, model)
        optimizer, params = transformation(self.optimizer, settings), parameters(model)
        check_optimizer(optimizer, params)
        run = Run(model, optimizer.init(params), data_key, jnp.zeros((), jnp.int32), settings)
        return run._replace(carry=self.initial_carry(model, self.batch_size))

    def step(self, run: Run, batch: Example | None = None) -> tuple[Run, jax.Array]:
        """Makes one update, on new examples unless a batch is given; returns the new run and the previous loss."""
        examples = self.constrain(self.examples(run) if batch is None else batch)
        key = jax.random.fold_in(jax.random.fold_in(run.key, NOISE), run.step)

        def objective(params: Parameters) -> tuple[jax.Array, tuple[jax.Array, Pass]]:
            model = with_parameters(run.model, params)
            passed = self.forward(model, examples, self.carry_before(run, model), key)
            loss = self.mean_loss(passed.outputs, examples)
            return loss + self.penalized(with_parameters(run.model, params), examples, run.settings), (loss, passed)

        params = parameters(run.model)
        (value, (loss, passed)), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        gradient = jax.tree.map(jnp.conj, gradient)  # for complex parameters JAX returns the conjugate direction
        updates, optimizer = transformation(self.optimizer, run.settings).update(
            gradient, run.optimizer, params, value=value, grad=gradient, value_fn=lambda params: objective(params)[0]
        )
        model = with_parameters(run.model, optax.apply_updates(params, updates))
        model = with_state(model, passed.state)
        return Run(model, optimizer, run.key, run.step + 1, run.settings, passed.carry), loss

    def chunk(self, steps: int, run: Run, batches: Example | None = None) -> tuple[Run, jax.Array]:
        """Makes ``steps`` updates in one `jax.lax.scan`; returns the new run and the losses ``[steps]``."""
        return jax.lax.scan(self.step, run, batches, length=steps)

    def examples(self, run: Run) -> Example:
        """The examples of the run's next update: new ones, or the next window of a `Stream`."""
        if isinstance(self.task, Stream):
            return self.task.segment("train", self._window(run), self.batch_size)
        return batch(self.task, jax.random.fold_in(run.key, run.step), self.batch_size)

    def initial_carry(self, model: Model, streams: int) -> Any:
        """The initial carry of a `Stream`; ``()`` for other tasks."""
        if not isinstance(self.task, Stream):
            return ()
        return self.task.initialize_carry(in_precision(model, self.precision), streams)

    def carry_before(self, run: Run, model: Model) -> Any:
        """The carry before the next window of a `Stream`; restarts use the model's initial carry."""
        if not isinstance(self.task, Stream):
            return ()
        key = jax.random.fold_in(run.key, run.step) if self.task.restart_rate else None
        return self.task.continued(self.initial_carry(model, self.batch_size), run.carry, self._window(run) == 0, key)

    def forward(self, model: Model, examples: Example, carry: Any = (), key: jax.Array | None = None) -> Pass:
        """The model's outputs for a batch, computed in the recipe's precision; with a key in training.

        The model must belong to this trace, because a call may set its state.
        """
        model = in_precision(model, self.precision)
        before = list(leaves(model))
        given = examples._replace(inputs=cast(examples.inputs, self.precision))
        if isinstance(self.task, Stream):
            after, outputs = self.task.advance(model, carry, given, key)
            carry = jax.tree.map(lambda new, old: new.astype(old.dtype), after, carry)
        else:
            outputs = self.task.apply(model, given, key)
        check_unchanged(before, model)
        if self.precision is not None:  # losses and metrics are computed in float32
            outputs = jax.tree.map(_at_least_float32, outputs)
        return Pass(outputs, carry, state(model))

    def mean_loss(self, outputs: Any, examples: Example) -> jax.Array:
        """The mean loss of a batch, equally weighted over examples, or over steps of a `Stream`."""
        losses = self._each("loss", jax.vmap(self.task.loss)(outputs, examples), examples)
        if not isinstance(self.task, Stream):
            return jnp.mean(losses)
        steps = jax.vmap(count)(examples)
        return jnp.sum(jnp.where(steps > 0, steps * losses, 0)) / jnp.maximum(jnp.sum(steps), 1)

    def penalized(self, model: Model, examples: Example, settings: Settings) -> jax.Array | float:
        """The penalty, or 0."""
        return 0.0 if self.penalty is None else self.penalty(model, examples, **accepted_by(self.penalty, settings))

    def loss(self, model: Model, examples: Example) -> jax.Array:
        """Mean loss of the model in evaluation mode over a batch of examples; a scalar."""
        return self.mean_loss(self.outputs(model, examples), examples)

    def outputs(self, model: Model, examples: Example) -> Any:
        """The outputs of the model in evaluation mode for a batch of examples: ``[B, T, O]``."""
        model = in_evaluation(copied(model))
        return self.forward(model, examples, self.initial_carry(model, _size(examples))).outputs

    def scores(self, model: Model, examples: Example) -> Metrics:
        """The metrics of each example of a batch, ``[B]`` each."""
        return self._judged(self.outputs(model, examples), examples)

    def evaluate(self, model: Model, examples: Example) -> Metrics:
        """The mean metrics over a batch of examples; scalars."""
        return self._finished({name: jnp.mean(score) for name, score in self.scores(model, examples).items()})

    def evaluate_split(self, model: Model, examples: Example, size: int) -> Metrics:
        """The metrics over all steps that count of a whole split, in batches of at most ``size`` examples.

        All batches have equal size: the last one is filled up with the first examples, whose scores are dropped.
        """
        total = _size(examples)
        scores = jax.lax.map(functools.partial(self.scores, model), in_batches(examples, size))
        steps = jax.vmap(count)(examples)
        # The mean of an example without counted steps is 0 / 0.
        sums = {k: jnp.sum(jnp.where(steps > 0, steps * v.ravel()[:total], 0)) for k, v in scores.items()}
        return self._finished({name: value / jnp.sum(steps) for name, value in sums.items()})

    def evaluate_stream(self, model: Model, split: str) -> Metrics:
        """The metrics over all steps that count of a split of a `Stream`, read from beginning to end."""
        task, model = self.task, in_evaluation(copied(model))
        assert isinstance(task, Stream)
        streams = task.evaluation_streams

        def window(carry: Any, index: jax.Array) -> tuple[Any, tuple[Metrics, jax.Array]]:
            examples = task.segment(split, index, streams)
            passed = self.forward(in_evaluation(copied(model)), examples, carry)
            steps = jax.vmap(count)(examples)
            scores = self._judged(passed.outputs, examples)
            # A stream that has ended has weight 0, and its mean is 0 / 0.
            return passed.carry, ({k: jnp.sum(jnp.where(steps > 0, steps * v, 0)) for k, v in scores.items()}, steps)

        carry = self.initial_carry(model, streams)
        _, (sums, steps) = jax.lax.scan(window, carry, jnp.arange(task.windows(split, streams)))
        return self._finished({name: jnp.sum(value) / jnp.sum(steps) for name, value in sums.items()})

    def _judged(self, outputs: Any, examples: Example) -> Metrics:
        scores = jax.vmap(self.task.metrics)(outputs, examples)
        return {name: self._each(name, score, examples) for name, score in scores.items()}

    def _each(self, name: str, score: jax.Array, examples: Example) -> jax.Array:
        """The score of each example, ``[B]``; raises ValueError if a score is not a scalar."""
        if score.shape != (_size(examples),):
            raise ValueError(
                f"{name} of one example has shape {list(score.shape[1:])} in {type(self.task).__name__}; allowed: a "
                "scalar. Take its mean over the steps that count (recurrax.tasks.task.weighted_mean)."
            )
        return score

    def _finished(self, means: Metrics) -> Metrics:
        """Applies `Task.finish` to the means; raises ValueError if the loss or the monitored metric is missing."""
        found = self.task.finish(means)
        for name in ("loss", self.task.monitor):
            if name not in found:
                raise ValueError(
                    f"{type(self.task).__name__} reports {', '.join(found)} and not {name!r}; allowed: 'loss' and the "
                    "metric that monitor names among them. Give it in metrics, and let finish keep it."
                )
        return found

    def _window(self, run: Run) -> jax.Array:
        assert isinstance(self.task, Stream)
        return run.step % self.task.windows("train", self.batch_size)


def check_precision(precision: str | None) -> None:
    """Raises ValueError unless the precision is known."""
    if precision is not None and precision not in PRECISIONS:
        allowed = ", ".join(PRECISIONS)
        raise ValueError(
            f"precision={precision!r}; allowed: {allowed}, or None for the dtype of the parameters. bfloat16 computes "
            "in half the bytes."
        )


def batch(task: Task, key: jax.Array, size: int) -> Example:
    """Draws ``size`` examples: inputs ``[B, T, D]``."""
    return jax.vmap(task.sample)(jax.random.split(key, size))


def in_batches(examples: Example, size: int) -> Example:
    """Splits examples into equal batches, ``[batches, size, ...]``; the first examples fill up the last batch."""
    total = _size(examples)
    batches = -(-total // size)
    filled = jnp.arange(batches * -(-total // batches)) % total
    return jax.tree.map(lambda leaf: leaf[filled].reshape(batches, -1, *leaf.shape[1:]), examples)


def cast(tree: Any, dtype: str | None) -> Any:
    """Casts the floating-point leaves of the tree to another dtype."""

    def one(leaf: Any) -> Any:
        floating = dtype is not None and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return leaf.astype(dtype) if floating else leaf

    return jax.tree.map(one, tree)


def _at_least_float32(leaf: Any) -> Any:
    floating = jnp.issubdtype(leaf.dtype, jnp.floating)
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) if floating else leaf


def copied(model: Model) -> Model:
    """A copy of the model that belongs to this trace, so that its state may be set."""
    return jax.tree.map(lambda leaf: leaf, model)


def _size(examples: Example) -> int:
    return len(jax.tree.leaves(examples)[0])
