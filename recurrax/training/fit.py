"""The loop on the host: chunks of updates; between them evaluation, metrics, checkpoints and the decision to stop."""

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

HELD_OUT_KEY = 2**31 - 1  # seed of the held-out examples; no training stream starts from it
TEST_KEY = 2**31 - 2  # likewise; used once, after the last update


def fit(
    build: Callable[..., Model],
    task: Task,
    optimizer: optax.GradientTransformation | Callable[..., optax.GradientTransformation],
    plan: Plan = Plan(),
    output: Output = Output(),
    penalty: Callable[..., jax.Array] | None = None,
) -> History:
    """Trains a model for every seed and swept setting, in one compiled program, until all meet the criterion.

    Args:
        build: ``(key) -> model``, or with the names of swept settings ``(key, units) -> model``.
        task: makes the examples, or draws them from a data set, on the device, and judges the outputs.
        optimizer: any Optax transformation, or ``(**settings) -> transformation`` such as `adam`.
        plan: see `Plan`.
        output: see `Output`. Given the folder of a run that was stopped, by a crash or SIGTERM too, it goes on and ends
            bit for bit where it would have ended.
        penalty: ``(model, examples) -> scalar``, or with the names of swept settings too, added to the mean loss in
            training alone, such as a weight times the mean of `recurrax.gradflow.omega`. It is given the model
            before the call, in the dtype of its parameters.

    Returns:
        `History`. A run whose loss is not finite is reported with a warning that names it; it counts as unsolved and
        the others go on. The model with the lowest held-out loss is kept for each run and tested once, at the end, on
        examples that chose nothing. Of a `FiniteTask` these are its validation and its test split, each whole.

    Raises:
        ValueError: a swept name that nothing takes, or a value that cannot be used.
        CheckpointError: the folder holds another run, a checkpoint is damaged, or one cannot be written.
        Preempted: SIGTERM came; the state is saved. It is a `SystemExit` with status 143.

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
                show(done, summary(history))
                if output.on_chunk is not None:
                    output.on_chunk(history)
                if stop_requested(len(history.steps)) and not finished(history, plan):
                    store.record(history, last=True)
                    raise Preempted(f"stopped by SIGTERM at update {done} of {plan.steps}; {resume_hint(output)}")
        programs.test(history)
        store.close(history)
    return history


class Programs:
    """The compiled programs of one fit, and what they do to its history."""

    def __init__(self, ensemble: Ensemble, plan: Plan, history: History):
        self.ensemble, self.plan = ensemble, plan
        self.feed = Feed(ensemble.recipe.task, plan.batch_size)
        self.feed.restore(history.feed)
        self.held_out = ensemble.examples("validation", jax.random.key(HELD_OUT_KEY))
        judged = (*evaluated(history.run), history.state.best, self.held_out)
        self.judge = ensemble.judge("validation").lower(*judged).compile()
        self._train: dict[Any, Callable[..., Any]] = {}

    def size(self, done: int) -> int:
        """Updates of the next chunk; chunks end at multiples of their size, also after a budget was raised."""
        return min(self.plan.chunk - done % self.plan.chunk, self.plan.steps - done)

    def compiled(self, steps: int) -> bool:
        """Whether a chunk of so many updates is ready to run."""
        return any(key[0] == steps for key in self._train)

    def train(self, history: History, steps: int, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        """The program of so many updates on batches of these shapes; the time to compile it is told apart."""
        key = (steps, *(leaf.shape for leaf in jax.tree.leaves(arguments[-1])))
        if key not in self._train:
            began = time.perf_counter()
            self._train[key] = self.ensemble.train(steps).lower(*arguments).compile()
            history.compile_seconds += time.perf_counter() - began
        return self._train[key]

    def advance(self, history: History, task: Task) -> None:
        """One chunk and its evaluation."""
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
        """Adds the losses of a chunk, which the runs in ``made`` went through, and an evaluation to the history."""
        metrics, best = self.judge(*evaluated(history.run), history.state.best, self.held_out)
        history.state = State(history.run, best)
        history.extend(task, losses, jax.device_get(metrics), made)

    def test(self, history: History) -> None:
        """Tests the best model of each run on examples that chose nothing."""
        examples = self.ensemble.examples("test", jax.random.key(TEST_KEY))
        shared = examples is not None and _shapes(examples) == _shapes(self.held_out)
        judge = self.judge if shared else self.ensemble.judge("test")
        _, rates = evaluated(history.run)
        metrics, _ = judge(history.best_model, rates, history.state.best, examples)
        history.test_metrics = jax.device_get({name: metrics[name] for name in metrics if name not in rates})


def _shapes(examples: Any) -> Any:
    return jax.tree.map(jax.typeof, examples)


def _check_arguments(build: Any, task: Any, output: Any) -> None:
    """Raises TypeError or ValueError where an argument of `fit` is another thing than it takes."""
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
    """Whether the budget is used up or no run is left that could still solve the task or get better."""
    over = history.stopped | (~history.active & plan.stop_when_solved)
    return bool(history.steps[-1] >= plan.steps or over.all())


def summary(history: History) -> str:
    """The monitored metric, its median over the runs, and the score in a few words."""
    last = history.metric(history.monitor)[:, -1]
    value = np.nanmedian(last) if np.isfinite(last).any() else np.nan
    diverged = int(np.sum(history.diverged_at >= 0))
    tail = f", {diverged} diverged" if diverged else ""
    return f"{history.monitor} {value:.4f}, {np.sum(history.solved_at >= 0)}/{len(history)} solved{tail}"


def resume_hint(output: Output) -> str:
    """What a stopped run can hope for."""
    if output.folder is None:
        return "it had no folder, so nothing was saved. Give it one, Output(folder=...)."
    return f"saved in {output.folder}. The same command goes on from there."
