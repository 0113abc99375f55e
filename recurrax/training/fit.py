"""Training of many seeds at once, in chunks; whatever is not a pure function happens between two chunks."""

from __future__ import annotations

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from recurrax.tasks import Task
from recurrax.training.progress import progress
from recurrax.training.run import Model, Run, batch, chunk, evaluate, start


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and on what to train.

    Args:
        steps: updates at most, for each seed.
        batch_size: examples of an update, all fresh.
        chunk: updates between two evaluations; steps to criterion are known to this precision.
        held_out: examples of an evaluation, the same ones every time and for every seed.
        seeds: one run each; all of them are reported.
        stop_when_solved: end when every run has met the criterion or diverged.

    Raises:
        ValueError: no seeds, the same seed twice, or a number below 1.
    """

    steps: int = 2000
    batch_size: int = 32
    chunk: int = 50
    held_out: int = 512
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    stop_when_solved: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "chunk", "held_out"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Plan got {name}={value!r}; allowed: an int >= 1. Try {name}=100.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"Plan got seeds={self.seeds!r}; allowed: one or more, all different. Try seeds=(0, 1, 2)."
            )


@dataclasses.dataclass
class History:
    """What a `fit` saw, as NumPy arrays, and where its runs ended.

    Attributes:
        seeds: ``[S]``.
        run: the final `Run` of all seeds, every leaf with a leading axis S.
        train_loss: loss of every update, ``[S, steps]``.
        steps: updates done at each evaluation, ``[E]``; the first is 0.
        loss: held-out loss, ``[S, E]``.
        accuracy: held-out accuracy, ``[S, E]``.
        solved_at: updates to the first evaluation that met the criterion, ``[S]``; -1 where none did (censored).
        diverged_at: first update with a loss that is not finite, ``[S]``; -1 where all were.
        seconds: wall time of all chunks and evaluations.
        compile_seconds: wall time before them.
    """

    seeds: np.ndarray
    run: Run
    train_loss: np.ndarray
    steps: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    solved_at: np.ndarray
    diverged_at: np.ndarray
    seconds: float
    compile_seconds: float


HELD_OUT_KEY = 2**31 - 1  # seed of the held-out examples; no training stream starts from it


def fit(
    build: Callable[[jax.Array], Model],
    task: Task,
    optimizer: optax.GradientTransformation,
    plan: Plan = Plan(),
    *,
    title: str = "",
    on_chunk: Callable[[History], None] | None = None,
) -> History:
    """Trains one model for each seed, all in one compiled program, until all meet the criterion or the budget ends.

    Args:
        build: ``key -> model``; the model maps inputs ``[B, T, D]`` to outputs ``[B, T, O]``.
        task: makes the examples, on the device, and judges the outputs.
        optimizer: any Optax transformation, e.g. `adam(1e-3)`.
        plan: see `Plan`.
        title: stands before the progress bar (which is quiet when stderr is not a terminal).
        on_chunk: called after every evaluation with the history so far, e.g. to write it to disk.

    Returns:
        `History`. A run whose loss is not finite is reported with a warning that names its seed and step; it counts as
        unsolved and the others go on.

    Warns:
        RuntimeWarning: a run diverged.
    """
    began = time.perf_counter()
    held_out = batch(task, jax.random.key(HELD_OUT_KEY), plan.held_out)
    # Not jitted: each initialiser compiles once for all models of its shape, in place of anew for every fit.
    runs = jax.vmap(functools.partial(start, build, optimizer))(jnp.asarray(plan.seeds))
    judge = jax.jit(jax.vmap(lambda model: evaluate(model, task, held_out))).lower(runs.model).compile()

    @functools.cache
    def train(steps: int) -> Callable[..., tuple[Run, jax.Array]]:
        ensemble = jax.vmap(functools.partial(chunk, task, optimizer, plan.batch_size, steps))
        return jax.jit(ensemble).lower(runs).compile()

    train(min(plan.chunk, plan.steps))
    loss, accuracy = judge(runs.model)
    history = _begin(plan, runs, loss, accuracy, time.perf_counter() - began)
    began, done = time.perf_counter(), 0
    with progress(title, plan.steps) as show:
        while done < plan.steps:
            size = min(plan.chunk, plan.steps - done)
            runs, losses = train(size)(runs)
            done += size
            _extend(history, task, runs, losses, *judge(runs.model))
            history.seconds = time.perf_counter() - began
            loss, solved = np.nanmedian(history.loss[:, -1]), np.sum(history.solved_at >= 0)
            show(done, f"loss {loss:.4f}, {solved}/{len(plan.seeds)} solved")
            if on_chunk is not None:
                on_chunk(history)
            if plan.stop_when_solved and np.all((history.solved_at >= 0) | (history.diverged_at >= 0)):
                break
    return history


def _begin(plan: Plan, runs: Run, loss: Any, accuracy: Any, compile_seconds: float) -> History:
    """The history before the first update, with the evaluation of the untrained models."""
    never = np.full(len(plan.seeds), -1)
    return History(
        seeds=np.asarray(plan.seeds),
        run=runs,
        train_loss=np.zeros((len(plan.seeds), 0)),
        steps=np.zeros(1, int),
        loss=np.asarray(loss)[:, None],
        accuracy=np.asarray(accuracy)[:, None],
        solved_at=never,
        diverged_at=never.copy(),
        seconds=0.0,
        compile_seconds=compile_seconds,
    )


def _extend(history: History, task: Task, runs: Run, losses: Any, loss: Any, accuracy: Any) -> None:
    """Adds a chunk: its losses ``[S, steps]`` and the evaluation after it, and who solved it or diverged."""
    loss, accuracy, losses = np.asarray(loss), np.asarray(accuracy), np.asarray(losses)
    before = history.train_loss.shape[1]
    done = before + losses.shape[1]
    history.run = runs
    history.train_loss = np.concatenate([history.train_loss, losses], axis=1)
    history.steps = np.append(history.steps, done)
    history.loss = np.concatenate([history.loss, loss[:, None]], axis=1)
    history.accuracy = np.concatenate([history.accuracy, accuracy[:, None]], axis=1)
    healthy = np.isfinite(losses).all(axis=1) & np.isfinite(loss)
    solved = healthy & np.asarray(task.success(loss, accuracy)) & (history.diverged_at < 0)
    history.solved_at = np.where((history.solved_at < 0) & solved, done, history.solved_at)
    for index in np.flatnonzero(~healthy & (history.diverged_at < 0)):
        bad = np.flatnonzero(~np.isfinite(losses[index]))
        history.diverged_at[index] = before + bad[0] if bad.size else done
        warnings.warn(
            f"seed {history.seeds[index]} diverged: its loss is not finite at update {history.diverged_at[index]}; "
            "the other seeds go on. A lower learning rate or clip_norm may help.",
            RuntimeWarning,
            stacklevel=3,
        )
