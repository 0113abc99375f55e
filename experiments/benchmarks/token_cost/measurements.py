"""The settings, and the time and memory of every token."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments import lab, rivals
from experiments.rivals import MODELS

NOTHING = "no model"
BURST, LEAST = 10, 3  # tokens of a turn, and turns at least
RECURRENT = ("LSTM", "GRU", "MinGRU", "GatedDeltaNet")
FULL = "Transformer"


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Time and memory of a token on one core; the defaults take about ten minutes."""

    models: tuple[str, ...] = tuple(MODELS)
    """Models: recurrent ones, a Transformer, and one whose layers see a window."""
    weights: int = 1_600_000
    """About how many weights every model has."""
    vocabulary: int = 256
    """Tokens that there are: bytes."""
    contexts: tuple[int, ...] = (128, 512, 2048, 8192, 32768, 65536)
    """Tokens that have been read before, rising."""
    batches: tuple[int, ...] = (1, 8)
    """Sequences that are written at the same time."""
    tokens: int = 300
    """Most tokens that are timed of each model at each context."""
    seconds: float = 8.0
    """Tokens are timed until this is spent on a context, but at least three turns of ten tokens each."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if not set(self.models) <= set(MODELS):
            self.refuse("models", f"one or more of {', '.join(MODELS)}")
        if list(self.contexts) != sorted(self.contexts):
            self.refuse("contexts", "one or more, rising")


PRESETS = {
    "default": Config(),
    "smoke": Config(models=("LSTM", "Transformer"), weights=20_000, vocabulary=16, contexts=(8, 16), batches=(1,),
                    tokens=30, seconds=0.1),
    "accelerator": Config(weights=100_000_000, batches=(1, 8, 64)),
}  # fmt: skip


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """Times of all models at every context, and the memory of each by itself."""
    measured: dict[str, Callable[[], Any]] = {}
    for batch in config.batches:
        for context in config.contexts:
            work = functools.partial(race, config, config.models, context, batch)
            measured[f"context {context}, batch {batch}"] = functools.partial(in_fresh_process, work)
    for model in (NOTHING, *config.models):
        for context in config.contexts[:: max(1, len(config.contexts) - 1)]:
            work = functools.partial(alone, config, model, context)
            measured[f"memory of {model}, context {context}"] = functools.partial(in_fresh_process, work)
    return measured


def in_fresh_process(work: Callable[[], Any]) -> Any:
    """The result of the work in a new process on one core."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn, initializer=on_one_core) as pool:
        return pool.submit(work).result()


def on_one_core() -> None:
    """This process, and every thread that it will have, stays on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def race(config: Config, names: tuple[str, ...], context: int, batch: int) -> dict[str, Any]:
    """Microseconds of every token of every model, in turn, after so long a context."""
    writers = {name: Writer(config, name, context, batch) for name in names}
    for writer in writers.values():
        writer.write(BURST)  # warms up
    times: dict[str, list[list[float]]] = {name: [] for name in names}
    orders, began = random.Random(0), time.perf_counter()
    turns = 0
    while turns < LEAST or (turns * BURST < config.tokens and time.perf_counter() - began < config.seconds):
        for name in orders.sample(names, len(names)):
            times[name].append(writers[name].write(BURST))
        turns += 1
    return {
        "context": context,
        "batch": batch,
        "models": {name: writers[name].facts | {"microseconds": times[name]} for name in names},
    }


class Writer:
    """A model that writes one token after another; its state is given away at every step and comes back.

    Weights and state are lists of arrays, so that a call costs the same in Python whatever the model is.
    """

    def __init__(self, config: Config, name: str, context: int, batch: int):
        features = rivals.features_of(name, config.weights, config.vocabulary)
        model = rivals.make(name, features, config.vocabulary, jax.random.key(0))
        carry, self.token = rivals.carry_of(model, batch, context), jnp.zeros(batch, jnp.int32)
        if name not in RECURRENT:
            carry = (jnp.int32(context - 1), carry[1])  # the last row of the cache; from there on it stays
        state = rivals.nbytes(carry)
        self.weights, net = jax.tree.flatten(model)
        self.state, kept = jax.tree.flatten(carry)

        def step(weights: list[jax.Array], state: list[jax.Array], token: jax.Array) -> Any:
            carry, scores = jax.tree.unflatten(net, weights).step(jax.tree.unflatten(kept, state), token)
            return jax.tree.leaves(carry), scores

        self.step = jax.jit(step, donate_argnums=1).lower(self.weights, self.state, self.token).compile()
        memory = self.step.memory_analysis()
        self.facts = {
            "features": features,
            "weights": rivals.weights(model),
            "state": state,
            "in_place": getattr(memory, "alias_size_in_bytes", None),
            "temporary": getattr(memory, "temp_size_in_bytes", None),
        }

    def write(self, tokens: int) -> list[float]:
        """Microseconds of each of so many tokens."""
        spent = []
        for _ in range(tokens):
            began = time.perf_counter()
            self.state, scores = self.step(self.weights, self.state, self.token)
            jax.block_until_ready(scores)
            spent.append(1e6 * (time.perf_counter() - began))
        return spent


def alone(config: Config, name: str, context: int) -> dict[str, Any]:
    """Peak memory of this process, in bytes, after a model has written some tokens."""
    if name == NOTHING:
        jax.block_until_ready(jnp.zeros(1) + 1)
    else:
        Writer(config, name, context, 1).write(BURST)
    return {"model": name, "context": context, "peak": peak()}


def peak() -> int | None:
    """Most bytes that this process has held, None where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
