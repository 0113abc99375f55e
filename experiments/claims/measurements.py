"""What the claims are about, measured: structure, cost, gradient flow at initialisation, learning and stability."""

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
from flax import nnx

import recurrax as rx
from experiments import lab
from experiments.models import CELLS, builder, clipped_adam
from recurrax import Cell, GRUCell, LSTMCell, RNNCell, gradflow
from recurrax.cells import NoForgetGateCell, TruncatedGradient
from recurrax.initializers import Chrono, zeros
from recurrax.layers import SequenceModel
from recurrax.tasks import Adding
from recurrax.training import History, Plan
from recurrax.training.run import batch


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Every claim of the textbook comparison; the defaults take three to four minutes on two CPU cores."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds, which chose no setting; each of them is reported."""
    hidden: int = 32
    """Units of every trained cell (H)."""
    lengths: tuple[int, ...] = (10, 30, 100)
    """Sequence lengths T of the adding problem, the shortest first."""
    steps: int = 500
    """Updates at most, the same for every cell and length."""
    learning_rate: tuple[float, ...] = (5e-3, 2e-2)
    """Adam's learning rates, the same grid for every cell; the better one counts."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 25
    """Updates between evaluations; steps to criterion are known to this precision."""
    stability_rates: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    """Learning rates of the stability test, the same for every cell."""
    stability_steps: int = 150
    """Updates of the stability test."""
    init_length: int = 200
    """Sequence length T of the measurements at initialisation."""
    init_seeds: int = 32
    """Random initialisations there, each with an input sequence of its own."""
    cost_hidden: tuple[int, ...] = (32, 128, 512)
    """Units of the timed cells."""
    cost_rounds: int = 9
    """Timed calls of each, one of each in turn."""
    examples: int = 64
    """Held-out sequences on which the sensitivity of trained models is measured."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if self.init_length < 20:
            self.refuse("init_length", "an int >= 20")
        for name in ("lengths", "cost_hidden"):
            if list(getattr(self, name)) != sorted(getattr(self, name)):
                self.refuse(name, "one or more, rising")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        seeds=(10, 11), hidden=4, lengths=(4,), steps=4, learning_rate=(1e-2,), batch_size=4, chunk=2,
        stability_rates=(1e-2,), stability_steps=2, init_length=20, init_seeds=2, cost_hidden=(4,), cost_rounds=2,
        examples=4,
    ),
    "accelerator": Config(
        seeds=tuple(range(10, 20)), hidden=128, lengths=(10, 30, 100, 300, 1000), steps=5000,
        learning_rate=(3e-4, 1e-3, 3e-3, 1e-2), batch_size=128, chunk=100, stability_steps=1000,
        cost_hidden=(32, 128, 512, 1024),
    ),
}  # fmt: skip
SIZE = 128  # D = H of the counts; the ratios depend on it through the biases alone
CANDIDATES = ("c_tilde", "n")  # fields of a cell's gates that are no gates: what may be written
COMPARED = ("RNN", "GRU", "LSTM")
TRAINED = ("RNN", "identity RNN", "GRU", "LSTM")
FEATURES = 2  # inputs of a step at initialisation, as in adding
UNCLIPPED = 1e30  # a norm that no gradient reaches
STABILITY_LENGTH = 30
SETTLED = 50  # updates after which a loss above twice the chance level counts as a spike


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """The parts by name. Times come first, while nothing else has warmed the machine."""
    for rate in (*config.learning_rate, *config.stability_rates):
        clipped_adam(rate)
    plan, task = lab.plan(config), Adding(STABILITY_LENGTH)
    learning = {length: Adding(length) for length in config.lengths}
    measured: dict[str, Callable[[], Any]] = {"structure": count}
    for hidden in config.cost_hidden:
        measured[f"cost H={hidden}"] = functools.partial(cost, hidden, config.cost_rounds)
    measured["flow"] = functools.partial(flow, config)
    for length, adding in learning.items():
        for cell in TRAINED:
            measured[f"adding T={length} {cell}"] = functools.partial(learn, config, adding, plan, cell)
    for cell in TRAINED:
        measured[f"stability {cell}"] = functools.partial(stability, config, task, cell)
    return measured


def count() -> dict[str, dict[str, float | None]]:
    """Of each cell: its gates, parameters, FLOP of a step by its equations and by XLA's count, bytes of state."""
    return {name: _count(CELLS[name](SIZE, SIZE, rngs=nnx.Rngs(0))) for name in (*COMPARED, "CIFG")}


def _count(cell: Cell) -> dict[str, float | None]:
    x = jnp.zeros(SIZE)
    carry = cell.initialize_carry(x.shape)
    gates = jax.eval_shape(cell.gates, carry, x)._asdict() if hasattr(cell, "gates") else {}  # type: ignore[attr-defined]
    analysis = jax.jit(lambda cell, carry, x: cell(carry, x)).lower(cell, carry, x).compile().cost_analysis() or {}
    if isinstance(analysis, list):
        (analysis,) = analysis
    kernels = cell.kernel.size + cell.recurrent_kernel.size  # type: ignore[attr-defined]
    return {
        "gates": len([name for name in gates if name not in CANDIDATES]),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(cell)),
        "flop": 2.0 * kernels,  # a multiplication and an addition for each weight
        "flop_xla": analysis.get("flops"),
        "state_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(carry)),
    }


def cost(hidden: int, rounds: int, *, batch: int = 32, steps: int = 100) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every forward pass and training step of each cell, in turn: ``{cell: {pass: [rounds]}}``.

    One layer over ``xs: [B, T, D]`` with D = H; a training step is value and gradient of mean(y^2).
    """
    xs = jax.random.normal(jax.random.key(0), (batch, steps, hidden))
    passes = {"forward": _loss, "training": jax.value_and_grad(_loss)}
    programs = {}
    for name in COMPARED:
        layer = rx.RNN(CELLS[name](hidden, hidden, rngs=nnx.Rngs(0)))
        programs[name] = {label: jax.jit(run).lower(layer, xs).compile() for label, run in passes.items()}, layer
    times: dict[str, dict[str, list[float]]] = {name: {label: [] for label in passes} for name in COMPARED}
    for turn in range(rounds + 1):
        for name, (compiled, layer) in programs.items():
            for label, run in compiled.items():
                began = time.perf_counter()
                jax.block_until_ready(run(layer, xs))
                if turn:  # the first is the warm-up
                    times[name][label].append(1e3 * (time.perf_counter() - began))
    return times


def _loss(layer: rx.RNN, xs: jax.Array) -> jax.Array:
    return jnp.mean(layer(xs) ** 2)


def flow(config: Config) -> dict[str, dict[str, np.ndarray]]:
    """Slopes of ln |dL/ds| in nats per step of lag, of every start of `starts`: ``{name: {"slopes": [S]}}``.

    Weights and inputs are drawn independently; the loss is a random projection of the last output.
    """
    keys = jax.random.split(jax.random.key(0), (3, config.init_seeds))
    xs = jax.vmap(lambda key: jax.random.normal(key, (config.init_length, FEATURES)))(keys[1])
    weights = jax.vmap(lambda key: jax.random.normal(key, (config.hidden,)))(keys[2])
    cells = {name: jax.vmap(build)(keys[0]) for name, build in starts(config).items()}
    return {name: {"slopes": np.asarray(slopes(cell, xs, weights))} for name, cell in cells.items()}


def starts(config: Config) -> dict[str, Callable[[jax.Array], Cell]]:
    """The cells as they start; the LSTM's forget gate held shut and open, and the cell of 1997, which has none."""

    def start(make: Callable[..., Cell], **options: Any) -> Callable[[jax.Array], Cell]:
        return lambda key: make(FEATURES, config.hidden, rngs=nnx.Rngs(key), **options)

    shut = functools.partial(LSTMCell, forget_bias=-20.0)  # a sigmoid of 2e-9
    open_ = functools.partial(LSTMCell, forget_bias=20.0)  # and of 1 - 2e-9
    carousel = start(NoForgetGateCell)
    return {
        "tanh RNN": start(RNNCell),
        "IRNN": start(CELLS["IRNN"]),
        "GRU": start(GRUCell),
        "LSTM, forget bias 0": start(LSTMCell, forget_bias=0.0),
        "LSTM, forget bias 1": start(LSTMCell, forget_bias=1.0),
        "LSTM, chrono": start(LSTMCell, forget_bias=Chrono(config.init_length)),
        "forget gate 0, no recurrent weights": start(shut, recurrent_kernel_init=zeros),
        "forget gate 1, no recurrent weights": start(open_, recurrent_kernel_init=zeros),
        "forget gate 0": start(shut),
        "forget gate 1": start(open_),
        "no forget gate": carousel,
        "no forget gate, truncated gradient": lambda key: TruncatedGradient(carousel(key)),  # type: ignore[arg-type]
    }


@jax.jit  # on its own, so that cells which differ in their parameters alone compile once
@jax.vmap
def slopes(cell: Cell, xs: jax.Array, weights: jax.Array) -> jax.Array:
    """Slope of ln |dL/ds_t| against lag for ``L = weights . y_T``."""
    carry = cell.initialize_carry((FEATURES,))
    return gradflow.slope(gradflow.state_gradients(cell, carry, xs, lambda carry, y: weights @ y))


def learn(config: Config, task: Adding, plan: Plan, cell: str) -> dict[str, Any]:
    """Every seed and learning rate of a cell on adding at one length, and how sensitive its models are to noise."""
    history = train(config, f"T={task.length} {cell}", task, plan, cell)
    heard = signal_to_noise(history.best_model, task, config.examples)
    return {**lab.outcome(history), "signal_to_noise": heard, "chance_level": task.chance_level()}


def train(config: Config, title: str, task: Adding, plan: Plan, cell: str) -> History:
    """Trains a cell; that runs diverge at a high learning rate is what is being measured, so nothing warns of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*diverged", RuntimeWarning)
        return lab.train(config, title, builder(cell, task, config.hidden), task, clipped_adam, plan)


def signal_to_noise(models: SequenceModel, task: Adding, examples: int) -> np.ndarray:
    """How much more the answer depends on a marked value than on an unmarked one, for each model: ``[S]``.

    The ratio of the root mean squares of dy_T/dv_t over the marked and over the unmarked steps of held-out sequences.
    """
    xs = batch(task, jax.random.key(1), examples).inputs
    values, marked = 1 - task.marker_channel, xs[..., task.marker_channel] > 0

    def one(model: SequenceModel) -> jax.Array:
        slopes = jax.grad(lambda xs: jnp.sum(model(xs)[:, -1]))(xs)[..., values]
        rms = [jnp.sqrt(jnp.mean(slopes**2, where=steps)) for steps in (marked, ~marked)]
        return rms[0] / rms[1]

    return np.asarray(jax.jit(jax.vmap(one))(models))


def stability(config: Config, task: Adding, cell: str) -> dict[str, Any]:
    """Every learning rate with and without clipping: which runs diverge, which spike, and how far they get."""
    sweep = {"learning_rate": config.stability_rates, "clip_norm": (1.0, UNCLIPPED)}
    steps = config.stability_steps
    plan = lab.plan(config, steps=steps, chunk=steps, sweep=sweep, stop_when_solved=False)
    history = train(config, f"stability {cell}", task, plan, cell)
    late = history.train_loss[:, min(SETTLED, steps - 1) :]
    spikes = np.mean(~(late <= 2 * task.chance_level()), axis=1)  # NaN and infinity are spikes too
    return {**lab.outcome(history), "spikes": spikes, "chance_level": task.chance_level()}
