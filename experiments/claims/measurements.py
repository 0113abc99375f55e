"""Measurements for the claims: structure, cost, gradient flow at initialisation, learning and stability."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import recurrax as rx
from experiments.claims.config import BRIEF, COMPARED, LINEAR, SHUT, TRAINED, Config
from experiments.claims.limited import Digits, LimitedAdding, model_of, owning
from experiments.claims.training import STABILITY_LENGTH, data, learn, stability
from experiments.models import CELLS, clipped_adam
from experiments.transformer.verdicts import committed
from recurrax import Cell, GRUCell, LSTMCell, RNNCell, gradflow
from recurrax.cells import NoForgetGateCell, TruncatedGradient
from recurrax.datasets import load
from recurrax.initializers import Chrono, zeros
from recurrax.tasks import Adding
from recurrax.training import Recipe

SIZE = 128  # D = H of the counts; the ratios depend on it through the biases alone
CANDIDATES = ("c_tilde", "n")  # fields of a cell's gates that are not gates: what may be written
FEATURES = 2  # inputs of a step at initialisation, as in adding
UPDATES = 25  # calls timed together


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """The parts by name. Times come first, while nothing else has warmed the machine."""
    for rate in (*config.learning_rate, *config.stability_rates):
        clipped_adam(rate)
    short, long = short_tasks(config), {f"adding T={T}": Adding(T) for T in config.lengths}
    curves = {f"adding T={T}": LimitedAdding(Adding(T)) for T in config.data_lengths} | {"digits T=8": digits(8)}
    measured: dict[str, Callable[[], Any]] = {"structure": count}
    for hidden in config.cost_hidden:
        measured[f"cost H={hidden}"] = functools.partial(cost, hidden, config.cost_rounds)
    measured["cost of short sequences"] = functools.partial(short_cost, config, short)
    measured["flow"] = functools.partial(flow, config)
    for title, task in {**long, **short}.items():
        for cell in cells_on(title, config):
            measured[f"{title} {cell}"] = functools.partial(learn, config, task, title, cell)
    for title, limited in curves.items():
        for cell in COMPARED:
            measured[f"data {title} {cell}"] = functools.partial(data, config, limited, f"data {title}", cell)
    for cell in TRAINED:
        task = Adding(STABILITY_LENGTH)
        measured[f"stability {cell}"] = functools.partial(stability, config, task, cell)
    measured["transformers"] = committed  # what `experiments.transformer` and the cost of a token have decided
    return measured


def short_tasks(config: Config) -> dict[str, Adding | Digits]:
    """The tasks of short sequences: adding of up to 20 steps, and digits in few steps."""
    adding = {f"adding T={T}": Adding(T) for T in config.lengths if T <= BRIEF}
    return adding | {f"digits T={T}": digits(T) for T in config.digit_steps}


def cells_on(title: str, config: Config) -> tuple[str, ...]:
    """The cells that learn a task: on a short one also the linear model, on the longest the LSTM that starts shut."""
    name, T = title.split(" T=")
    linear = (LINEAR,) if int(T) <= BRIEF else ()
    if name == "digits":
        return (*linear, *COMPARED)
    return (*linear, *TRAINED, *([SHUT] if int(T) == config.lengths[-1] else []))


@functools.cache
def digits(steps: int) -> Digits:
    """The digits of scikit-learn in a given number of steps."""
    return Digits(load("digits"), steps)


def count() -> dict[str, dict[str, float | None]]:
    """For each cell its gates, parameters, FLOP of a step by its equations and by XLA's count, and bytes of state."""
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


def cost(hidden: int, rounds: int, *, batch: int = 32, steps: int = 50) -> dict[str, dict[str, list[float]]]:
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


def short_cost(config: Config, tasks: dict[str, Adding | Digits]) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of an update of one run, by the training loop itself: ``{task: {cell: [rounds]}}``.

    Mean over `UPDATES` updates of one compiled call, so that the time of the call itself hardly counts.
    """
    return {title: _turns(config, task) for title, task in tasks.items()}


def _turns(config: Config, task: Adding | Digits) -> dict[str, list[float]]:
    programs = {}
    for cell in (LINEAR, *COMPARED):
        build = model_of(cell, task, config.hidden)
        build = owning(build, task.data.sizes[0]) if isinstance(task, Digits) else build
        recipe = Recipe(build, task, clipped_adam, config.batch_size)
        run = recipe.start(0, {"learning_rate": jnp.float32(config.learning_rate[0])})
        programs[cell] = jax.jit(functools.partial(recipe.chunk, UPDATES)).lower(run).compile(), run
    times: dict[str, list[float]] = {cell: [] for cell in programs}
    for turn in range(config.cost_rounds + 1):
        for cell, (compiled, run) in programs.items():
            began = time.perf_counter()
            jax.block_until_ready(compiled(run))
            if turn:  # the first is the warm-up
                times[cell].append(1e3 * (time.perf_counter() - began) / UPDATES)
    return times


def _loss(layer: rx.RNN, xs: jax.Array) -> jax.Array:
    return jnp.mean(layer(xs) ** 2)


def flow(config: Config) -> dict[str, dict[str, np.ndarray]]:
    """Slopes of ln |dL/ds| in nats per step of lag, of every start of `starts`: ``{name: {"slopes": [S]}}``.

    Weights and inputs are drawn independently; the loss is a random projection of the last output. Where the last
    readout is saturated in float32 at all units, no gradient at all comes to the state before it, and there is no
    slope to speak of: ``"reached"`` is then False.
    """
    keys = jax.random.split(jax.random.key(0), (3, config.init_seeds))
    xs = jax.vmap(lambda key: jax.random.normal(key, (config.init_length, FEATURES)))(keys[1])
    weights = jax.vmap(lambda key: jax.random.normal(key, (config.hidden,)))(keys[2])
    cells = {name: jax.vmap(build)(keys[0]) for name, build in starts(config).items()}
    found = {name: jax.device_get(slopes(cell, xs, weights)) for name, cell in cells.items()}
    return {name: {"slopes": slope, "reached": reached} for name, (slope, reached) in found.items()}


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
def slopes(cell: Cell, xs: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Slope of ln |dL/ds_t| against lag for ``L = weights . y_T``, and whether dL/ds_{T-1} is not exactly zero."""
    carry = cell.initialize_carry((FEATURES,))
    log_norms = gradflow.state_gradients(cell, carry, xs, lambda carry, y: weights @ y)
    return gradflow.slope(log_norms), jnp.isfinite(log_norms[-2])
