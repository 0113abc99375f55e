"""Models that train on text for equally many seconds."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import lab, rivals
from recurrax.tasks import Example, Task
from recurrax.training import History, Plan, clip_by_norm

WINDOW, WARM = 128, 64  # characters that are read, and those whose surprise does not count
TESTED, TEST_KEY = 512, 0x7E57


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Windows(Task):
    """Characters of a text, in windows that each begin anew; the surprise counts from the 65th on."""

    text: Any
    held: bool = False

    @functools.cached_property
    def characters(self) -> jax.Array:
        """Those that are trained on, or the held-out ones."""
        split = self.text.validation if self.held else self.text.train
        return jnp.append(jnp.asarray(split.inputs), jnp.asarray(split.targets)[-1])

    def sample(self, key: jax.Array) -> Example:
        """A window anywhere."""
        first = jax.random.randint(key, (), 0, len(self.characters) - WINDOW - 1)
        window = jax.lax.dynamic_slice(self.characters, (first,), (WINDOW + 1,))
        return Example(window[:-1], window[1:], jnp.ones(WINDOW))

    def loss(self, outputs: jax.Array, example: Example) -> jax.Array:
        """Cross entropy in nats, of all characters."""
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, example.targets))


def read_text(config: Any, text: Any, name: str) -> dict[str, Any]:
    """A model that trains on text for so many seconds; its learning rate is chosen in a tenth of them."""
    task, V = Windows(text), text.vocabulary_size
    features = rivals.features_of(name, config.text_weights, V)
    build = functools.partial(rivals.make, name, features, V)
    seconds = per_update(config, task, build)
    steps = max(2, round(config.text_seconds / seconds))
    trial = max(2, steps // 10)
    tried = {
        rate: bits(fitted(config, f"text {name} {rate:g}", task, build, rate, trial, config.grid_seeds), text)[0]
        for rate in config.text_rates
    }
    rate = min(tried, key=lambda rate: np.nan_to_num(tried[rate], nan=math.inf))
    history = fitted(config, f"text {name}", task, build, rate, steps, config.seeds[:1])
    return {
        "model": name,
        "weights": rivals.weights(history.best(0)),
        "features": features,
        "rate": rate,
        "tried": {f"{rate:g}": value for rate, value in tried.items()},
        "updates": steps,
        "seconds": history.seconds,
        "bits": bits(history, text)[0],
    }


def per_update(config: Any, task: Windows, build: Callable[[jax.Array], Any]) -> float:
    """Seconds of an update, measured after compilation."""
    examples = jax.vmap(task.sample)(jax.random.split(jax.random.key(0), config.batch_size))

    def loss(model: Any) -> jax.Array:
        return jnp.mean(jax.vmap(task.loss)(task.apply(model, examples), examples))

    step, model = jax.jit(jax.value_and_grad(loss)), build(jax.random.key(0))
    jax.block_until_ready(step(model))
    began, count = time.perf_counter(), 0
    while count < 5 or time.perf_counter() - began < 1.0:
        jax.block_until_ready(step(model))
        count += 1
    return (time.perf_counter() - began) / count


def fitted(config: Any, title: str, task: Windows, build: Any, rate: float, steps: int, seeds: Any) -> History:
    """A run whose learning rate falls to 0 within its updates."""
    optimizer = optax.chain(clip_by_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, steps)))
    plan = Plan(steps=steps, seeds=seeds, batch_size=config.batch_size, chunk=max(1, steps // 4), held_out=64)
    return lab.train(config, title, build, task, optimizer, plan)


def bits(history: History, text: Any) -> np.ndarray:
    """Bits a held-out character of each run's last model, given at least 64 characters before it."""
    task = Windows(text, held=True)
    examples = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(TEST_KEY), TESTED))

    @jax.jit
    def of(model: Any) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(task.apply(model, examples), examples.targets)
        return jnp.mean(losses[:, WARM:]) / math.log(2)

    return np.asarray(jax.lax.map(of, history.best_model), float)
