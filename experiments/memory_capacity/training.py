"""Cells with states of equally many bytes in the same block, trained on recall and on copying."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, final, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments import lab
from experiments.models import clipped_adam
from experiments.pascanu2013 import MixedLengths
from experiments.tuning import count
from recurrax import Cell, cells
from recurrax.cells.linear import Linear, LinearCell
from recurrax.layers import Block, SequenceModel
from recurrax.tasks import AssociativeRecall, Copy, Example, Task

Name = Literal["LSTM", "GRU", "LRU", "MinGRU", "DeltaNet", "GatedDeltaNet", "GLA", "Mamba2"]
Problem = Literal["recall", "copy"]
WINDOW = "no state"  # the control: what the block's convolution alone can do
NUMBER = 4  # bytes of a float32
TEST_KEY = 2**31 - 5  # seed of the test; neither training nor evaluation uses it


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Cells, bytes and tasks; the defaults take three minutes on two CPU cores."""

    problems: tuple[Problem, ...] = get_args(Problem)
    """Tasks: multi-query associative recall, and copying ten symbols."""
    cells: tuple[Name, ...] = ("LSTM", "LRU", "DeltaNet")
    """Cells to train; the control without a state is trained beside them."""
    state_bytes: tuple[int, ...] = (256,)
    """Bytes of the recurrent state, rising: four times squares of even numbers, which every cell can have."""
    pairs: tuple[int, ...] = (2, 4, 8)
    """Pairs of keys and values in a sequence, all of them equally often in training, rising."""
    vocabulary: int = 64
    """Tokens of the recall task: one less than half of them are keys, the others values."""
    copy_delay: int = 5
    """Steps between the last symbol read and the first one due."""
    features: int = 64
    """Size of the embedding and of the block."""
    learning_rate: tuple[float, ...] = (1e-2,)
    """Adam's learning rates, the same grid for every cell; where there are several, the grid's seeds choose."""
    grid_seeds: tuple[int, ...] = (100,)
    """Seeds that choose the learning rate and are not reported."""
    grid_steps: int = 300
    """Updates of each of them."""
    seeds: tuple[int, ...] = (0,)
    """Seeds that are reported, all of them."""
    steps: int = 800
    """Updates at most, the same for every run."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 100
    """Updates between evaluations."""
    held_out: int = 256
    """Examples of an evaluation."""
    tested: int = 1000
    """Fresh sequences of the test, for each number of pairs."""

    def __post_init__(self) -> None:
        """Refuses also bytes that no matrix has, numbers that do not rise, and a seed that both chooses and counts."""
        super().__post_init__()
        for size in self.state_bytes:
            side = math.isqrt(size // NUMBER)
            if size != NUMBER * side**2 or side % 2:
                self.refuse("state_bytes", "four times the square of an even number, e.g. 64, 256 and 1024")
        for name in ("state_bytes", "pairs"):
            if list(getattr(self, name)) != sorted(getattr(self, name)):
                self.refuse(name, "one or more, rising")
        if set(self.seeds) & set(self.grid_seeds):
            self.refuse("grid_seeds", f"seeds none of which is reported; reported are {self.seeds}")


TABLE = Config(
    cells=("LSTM", "LRU", "MinGRU", "DeltaNet"), state_bytes=(64, 256, 1024), pairs=(2, 4, 8, 16),
    learning_rate=(1e-3, 3e-3, 1e-2), seeds=(0, 1, 2), steps=1200,
)  # fmt: skip
PRESETS = {
    "default": Config(),
    "table": TABLE,
    "smoke": Config(cells=("DeltaNet",), state_bytes=(16,), pairs=(1, 2), vocabulary=8, copy_delay=1, features=4,
                    learning_rate=(1e-2, 3e-2), grid_steps=2, seeds=(0, 1), steps=4, batch_size=4, chunk=2, held_out=8,
                    tested=8),
    "accelerator": dataclasses.replace(TABLE, cells=get_args(Name), state_bytes=(64, 256, 1024, 4096),
                                       pairs=(2, 4, 8, 16, 32), vocabulary=256, features=128, steps=20_000, chunk=500,
                                       batch_size=128, grid_steps=3000),
}  # fmt: skip


@final
@dataclasses.dataclass(frozen=True)
class Tokens(Task):
    """A task with one-hot inputs, for a model that takes tokens.

    Args:
        task: the task; inputs of nothing, padding, become token 0.
    """

    task: Task

    @property
    def criterion(self) -> str:
        """The task's own."""
        return self.task.criterion

    def sample(self, key: jax.Array) -> Example:
        """The task's example with inputs ``[T]``, int32."""
        example = self.task.sample(key)
        return example._replace(inputs=jnp.argmax(example.inputs, axis=-1).astype(jnp.int32))

    def loss(self, outputs: jax.Array, example: Example) -> jax.Array:
        """The task's own."""
        return self.task.loss(outputs, example)

    def accuracy(self, outputs: jax.Array, example: Example) -> jax.Array | None:
        """The task's own."""
        return self.task.accuracy(outputs, example)

    def success(self, loss: Any, accuracy: Any) -> Any:
        """The task's own."""
        return self.task.success(loss, accuracy)


class StatelessCell(LinearCell):
    r"""The control: :math:`h_t = W x_t + b`, which remembers nothing; its unused state has one number per unit."""

    short = "Stateless"

    def __init__(self, in_features: int, hidden_features: int, *, rngs: nnx.Rngs):
        self.in_features, self.hidden_features = in_features, hidden_features
        self.linear = nnx.Linear(in_features, hidden_features, rngs=rngs)

    def project(self, x: jax.Array) -> Linear:
        """``a = 0``, ``b = W x + b``."""
        b = self.linear(x)
        return Linear(jnp.zeros_like(b), b)


def cell_of(name: str, features: int, size: int, rngs: nnx.Rngs) -> Cell:
    """A cell whose carry holds so many bytes: a gated or linear state, or a square matrix of one head."""
    numbers, side = size // NUMBER, math.isqrt(size // NUMBER)
    if name == WINDOW:
        return StatelessCell(features, features, rngs=rngs)
    make: Callable[..., Cell] = getattr(cells, f"{name}Cell")
    if name == "Mamba2":
        return make(features, side, state_features=side, rngs=rngs)
    if name in ("DeltaNet", "GatedDeltaNet", "GLA"):
        return make(features, side, rngs=rngs)
    return make(features, numbers // 2 if name in ("LSTM", "LRU") else numbers, rngs=rngs)  # two numbers a unit, or one


def state_size(cell: Cell) -> int:
    """Bytes of the carry of one sequence."""
    carry = jax.eval_shape(lambda: cell.initialize_carry((cell.in_features,)))  # type: ignore[arg-type]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carry))


def builder(config: Config, problem: str, name: str, size: int) -> Callable[[jax.Array], SequenceModel]:
    """``build(key) -> model``: an embedding, one block around the cell, and a Linear that reads every step."""
    longest, tokens = (
        longest_of(config, problem),
        config.vocabulary if problem == "recall" else Copy(1, "s4").in_features,
    )

    def build(key: jax.Array) -> SequenceModel:
        rngs = nnx.Rngs(key)
        block = Block(cell_of(name, config.features, size, rngs), rngs=rngs)
        return SequenceModel(block, longest.out_features, vocabulary=tokens, rngs=rngs)

    return build


def recall(config: Config, pairs: int) -> AssociativeRecall:
    """So many pairs in the shortest sequence that has room for them: every second step after them asks for one."""
    return AssociativeRecall(4 * pairs, pairs=pairs, vocabulary=config.vocabulary)


def longest_of(config: Config, problem: str) -> Any:
    """The task of the longest sequences."""
    return recall(config, config.pairs[-1]) if problem == "recall" else Copy(config.copy_delay, "s4")


def task_of(config: Config, problem: str) -> Tokens:
    """The training tasks: every number of pairs, equally often, or copying."""
    if problem == "copy":
        return Tokens(longest_of(config, problem))
    return Tokens(MixedLengths(tuple(recall(config, pairs) for pairs in config.pairs)))


def parts(config: Config) -> dict[str, Any]:
    """Every cell at every size on every task, and the control once on each."""
    chosen = [(name, size) for name in config.cells for size in config.state_bytes] + [(WINDOW, 0)]
    for problem in config.problems:
        task_of(config, problem)
    return {
        f"{problem}, {name}" + f", {size} bytes" * bool(size): functools.partial(learn, config, problem, name, size)
        for problem in config.problems
        for name, size in chosen
    }


def learn(config: Config, problem: str, name: str, size: int) -> dict[str, Any]:
    """The grid and every reported seed of a cell, and what the best model of each seed answers in the test."""
    title, build = f"{problem} {name} {size}", builder(config, problem, name, size)
    task, (rate, *others) = task_of(config, problem), config.learning_rate
    grid: dict[str, Any] = {}
    if others:
        plan = lab.plan(config, steps=config.grid_steps, seeds=config.grid_seeds, stop_when_solved=False,
                        chunk=min(config.chunk, config.grid_steps))  # fmt: skip
        tried = lab.train(config, f"{title} grid", build, task, clipped_adam, plan)
        grid = {"learning_rate": tried.settings["learning_rate"], "loss": np.nanmin(tried.loss, axis=1)}
        rate = best_rate(grid)
    history = lab.train(config, title, build, task, clipped_adam, lab.plan(config, sweep={"learning_rate": (rate,)}))
    cell = cell_of(name, config.features, size, nnx.Rngs(0))
    return {
        "problem": problem,
        "cell": name,
        "bytes": state_size(cell) if name != WINDOW else 0,
        "units": cell.hidden_features,
        "parameters": count(build),
        "rate": rate,
        "grid": grid,
        **lab.outcome(history),
        "answers": test(config, problem, history.best_model),
    }


def best_rate(grid: dict[str, Any]) -> float:
    """The learning rate with the lowest held-out loss, that of the better half of the grid's seeds."""
    rates, losses = np.asarray(grid["learning_rate"], float), np.asarray(grid["loss"], float)
    middle = {rate: np.sort(losses[rates == rate])[(np.sum(rates == rate) - 1) // 2] for rate in np.unique(rates)}
    return float(min(middle, key=lambda rate: np.nan_to_num(middle[rate], nan=math.inf)))


def test(config: Config, problem: str, models: Any) -> dict[str, Any]:
    """Share of right answers of each model ``[S]``: for each number of pairs, or for each symbol ``[S, symbols]``."""
    key = jax.random.key(TEST_KEY)
    if problem == "copy":
        right = answers(Tokens(longest_of(config, problem)), models, key, config.tested)
        return {"symbols": right[:, -10:]}  # the last ten steps ask, in all of them
    found = {}
    for pairs in config.pairs:
        right = answers(Tokens(recall(config, pairs)), models, jax.random.fold_in(key, pairs), config.tested)
        found[str(pairs)] = right.sum(axis=1) / pairs
    return {"pairs": found}


def answers(task: Tokens, models: Any, key: jax.Array, tested: int) -> np.ndarray:
    """Share of sequences in which each model's answer is due and right, step by step: ``[S, T]``."""
    examples = jax.jit(jax.vmap(task.sample))(jax.random.split(key, tested))

    @jax.jit
    def right(model: Any) -> jax.Array:
        guesses = jnp.argmax(task.apply(model, examples), axis=-1)
        return jnp.mean((guesses == examples.targets) * examples.weights, axis=0)

    return np.asarray(jax.lax.map(right, models), float)
