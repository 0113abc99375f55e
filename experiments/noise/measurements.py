"""The settings, all levels of noise in one program, and what lets the noise into the trained models.

A task is static, so that a level of its own would be a program of its own, and compiling is most of the cost here. A
model for a mixture of levels would answer another question: one level can be learned because another was. So the task
gives the noise apart from the signal, the level is an argument of ``build`` that is swept, and each run trains at its
own level from first to last.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, final, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from experiments import lab
from experiments.models import builder, cell_of, clipped_adam
from recurrax import gradflow
from recurrax.cells import LSTMCell
from recurrax.layers import SequenceModel
from recurrax.tasks import Example, Recall, Task
from recurrax.training import Plan

Name = Literal["RNN", "IRNN", "NoInputGate", "LSTM", "ShutLSTM", "CIFG", "GRU"]
# The arguments that set how long a gated cell remembers at the start.
KEEPS = {"GRU": "update_bias", **dict.fromkeys(("LSTM", "ShutLSTM", "CIFG", "NoInputGate"), "forget_bias")}

WRITES: dict[str, Callable[[Any], Array]] = {  # the gate that lets the candidate in, from a cell's gates
    "LSTM": lambda gates: gates["i"],
    "ShutLSTM": lambda gates: gates["i"],
    "CIFG": lambda gates: 1 - gates["f"],
    "GRU": lambda gates: 1 - gates["z"],
}
KEY = 1  # seed of the examples, unused in training and choices


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Every cell at every noise level and delay; the defaults take three to four minutes on two CPU cores."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds; none of them chose a setting, and all are reported."""
    cells: tuple[Name, ...] = get_args(Name)
    """Cells; the ShutLSTM is an LSTM whose input gate starts shut."""
    noise: tuple[float, ...] = (0.0, 1.0, 2.0)
    """Standard deviations of the noise at every step, in units of the bit; a model is trained for each."""
    delays: tuple[int, ...] = (10, 40)
    """Least steps between the cue and the answer."""
    hidden: int = 16
    """Units of every cell (H)."""
    steps: int = 500
    """Updates, the same for every cell, level and delay."""
    learning_rate: tuple[float, ...] = (5e-3, 2e-2)
    """Adam's learning rates, the same grid for every cell; that with the lower held-out loss counts."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 250
    """Updates between evaluations; the model with the lowest held-out loss counts."""
    held_out: int = 2048
    """Examples of an evaluation, and of the test after the last one."""
    examples: int = 256
    """Sequences on which gradients, share of noise and gates of each trained model are measured."""

    def __post_init__(self) -> None:
        """Refuses also levels and delays that do not rise."""
        super().__post_init__()
        for name in ("noise", "delays"):
            if list(values := getattr(self, name)) != sorted(values):
                self.refuse(name, "one or more, rising")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        seeds=(10, 11), cells=("LSTM",), noise=(0.0, 1.0), delays=(3,), hidden=2, steps=4, learning_rate=(1e-2,),
        batch_size=4, chunk=2, held_out=8, examples=4,
    ),
    "accelerator": Config(
        seeds=tuple(range(10, 20)), noise=(0.0, 0.25, 0.5, 1.0, 2.0, 4.0), delays=(10, 30, 100, 300), hidden=64,
        steps=5000, learning_rate=(1e-3, 3e-3, 1e-2), batch_size=256, chunk=250, held_out=16_384, examples=1024,
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """Every cell at every delay: all levels, learning rates and seeds in one program."""
    for delay in config.delays:
        for level in config.noise:
            Recall(delay, noise=level)
    plan = lab.plan(config, sweep={"learning_rate": config.learning_rate, "noise": config.noise})
    return {
        f"delay={delay} {cell}": functools.partial(learn, config, delay, cell, plan)
        for delay in config.delays
        for cell in config.cells
    }


def learn(config: Config, delay: int, cell: str, plan: Plan) -> dict[str, Any]:
    """Every level, learning rate and seed of a cell at one delay, and what lets the noise into its models."""
    task, build = Apart(delay), leveled(cell, delay, config.hidden)
    history = lab.train(config, f"delay={delay} {cell}", build, task, clipped_adam, plan)
    measured = measure(history.best_model, task, cell, config.examples)
    return {**lab.outcome(history), "best_loss": history.loss.min(axis=1), "mechanism": measured}


@final
@dataclasses.dataclass(frozen=True)
class Apart(Task):
    """`Recall` with inputs ``[T, 3]``: signal, marker and unit noise apart, for models of `leveled`; never solved.

    Whether a run has solved its task depends on its level, which a task does not know: see `Recall.success`.

    Args:
        delay: of the `Recall`.
    """

    delay: int

    @property
    def recall(self) -> Recall:
        """The task itself, without noise."""
        return Recall(self.delay, noise=0.0)

    def sample(self, key: Array) -> Example:
        """The example of `Recall` at that key, taken apart."""
        signal, marker, noise, _ = self.recall.draw(key, 1.0)
        return self.recall.sample(key)._replace(inputs=jnp.stack([signal, marker, noise], axis=-1))

    def loss(self, outputs: Array, example: Example) -> Array:
        """Delegates to `Recall`."""
        return self.recall.loss(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Delegates to `Recall`."""
        return self.recall.accuracy(outputs, example)


class Noisy(NamedTuple):
    """A model of `Recall` that hears the noise at its level: ``outputs = model(signal + level noise, marker)``."""

    model: SequenceModel
    level: Array

    def __call__(self, inputs: Array) -> Array:
        """``inputs: [B, T, 3]``, of `Apart`, to logits ``[B, T, 2]``."""
        return self.model(mix(inputs, self.level))


def mix(inputs: Array, level: Array | float) -> Array:
    """The inputs and targets of a model of `Recall` at an untrained level: ``[..., 3]`` to ``[..., 2]``."""
    signal, marker, noise = jnp.moveaxis(inputs, -1, 0)
    return jnp.stack([signal + jax.lax.stop_gradient(level) * noise, marker], axis=-1)


def leveled(cell: str, delay: int, hidden: int) -> Callable[..., Noisy]:
    """``build(key, noise) -> Noisy``; a key gives the same weights at every level.

    Cells with a keep gate start with its bias at ln T, which keeps a share 1 - 1/(T+1) per step, and an IRNN with the
    identity: at the usual start the gradient of the gated cells vanishes within a few tens of steps, and the question
    here is not whether they can remember (Tallec & Ollivier, 2018). In CIFG and GRU that shuts the write gate too; the
    ShutLSTM tells what that start does from what the gate does.
    """
    task = Recall(delay)
    keep = {KEEPS[cell]: math.log(task.sequence_length)} if cell in KEEPS else {}
    build_one = builder(shut if cell == "ShutLSTM" else cell, task, hidden, **keep)

    def build(key: Array, noise: Array | float = 0.0) -> Noisy:
        return Noisy(build_one(key), jnp.asarray(noise, jnp.float32))

    return build


def shut(in_features: int, hidden_features: int, *, forget_bias: float, rngs: nnx.Rngs) -> LSTMCell:
    """An LSTM whose input gate starts as shut as the forget gate starts open, ``b_i = -b_f``."""
    cell = LSTMCell(in_features, hidden_features, forget_bias=forget_bias, rngs=rngs)
    f, _, c_tilde, o = cell.bias[...]
    cell.bias = nnx.Param(jnp.stack([f, -f, c_tilde, o]))
    return cell


def measure(models: Noisy, task: Apart, cell: str, examples: int) -> dict[str, np.ndarray]:
    """All below for each of S models, in one program; every entry ``[S]``, gates ``[S, H]``."""
    keys = jax.random.split(jax.random.key(KEY))
    first, second = (jax.vmap(task.sample)(jax.random.split(key, examples)).inputs for key in keys)
    marked = first[..., 1] > 0

    def one(model: Noisy) -> dict[str, Any]:
        def log_odds(inputs: Array) -> Array:
            outputs = model.model(mix(inputs, model.level))[:, -1]
            return outputs[:, 1] - outputs[:, 0]

        found = {
            "gradients": jax.grad(lambda inputs: jnp.sum(log_odds(inputs)))(first)[..., 0],
            "share": noise_share(log_odds, first, second),
        }
        if cell in WRITES:
            found["write_cue"], found["write_else"] = write_gate(model, cell, first, marked)
        return found

    found = jax.device_get(jax.jit(jax.vmap(one))(models))
    return {"rejection": rejection(found.pop("gradients"), np.asarray(marked)), **found}


def rejection(gradients: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """The ratio of the answer's dependence on the value at the cue and at other steps, in powers of ten.

        log10 (rms of da/dv_t at cues / rms of da/dv_t at the other steps),  a = ln p(+1) - ln p(-1)

    In float64, so that squares of vanishing gradients stay.

    Args:
        gradients: da/dv_t, ``[..., B, T]``.
        marked: whether t is the cue, ``[B, T]``.

    Returns:
        ``[...]``; minus infinity where the cue does not count at all, else infinity where the other steps do not.
    """
    squares = np.asarray(gradients, np.float64) ** 2
    cue, other = (np.mean(squares, axis=(-2, -1), where=steps) for steps in (marked, ~marked))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(cue > 0, 0.5 * (np.log10(cue) - np.log10(other)), -np.inf)


def noise_share(log_odds: Callable[[Array], Array], first: Array, second: Array) -> Array:
    """Share of the answer's variation that comes from the noise at the steps without the cue.

        V_d / (V_d + V_c),  V = mean over examples of (a(first) - a(first with new distractors, or a new cue))^2

    0 for the perfect observer, 1 for an answer without the bit. Unlike a gradient it also tells what reaches a
    saturated memory: a bit that is held by an attractor has a gradient near 0 (Bengio et al., 1994).

    Args:
        log_odds: a, of inputs ``[B, T, 3]`` to ``[B]``.
        first: independent examples of `Apart`, ``[B, T, 3]``.
        second: others; their values replace those of the first, whose markers stay.
    """
    marked = first[..., 1:2] > 0
    cues = jnp.argmax(second[..., 1], axis=-1)[:, None, None]
    new_cue = jnp.where(marked, jnp.take_along_axis(second, cues, axis=1), first)
    new_noise = jnp.where(marked, first, jnp.asarray(first).at[..., 2].set(second[..., 2]))
    answer, *others = jnp.split(log_odds(jnp.concatenate([first, new_noise, new_cue])), 3)
    of_noise, of_cue = (jnp.mean((other - answer) ** 2) for other in others)
    return of_noise / (of_noise + of_cue)


def write_gate(model: Noisy, cell: str, inputs: Array, marked: Array) -> tuple[Array, Array]:
    """Mean write gate of each unit at the cue and at all later steps, two ``[H]``."""
    step = cell_of(model.model)
    xs = mix(inputs, model.level)
    gates = jax.vmap(lambda xs: gradflow.gate_activations(step, step.initialize_carry(xs.shape[1:]), xs))(xs)
    write = WRITES[cell](gates)  # [B, T, H]
    later = jnp.cumsum(marked, axis=-1) - marked > 0
    at_cue, after = (jnp.mean(write, axis=(0, 1), where=steps[..., None]) for steps in (marked, later))
    return at_cue, after
