"""Training as in 1997: one sequence, one update, plain gradient descent, until the paper's rule says stop.

Sequences are drawn anew, or from the sets of strings of experiment 1. Trials are the runs of one `jax.vmap`; a trial
that has met all rules makes no more updates. Rules on training sequences are looked at after every sequence, rules on
a test set after every chunk.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.hochreiter1997.network import Network, learn_stepwise
from experiments.hochreiter1997.rows import WINDOW, Setup, objective, wanted
from recurrax.tasks import Example, MemoryTask
from recurrax.training.progress import progress
from recurrax.training.run import batch

STALL = 0.1  # the error has stopped decreasing if it falls by less than this share from one chunk to the next
NUMBERS = 10_000_000  # of inputs that a test holds at once
STRINGS = 256
SETS = 3  # of strings


class Trial(NamedTuple):
    """The state of a trial."""

    network: Network
    optimizer: Any
    source: Any  # where its sequences come from: a pytree with sample(task, key) and batch(task, key, size)
    key: jax.Array
    on: jax.Array  # sequences after which the hidden layer was added, -1: not yet
    window: jax.Array  # wrong and error of the last sequences, [2, WINDOW]
    error: jax.Array  # mean objective of the last chunk
    met: jax.Array  # sequences after which each rule was met, -1: not yet
    kept: Network  # the network at that time, or now; with a leading axis of rules

    @property
    def active(self) -> jax.Array:
        """Whether a rule is left to be met."""
        return jnp.any(self.met < 0)


def start(setup: Setup, source: Any, key: jax.Array) -> Trial:
    """A trial before its first sequence. Sequences not yet seen count as wrong."""
    network = Network(setup.net, setup.task, rngs=nnx.Rngs(jax.random.fold_in(key, 0)))
    rules = len(setup.rules)
    kept = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (rules, *leaf.shape)), network)
    return Trial(
        network,
        setup.optimizer.init(network),  # type: ignore[arg-type]
        source,
        jax.random.fold_in(key, 1),
        jnp.int32(-1 if setup.grows else 0),
        jnp.ones((2, WINDOW)),
        jnp.float32(jnp.inf),
        jnp.full(rules, -1, jnp.int32),
        kept,
    )


def chunk(setup: Setup, trial: Trial, begin: jax.Array) -> tuple[Trial, jax.Array]:
    """Trains on the sequences ``begin, ..., begin + chunk - 1``, then looks at the rules on tests.

    Returns the trial and, of the chunk, the share of wrong answers and the mean error, ``[2]``.
    """

    def step(carry: tuple[Trial, jax.Array], t: jax.Array) -> tuple[Any, Any]:
        trial, sums = carry
        trial, seen, E = update(setup, trial, t)
        sums = sums + seen - trial.window[:, t % WINDOW]
        trial = trial._replace(window=trial.window.at[:, t % WINDOW].set(seen))
        met = [not r.test and (sums[0] < r.wrong) & (sums[1] < r.error * WINDOW) for r in setup.rules]
        return (keep(trial, jnp.stack([jnp.asarray(m) for m in met]), t + 1), sums), (seen, E)

    (trial, _), (seen, E) = jax.lax.scan(step, (trial, trial.window.sum(1)), begin + jnp.arange(setup.chunk))
    trial = tested(setup, trial, begin + setup.chunk)
    stalled = jnp.mean(E) > (1 - STALL) * trial.error
    on = jnp.where((trial.on < 0) & stalled, begin + setup.chunk, trial.on)
    return trial._replace(on=on, error=jnp.mean(E)), jnp.mean(seen, axis=0)


def update(setup: Setup, trial: Trial, t: jax.Array) -> tuple[Trial, jax.Array, jax.Array]:
    """One sequence and one update; also wrong and error of the answer before it, ``[2]``, and the objective."""
    example = trial.source.sample(setup.task, jax.random.fold_in(trial.key, t))
    on, optimizer = (trial.on >= 0).astype(jnp.float32), setup.optimizer
    if setup.stepwise:
        network, state, outputs = learn_stepwise(
            trial.network, wanted(setup.task, example), example, optimizer, trial.optimizer, on
        )
    else:

        def answer(network: Network) -> tuple[jax.Array, jax.Array]:
            outputs = network(example.inputs, on)
            return objective(setup.task, outputs, example), outputs

        gradient, outputs = jax.grad(answer, has_aux=True)(trial.network)
        updates, state = optimizer.update(gradient, trial.optimizer)
        network = optax.apply_updates(trial.network, updates)  # type: ignore[arg-type]
    network, state = where(trial.active, (network, state), (trial.network, trial.optimizer))
    seen = jnp.stack(setup.judge(setup.task, outputs, example))
    return trial._replace(network=network, optimizer=state), seen, objective(setup.task, outputs, example)


def keep(trial: Trial, met: jax.Array, t: jax.Array) -> Trial:
    """Notes for each rule, ``met: [rules]``, that it is met for the first time, and keeps the network."""
    unmet = trial.met < 0
    now = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(met), *leaf.shape)), trial.network)
    kept = jax.vmap(where)(unmet, now, trial.kept)
    return trial._replace(met=jnp.where(unmet & met, t, trial.met), kept=kept)


def tested(setup: Setup, trial: Trial, t: jax.Array) -> Trial:
    """The trial after a test on fresh sequences, if there are rules on one."""
    tests = [rule for rule in setup.rules if rule.test]
    if not tests:
        return trial
    key = jax.random.fold_in(jax.random.fold_in(trial.key, 0x7E57), t)
    limit = jnp.where(trial.active, max(rule.wrong for rule in tests), 0)  # else a stopped trial is looked at again
    wrong, error = examine(setup, trial, trial.network, key, tests[0].test, limit)
    met = [bool(r.test) and (wrong < r.wrong) & (error < r.error) for r in setup.rules]
    return keep(trial, jnp.stack([jnp.asarray(m) for m in met]), t)


def examine(
    setup: Setup, trial: Trial, network: Network, key: jax.Array, size: int, limit: jax.Array | int
) -> tuple[jax.Array, jax.Array]:
    """Wrong answers among ``size`` fresh sequences and the mean error; ends early with ``limit`` wrong ones."""
    task = setup.task
    block = int(np.clip(NUMBERS // (task.sequence_length * task.in_features * setup.trials), 1, size))
    on = (trial.on >= 0).astype(jnp.float32)

    def look(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        done, wrong, error = state
        examples = trial.source.batch(task, jax.random.fold_in(key, done), block)
        outputs = jax.vmap(lambda xs: network(xs, on))(examples.inputs)
        wrongs, errors = jax.vmap(lambda y, e: setup.judge(task, y, e))(outputs, examples)
        counts = done + jnp.arange(block) < size
        return done + block, wrong + jnp.sum(wrongs * counts), error + jnp.sum(errors * counts)

    def on_going(state: tuple[jax.Array, ...]) -> jax.Array:
        done, wrong, _ = state
        return (done < size) & (wrong < limit)

    zero = jnp.float32(0)
    done, wrong, error = jax.lax.while_loop(on_going, look, (jnp.int32(0), zero, zero))
    return wrong, error / jnp.minimum(done, size)


def where(flag: jax.Array, new: Any, old: Any) -> Any:
    """One of two trees."""
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)


def train(setup: Setup, sources: Any, seed: int, title: str) -> tuple[Trial, dict[str, np.ndarray]]:
    """All trials of a row until each has met its rules or the cap; also what each chunk was like.

    Args:
        setup: the row.
        sources: of each trial, with a leading axis of trials.
        seed: of the row; trial k draws from ``fold_in(key(seed), k)``.
        title: stands before the progress.
    """
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(seed), k))(jnp.arange(setup.trials))
    trials = jax.vmap(lambda source, key: start(setup, source, key))(sources, keys)
    advance = jax.jit(jax.vmap(lambda trial, begin: chunk(setup, trial, begin), in_axes=(0, None)))
    curve, done = [], 0
    with progress(title, setup.cap) as show:
        while done < setup.cap and bool(jnp.any(trials.met < 0)):
            trials, seen = advance(trials, done)
            done += setup.chunk
            curve.append(np.asarray(seen))
            solved = int(jnp.sum(jnp.all(trials.met >= 0, axis=1)))
            show(done, f"{np.median(seen[:, 0]):.1%} wrong, {solved}/{setup.trials} stopped")
    points = np.stack(curve, axis=-1)  # [trials, 2, chunks]
    return trials, {
        "sequences": setup.chunk * np.arange(1, 1 + len(curve)),
        "wrong": points[:, 0],
        "error": points[:, 1],
    }


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fresh:
    """Every sequence is drawn anew. ``number`` is that of the trial: an array, so that trials can be mapped over."""

    number: jax.Array

    def sample(self, task: MemoryTask, key: jax.Array) -> Example:
        """A training sequence."""
        return task.sample(key)

    def batch(self, task: MemoryTask, key: jax.Array, size: int) -> Example:
        """Sequences of a test."""
        return jax.vmap(task.sample)(jax.random.split(key, size))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sets:
    """256 strings to train on, and as many others; both together are the test."""

    strings: Example  # [512, T, ...], those to train on first

    def sample(self, task: MemoryTask, key: jax.Array) -> Example:
        """One of the strings to train on."""
        index = jax.random.randint(key, (), 0, STRINGS)
        return jax.tree.map(lambda leaf: leaf[index], self.strings)

    def batch(self, task: MemoryTask, key: jax.Array, size: int) -> Example:
        """All strings, whatever the key; the size must be theirs."""
        if size != 2 * STRINGS:
            raise ValueError(f"a test of {size} strings; allowed: {2 * STRINGS}, all of them. Use Rule(test=512).")
        return self.strings


def fresh(trials: int) -> Fresh:
    """Of each trial."""
    return Fresh(jnp.arange(trials))


def sets(task: MemoryTask, trials: int, seed: int) -> Sets:
    """Of each trial; a third of the trials, at most one more, share a set of strings."""
    drawn = [strings(task, jax.random.key(1000 * seed + number)) for number in range(SETS)]
    stacked = jax.tree.map(lambda *leaves: np.stack([leaves[k * SETS // trials] for k in range(trials)]), *drawn)
    return Sets(jax.tree.map(jnp.asarray, stacked))


def strings(task: MemoryTask, key: jax.Array) -> Example:
    """256 random strings, then 256 more, of those drawn, that are none of the first: ``[512, T, ...]``."""
    drawn = jax.device_get(batch(task, key, 32 * STRINGS))
    names = [row.tobytes() for row in drawn.inputs.argmax(-1) * drawn.weights]
    first = set(names[:STRINGS])
    others = [k for k, name in enumerate(names) if name not in first][:STRINGS]
    if len(others) < STRINGS:
        raise ValueError(f"only {len(others)} strings that are not trained on; allowed: {STRINGS}. Draw longer ones.")
    chosen = np.r_[np.arange(STRINGS), others]
    return jax.tree.map(lambda leaf: leaf[chosen], drawn)
