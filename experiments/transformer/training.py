"""The settings, and the training of every net on every task."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import rivals, tuning
from experiments.transformer.chain import longest
from experiments.transformer.text import read_text
from experiments.tuning import STARTS
from recurrax import datasets, tasks, timing
from recurrax.tasks import MemoryTask
from recurrax.training import History

RIVAL = "Transformer"
LONGER = (1, 2, 4)  # times the length of training
TESTED, TEST_KEY = 512, 0x7E57
# By the name of the flag: heading, what the length is, that of training, and the task of a length.
QUESTIONS: dict[str, tuple[str, str, int, Callable[[int], MemoryTask]]] = {
    "adding": ("adding two numbers", "T", 50, tasks.Adding),
    "copy": ("copying five bits", "delay", 10, lambda delay: tasks.Copy(delay, "martens2011")),
    "recall": ("associative recall of 4 pairs", "T", 24, lambda T: tasks.AssociativeRecall(T, pairs=4, vocabulary=16)),
    "parity": ("parity", "bits", 20, tasks.Parity),
}
TIMED, TIMED_BATCH = (64, 256, 1024), 4  # steps and sequences of the training step that is timed
PARALLEL = ("LRU-block",)  # on a CPU "auto" runs these step by step; `Associative` runs all steps at once


@dataclasses.dataclass(frozen=True)
class Config(tuning.Protocol):
    """Nets of equally many weights; the defaults are a first look."""

    cells: tuple[Literal[*STARTS], ...] = ("LSTM-fb1", RIVAL)  # type: ignore[valid-type]
    """Cells with their start, or in a block; and the Transformer."""
    parameters: int = 20_000
    """About how many parameters every net has."""
    tasks: tuple[Literal[*QUESTIONS], ...] = ("adding", "recall")  # type: ignore[valid-type]
    """The tasks to learn."""
    text_models: tuple[Literal[*rivals.MODELS], ...] = ()  # type: ignore[valid-type]
    """Models that read text, of --text-weights each."""
    text_weights: int = 200_000
    """About how many weights each of them has."""
    text_seconds: float = 120.0
    """Seconds that each of them trains, without compilation."""
    text_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """Adam's first learning rates there; a tenth of the time chooses one of them for each model."""
    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where `recurrax datasets get kjv` kept the text; its own folder by default."""
    learning_rate: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """Adam's learning rates on the tasks, the same grid for every net."""
    grid_seeds: tuple[int, ...] = (0,)
    """Seeds that choose the learning rate and are not reported."""
    grid_steps: int = 400
    """Updates of each of them."""
    seeds: tuple[int, ...] = (10, 11, 12)
    """Seeds that are reported, all of them; the first one alone for text."""
    steps: int = 2000
    """Updates of each of them at most, the same for every net."""
    rounds: int = 11
    """Most samples of a training step that is timed."""


PRESETS = {
    "default": Config(),
    "table": Config(
        cells=("LSTM-fb1", "GRU", "LRU-block", "GatedDeltaNet-block", RIVAL), tasks=tuple(QUESTIONS),
        text_models=("LSTM", "GRU", "MinGRU", "GatedDeltaNet", RIVAL),
    ),
    "smoke": Config(cells=("LSTM-fb1", RIVAL), tasks=("parity",), parameters=2000, learning_rate=(1e-2, 1e-3),
                    grid_steps=2, seeds=(10, 11), steps=4, batch_size=4, chunk=2, held_out=8, rounds=3),
    "accelerator": Config(
        cells=("LSTM-fb1", "GRU", "LRU-block", "GatedDeltaNet-block", RIVAL), tasks=tuple(QUESTIONS),
        parameters=1_000_000, steps=50_000, chunk=500, batch_size=128, grid_steps=3000,
        text_models=tuple(rivals.MODELS), text_weights=10_000_000, text_seconds=1800.0,
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """Training steps first, their times and what waits in them; then every net on every task, then text."""
    measured: dict[str, Callable[[], Any]] = {
        "training steps": functools.partial(training_steps, config),
        "chains": functools.partial(chains, config),
    }
    for name in config.tasks:
        for cell in config.cells:
            measured[f"{name} {cell}"] = functools.partial(measure, config, name, cell)
    if config.text_models:
        text = datasets.Text.contiguous(str(datasets.read("kjv", config.data_dir)["text"]), (0.9, 0.05, 0.05))
        for model in config.text_models:
            measured[f"text {model}"] = functools.partial(read_text, config, text, model)
    return measured


def measure(config: Config, name: str, cell: str) -> dict[str, Any]:
    """A net on a task: the protocol, and what its best models answer at longer lengths."""
    title, _, length, make = QUESTIONS[name]

    def carried(history: History) -> dict[str, Any]:
        scores = {times * length: answered(make(times * length), history.best_model) for times in LONGER}
        return {"longer": {str(size): score for size, score in scores.items()}}

    kept = {str(times * length): state_bytes(config, make(times * length), cell) for times in LONGER}
    return {"name": name, "state": kept, **tuning.tune_and_train(config, title, make(length), cell, look=carried)}


def state_bytes(config: Config, task: MemoryTask, cell: str) -> int:
    """Bytes that a net keeps of one sequence after all its steps."""
    units, T = tuning.units_of(config, task, cell), task.sequence_length
    model: Any = tuning.start(cell, task, units)(jax.random.key(0))
    if cell == RIVAL:
        return rivals.nbytes(model.initialize_carry(1, T))
    if isinstance(model, tuning.Blocked):
        return rivals.nbytes(model.block.initialize_carry((units,)))
    return rivals.nbytes(model.initialize_carry())


def answered(task: MemoryTask, models: Any) -> dict[str, np.ndarray]:
    """Held-out loss and accuracy of each model on fresh sequences, and whether they meet the criterion: ``[S]``."""
    examples = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(TEST_KEY), TESTED))

    @jax.jit
    def of(model: Any) -> tuple[jax.Array, jax.Array]:
        outputs = task.apply(model, examples)
        losses, right = jax.vmap(task.loss)(outputs, examples), jax.vmap(task.accuracy)(outputs, examples)
        return jnp.mean(losses), jnp.mean(right)

    loss, accuracy = (np.asarray(a, float) for a in jax.lax.map(of, models))
    return {"loss": loss, "accuracy": accuracy, "solved": np.asarray(task.success(loss, accuracy))}


def training_steps(config: Config) -> dict[str, Any]:
    """Milliseconds of a training step of every net, over longer and longer sequences, in turn."""
    timing.keep_memory()
    found = {}
    for steps in TIMED:
        task = tasks.Adding(steps)
        programs = {cell: timing.attempt(functools.partial(trained, config, task, cell)) for cell in config.cells}
        found[str(steps)] = timing.sample(programs, config.rounds, 10.0)
    return found


def trained(config: Config, task: MemoryTask, cell: str) -> timing.Program:
    """The training step of a net on one batch of sequences, compiled."""
    return timing.compiled(*step(config, task, cell))


def chains(config: Config) -> dict[str, dict[str, int]]:
    """Operations of a training step that wait for each other, over longer and longer sequences."""

    def of(cell: str, backend: str = "auto") -> dict[str, int]:
        return {str(T): longest(*step(config, tasks.Adding(T), cell, backend)) for T in TIMED}

    every = {cell: of(cell) for cell in config.cells}
    return every | {f"{cell}, Associative": of(cell, "associative") for cell in config.cells if cell in PARALLEL}


def step(config: Config, task: MemoryTask, cell: str, backend: str = "auto") -> tuple[Callable[..., Any], Any]:
    """The loss of a net with its gradient on one batch of sequences, as a function of the model; and the model."""
    model: Any = tuning.start(cell, task, tuning.units_of(config, task, cell))(jax.random.key(0))
    if backend != "auto":
        model.block.rnn.backend = backend
    examples = jax.vmap(task.sample)(jax.random.split(jax.random.key(1), TIMED_BATCH))

    def loss(model: Any) -> jax.Array:
        return jnp.mean(jax.vmap(task.loss)(task.apply(model, examples), examples))

    return jax.value_and_grad(loss), model
