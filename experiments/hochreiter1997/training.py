"""Training as in 1997: one sequence, one update, plain gradient descent, until the paper's rule says stop.

Sequences are drawn anew, or from the sets of strings of experiment 1. Trials are the runs of one `jax.vmap`; a trial
that has met all rules makes no more updates and is taken out once half of them have. Rules on training sequences are
looked at after every sequence, rules on a test set after every chunk.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.hochreiter1997.learning import gradient, gradient_at, learn_stepwise
from experiments.hochreiter1997.network import Network
from experiments.hochreiter1997.rows import WINDOW, Setup, counted, wanted
from recurrax.tasks import Example
from recurrax.training.progress import progress

STALL = 0.1  # the error has stopped decreasing if it falls by less than this share from one chunk to the next
NUMBERS = 10_000_000  # inputs that a test holds at once
BLOCK = 128  # sequences that a test looks at before it asks whether to go on
TRIALS = "trials"  # the axis of `jax.vmap`


class Trial(NamedTuple):
    """The state of a trial."""

    network: Network
    optimizer: Any
    source: Any  # where its sequences come from: a pytree with sample(task, key) and batch(task, key, first, size)
    key: jax.Array
    on: jax.Array  # sequences after which the hidden layer was added, -1: not yet
    window: jax.Array  # wrong and error of the last sequences, [2, WINDOW]
    error: jax.Array  # mean objective of the last chunk
    met: jax.Array  # sequences after which each rule was met, -1: not yet
    kept: Network  # the network at that time, or now; with a leading axis of rules

    @property
    def active(self) -> jax.Array:
        """Whether a rule is left to be met."""
        return jnp.any(self.met < 0, axis=-1)


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


def chunk(setup: Setup, trials: Trial, begin: jax.Array) -> tuple[Trial, jax.Array]:
    """Trains on the sequences ``begin, ..., begin + chunk - 1``, then looks at the rules on tests.

    Returns the trials and, of the chunk, the share of wrong answers and the mean error of each, ``[trials, 2]``.
    """
    trained = jax.vmap(lambda trial: practise(setup, trial, begin), axis_name=TRIALS)(trials)
    # One trial after the other: of all at once, each would look at as many sequences as the one that needs most.
    return jax.lax.map(lambda trial: tested(setup, trial, begin + setup.chunk), trained[0]), trained[1]


def practise(setup: Setup, trial: Trial, begin: jax.Array) -> tuple[Trial, jax.Array]:
    """One trial's part of a chunk but for the test; must be mapped over the axis `TRIALS`."""

    def step(carry: tuple[Trial, jax.Array], t: jax.Array) -> tuple[Any, Any]:
        trial, sums = carry
        trial, seen, E = update(setup, trial, t)
        sums = sums + seen - trial.window[:, t % WINDOW]
        trial = trial._replace(window=trial.window.at[:, t % WINDOW].set(seen))
        met = [rule.met(sums[0], sums[1] / WINDOW) if not rule.test else False for rule in setup.rules]
        return (keep(trial, jnp.stack([jnp.asarray(m) for m in met]), t + 1), sums), (seen, E)

    (trial, _), (seen, E) = jax.lax.scan(step, (trial, trial.window.sum(1)), begin + jnp.arange(setup.chunk))
    stalled = jnp.mean(E) > (1 - STALL) * trial.error
    on = jnp.where((trial.on < 0) & stalled, begin + setup.chunk, trial.on)
    return trial._replace(on=on, error=jnp.mean(E)), jnp.mean(seen, axis=0)


def update(setup: Setup, trial: Trial, t: jax.Array) -> tuple[Trial, jax.Array, jax.Array]:
    """One sequence and one update; also wrong and error of the answer before it, ``[2]``, and the objective."""
    example = trial.source.sample(setup.task, jax.random.fold_in(trial.key, t))
    network, state, outputs = learn(setup, trial, example, (trial.on >= 0).astype(jnp.float32))
    network, state = where(trial.active, (network, state), (trial.network, trial.optimizer))
    seen = jnp.stack(setup.judge(setup.task, outputs, example))
    return trial._replace(network=network, optimizer=state), seen, setup.objective(outputs, example)


def learn(setup: Setup, trial: Trial, example: Example, on: jax.Array) -> tuple[Network, Any, jax.Array]:
    """The network and its optimiser after one sequence, and the outputs before each update."""
    target, counts = wanted(setup.task, example), counted(example, setup.error_at)
    # As long as the longest sequence of all trials: the same number for each, so that the loop needs no selection.
    last = len(counts) - jnp.argmax(counts[::-1])
    steps = jax.lax.pmax(last, TRIALS)
    if setup.stepwise:

        def at(t: Any, output: jax.Array) -> jax.Array:
            return setup.slopes(output, target[t], counts[t])

        learned, outputs = learn_stepwise(trial.network, example.inputs, at, setup.rate, on, steps)
        return learned, trial.optimizer, outputs
    if setup.net.by_hand:
        by_hand = functools.partial(gradient_at, at=last - 1) if setup.once else gradient
        found, outputs = by_hand(trial.network, example.inputs, lambda ys: setup.slopes(ys, target, counts), on, steps)
    else:

        def answer(network: Network) -> tuple[jax.Array, jax.Array]:
            outputs = network(example.inputs, on)
            return setup.objective(outputs, example), outputs

        found, outputs = jax.grad(answer, has_aux=True)(trial.network)
    updates, state = setup.optimizer.update(found, trial.optimizer)  # type: ignore[arg-type]
    return optax.apply_updates(trial.network, updates), state, outputs  # type: ignore[arg-type, return-value]


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
    limit = jnp.where(
        trial.active, max(rule.wrong for rule in tests), 0
    )  # otherwise a stopped trial would be tested again
    wrong, error = examine(setup, trial, trial.network, key, tests[0].test, limit)
    met = [rule.met(wrong, error) if rule.test else False for rule in setup.rules]
    return keep(trial, jnp.stack([jnp.asarray(m) for m in met]), t)


def examine(
    setup: Setup, trial: Trial, network: Network, key: jax.Array, size: int, limit: jax.Array | int
) -> tuple[jax.Array, jax.Array]:
    """Wrong answers among ``size`` fresh sequences and the mean error; ends early with ``limit`` wrong ones."""
    task = setup.task
    block = int(np.clip(NUMBERS // (task.sequence_length * task.in_features), 1, min(BLOCK, size)))
    on = (trial.on >= 0).astype(jnp.float32)

    def look(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        done, wrong, error = state
        examples = trial.source.batch(task, key, done, block)
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
    advance = jax.jit(lambda trials, begin: chunk(setup, trials, begin))
    left, running, curve, done = np.arange(setup.trials), trials, [], 0
    points = np.ones((setup.trials, 2))
    with progress(title, setup.cap) as show:
        while done < setup.cap and bool(running.active.any()):
            running, points[left] = advance(running, done)
            done += setup.chunk
            curve.append(points.copy())  # a trial that was taken out stays where it was
            trials, left, running = narrowed(trials, left, running)
            solved = setup.trials - int(running.active.sum())
            show(done, f"{np.median(points[:, 0]):.1%} wrong, {solved}/{setup.trials} stopped")
    shown = np.stack(curve, axis=-1)  # [trials, 2, chunks]
    return put(trials, left, running), {
        "sequences": setup.chunk * np.arange(1, 1 + len(curve)),
        "wrong": shown[:, 0],
        "error": shown[:, 1],
    }


def narrowed(trials: Trial, left: np.ndarray, running: Trial) -> tuple[Trial, np.ndarray, Trial]:
    """All trials, the numbers of those that run and these; without the stopped ones once they are half of them."""
    active = np.flatnonzero(running.active)
    if not 0 < len(active) <= len(left) // 2:
        return trials, left, running
    return put(trials, left, running), left[active], jax.tree.map(lambda leaf: leaf[active], running)


def put(trials: Trial, left: np.ndarray, running: Trial) -> Trial:
    """All trials, with those that run in their places."""
    return jax.tree.map(lambda all_, some: all_.at[left].set(some), trials, running)
