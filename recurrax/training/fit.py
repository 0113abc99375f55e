"""The training loop on the host: chunks of updates, then evaluation, metrics, checkpoints and the decision to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from recurrax.tasks import Task
from recurrax.training.ensemble import Ensemble, State, check_sweep, evaluated, grid, make_ensemble
from recurrax.training.feeding import Feed
from recurrax.training.history import History, begin
from recurrax.training.mesh import first_devices
from recurrax.training.parameters import Model
from recurrax.training.plan import Output, Plan
from recurrax.training.preemption import Preempted, watch_sigterm
from recurrax.training.progress import progress
from recurrax.training.run import Recipe
from recurrax.training.store import open_store

HELD_OUT_KEY = 2**31 - 1  # seed of the held-out examples; no training stream uses it
TEST_KEY = 2**31 - 2  # seed of the test examples; used once, after the last update


def fit(
    build: Callable[..., Model],
    task: Task,
    optimizer: optax.GradientTransformation | Callable[..., optax.GradientTransformation],
    plan: Plan = Plan(),
    output: Output = Output(),
    penalty: Callable[..., jax.Array] | None = None,
) -> History:
    """Trains a model for every seed and swept setting in one compiled program until all meet the criterion.

    Args:
        build: ``(key) -> model``, or with the names of swept settings ``(key, units) -> model``.
        task: generates examples or draws them from a data set, on the device, and judges the outputs.
        optimizer: any Optax transformation, or ``(**settings) -> transformation`` such as `adam`.
        plan: see `Plan`.
        output: see `Output`. If its folder holds an interrupted run (even by a crash or SIGTERM), `fit` resumes it and
            ends with the same bits as an uninterrupted run.
        penalty: ``(model, examples) -> scalar``, or with the names of swept settings too, added to the mean loss only
            in training, such as a weight times the mean of `recurrax.gradflow.omega`. It gets the model before the
            call, in the dtype of its parameters.

    Returns:
        `History`. If the loss of a run is not finite, a warning names the run; it counts as unsolved, and the other
        runs continue. For each run the model with the lowest held-out loss is kept and, at the end, tested once on
        examples that influenced no choice. A `FiniteTask` uses its whole validation and test splits for this.

    Raises:
        ValueError: a swept name or a value is not accepted.
        CheckpointError: the folder holds another run, or a checkpoint is damaged or cannot be written.
        Preempted: after SIGTERM, with the state saved. It is a `SystemExit` with status 143.

    Warns:
        RuntimeWarning: a run diverged, or the sizes leave a device idle.
    """
    _check_arguments(build, task, output)
    began = time.perf_counter()
    recipe = Recipe(build, task, optimizer, plan.batch_size, plan.precision, penalty=penalty)
    check_sweep(recipe, plan.sweep)
    seeds, settings = grid(plan.seeds, plan.sweep)
    devices = first_devices(plan.devices)
    ensemble = make_ensemble(recipe, len(seeds), devices, plan.held_out)
    with open_store(output, recipe, plan) as store, watch_sigterm() as stop_requested:
        history = begin(task, seeds, settings, ensemble.start(seeds, settings), plan.patience)
        store.restore(history, plan.steps)
        programs = Programs(ensemble, plan, history)
        if not len(history.steps):
            programs.evaluate(history, task, np.zeros((len(seeds), 0), np.float32), made=np.zeros(len(seeds), bool))
        done = int(history.steps[-1])
        with progress(output.title, plan.steps, done, output.progress) as show:
            history.compile_seconds += time.perf_counter() - began
            while not finished(history, plan):
                if not programs.compiled(size := programs.size(done)):
                    show(done, f"compiling {size} updates of {len(history)} runs")
                programs.advance(history, task)
                store.record(history, last=finished(history, plan))
                done = int(history.steps[-1])
                show(done, summary(history, judged=judges(task)))
                if output.on_chunk is not None:
                    output.on_chunk(history)
                if stop_requested(len(history.steps)) and not finished(history, plan):
                    store.record(history, last=True)
                    raise Preempted(f"stopped by SIGTERM at update {done} of {plan.steps}; {resume_hint(output)}")
        programs.test(history)
        store.close(history)
    return history


class Programs:
    """The compiled programs of one fit, which update its history."""

    def __init__(self, ensemble: Ensemble, plan: Plan, history: History):
        self.ensemble, self.plan = ensemble, plan
        self.feed = Feed(ensemble.recipe.task, plan.batch_size)
        self.feed.restore(history.feed)
        self.held_out = ensemble.examples("validation", jax.random.key(HELD_OUT_KEY))
        judged = (*evaluated(history.run), history.state.best, self.held_out)
        self.judge = ensemble.judge("validation").lower(*judged).compile()
        self._train: dict[Any, Callable[..., Any]] = {}

    def size(self, done: int) -> int:
        """Updates of the next chunk; chunks end at multiples of their size, even after the budget was raised."""
        return min(self.plan.chunk - done % self.plan.chunk, self.plan.steps - done)

    def compiled(self, steps: int) -> bool:
        """Whether the program for a chunk of this size is compiled."""
        return any(key[0] == steps for key in self._train)

    def train(self, history: History, steps: int, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        """The program for a chunk of this size and batches of these shapes; its compile time is recorded separately."""
        key = (steps, *(leaf.shape for leaf in jax.tree.leaves(arguments[-1])))
        if key not in self._train:
            began = time.perf_counter()
            self._train[key] = self.ensemble.train(steps).lower(*arguments).compile()
            history.compile_seconds += time.perf_counter() - began
        return self._train[key]

    def advance(self, history: History, task: Task) -> None:
        """Runs one chunk and its evaluation."""
        done = int(history.steps[-1])
        steps = self.size(done)
        made = ~history.stopped & (history.active | (not self.plan.freeze_solved))
        began, compiled = time.perf_counter(), history.compile_seconds
        run, losses = history.run, []
        for count, batches in self.feed.take(done, steps):
            run, found = self.train(history, count, (run, made, batches))(run, made, batches)
            losses.append(found)
        history.state, history.feed = State(run, history.state.best), self.feed.state()
        self.evaluate(history, task, np.concatenate([np.asarray(found) for found in losses], axis=1), made)
        history.seconds += time.perf_counter() - began - (history.compile_seconds - compiled)

    def evaluate(self, history: History, task: Task, losses: np.ndarray, made: np.ndarray) -> None:
        """Adds the losses of a chunk, for the active runs ``made``, and an evaluation to the history."""
        metrics, best = self.judge(*evaluated(history.run), history.state.best, self.held_out)
        history.state = State(history.run, best)
        history.extend(task, losses, jax.device_get(metrics), made)

    def test(self, history: History) -> None:
        """Tests the best model of each run on examples that influenced no choice."""
        examples = self.ensemble.examples("test", jax.random.key(TEST_KEY))
        shared = examples is not None and _shapes(examples) == _shapes(self.held_out)
        judge = self.judge if shared else self.ensemble.judge("test")
        _, rates = evaluated(history.run)
        metrics, _ = judge(history.best_model, rates, history.state.best, examples)
        history.test_metrics = jax.device_get({name: metrics[name] for name in metrics if name not in rates})


def _shapes(examples: Any) -> Any:
    return jax.tree.map(jax.typeof, examples)


def _check_arguments(build: Any, task: Any, output: Any) -> None:
    """Raises TypeError or ValueError if an argument of `fit` has the wrong type."""
    if isinstance(build, nnx.Module) or not callable(build):
        raise TypeError(
            f"fit got {type(build).__name__} as build; allowed: a function of a key that gives a model, called for "
            "every seed. Write lambda key: Model(rngs=nnx.Rngs(key))."
        )
    if not isinstance(task, Task):
        raise TypeError(
            f"fit got {type(task).__name__} as task; allowed: a recurrax.tasks.Task. Subclass it with sample and loss."
        )
    if task.mode not in ("min", "max"):
        raise ValueError(
            f"{type(task).__name__} has mode={task.mode!r}; allowed: 'min' where less of {task.monitor} is better, "
            "'max' where more is."
        )
    if not isinstance(output, Output):
        raise TypeError(f"fit got {output!r} as output; allowed: an Output. Write Output({output!r}).")


def finished(history: History, plan: Plan) -> bool:
    """Whether the budget is used up, or no run can still solve the task or improve."""
    over = history.stopped | (~history.active & plan.stop_when_solved)
    return bool(history.steps[-1] >= plan.steps or over.all())


def judges(task: Task) -> bool:
    """Whether a task has a criterion that a run can meet."""
    return type(task).success is not Task.success or type(task).solved is not Task.solved


def summary(history: History, judged: bool = True) -> str:
    """The median of the monitored metric over the runs, and the number of solved runs if the task has a criterion."""
    last = history.metric(history.monitor)[:, -1]
    value = np.nanmedian(last) if np.isfinite(last).any() else np.nan
    diverged = int(np.sum(history.diverged_at >= 0))
    solved = [f"{np.sum(history.solved_at >= 0)}/{len(history)} solved"] if judged else []
    return ", ".join([f"{history.monitor} {value:.4f}", *solved, *([f"{diverged} diverged"] if diverged else [])])


def resume_hint(output: Output) -> str:
    """Explains how to resume a stopped run."""
    if output.folder is None:
        return "it had no folder, so nothing was saved. Give it one, Output(folder=...)."
    return f"saved in {output.folder}. The same command resumes from there."
