"""Padded batches of similar lengths: little padding, few shapes, and an order that depends on seed and step alone."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, final

import jax
import numpy as np

from recurrax.datasets.arrays import Arrays

FINEST = 1024  # lengths to choose among at most; longer ones are rounded up to so many


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Buckets:
    """Batches of B examples, each padded to one of a few lengths, for training from the host.

        buckets = Buckets(data.train, batch_size=32, shapes=4)
        batch = buckets.batch(step)                         # `Arrays` of 32 examples, [32, T_k, ...]

    Every epoch takes each example once, in a random order of its own, and fills up what is left with random ones.
    Examples that are too few for a batch of their length go to batches of the next one. An update's batch depends on
    the seed and its number alone, so a resumed run sees what it would have seen.

    Args:
        arrays: examples with lengths.
        batch_size: B.
        shapes: how many lengths at most; each costs the compilation of a program. The lengths are chosen so that the
            fewest steps are padding. Or the lengths themselves, ascending, so that other data have the same programs.
        seed: of the order.
        consecutive: how many batches in a row have the same length, for programs that do several updates at once.
        per_step: whether targets, and weights of steps, have a step for each of the inputs, and are cut with them.

    Raises:
        ValueError: a number is below 1, an example is longer than the lengths given, the examples have no lengths, are
            too few for one block of batches, or have inputs other than 0 past their lengths.
    """

    arrays: Arrays
    batch_size: int
    shapes: int | tuple[int, ...] = 4
    seed: int = 0
    consecutive: int = 1
    per_step: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "shapes", "consecutive"):
            if isinstance(value := getattr(self, name), int) and value < 1:
                raise ValueError(f"Buckets got {name}={value}; allowed: an int >= 1. Try {name}=4.")
        if self.arrays.lengths is None:
            raise ValueError("the examples have no lengths; allowed: Arrays with lengths. Use Arrays.padded.")
        if not isinstance(self.shapes, int):
            self._check_given(self.shapes)
        if len(self.arrays) < self.block:
            raise ValueError(
                f"{len(self.arrays)} examples are too few for batch_size={self.batch_size} times consecutive="
                f"{self.consecutive}; allowed: at most as many as there are examples. Lower one of them."
            )
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.arrays.inputs):
            past = np.arange(leaf.shape[1]) >= self._steps[:, None]
            if np.asarray(leaf)[past].any():
                raise ValueError(
                    f"inputs{jax.tree_util.keystr(path)} are not 0 past the lengths, where batches are cut; allowed: "
                    "padding. Set it to 0; what has lengths of its own, such as the inputs of a decoder, is a target."
                )

    @property
    def block(self) -> int:
        """Examples of the batches in a row that have one length."""
        return self.batch_size * self.consecutive

    @property
    def epoch(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.arrays) // self.block) * self.consecutive

    @functools.cached_property
    def lengths(self) -> tuple[int, ...]:
        """The lengths that batches are padded to, ascending."""
        return best_lengths(self._steps, self.shapes) if isinstance(self.shapes, int) else tuple(self.shapes)

    @property
    def padding(self) -> float:
        """Share of the steps of the first epoch that are padding."""
        order, lengths = self._order(0)
        return 1 - float(self._steps[order].sum() / (lengths.sum() * self.block))

    def place(self, step: int) -> tuple[np.ndarray, int]:
        """The examples of update number ``step``, ``[B]``, and the length T_k that they are cut to."""
        epoch, at = divmod(int(step), self.epoch)
        order, lengths = self._order(epoch)
        block, within = divmod(at, self.consecutive)
        return order[block, within * self.batch_size :][: self.batch_size], int(lengths[block])

    def batch(self, step: int) -> Arrays:
        """The batch of update number ``step``: NumPy arrays ``[B, ...]``, of T_k steps."""
        found, length = self.place(step)
        taken = self.arrays.take(found)
        cut = functools.partial(jax.tree.map, lambda leaf: leaf[:, :length])
        changes: dict[str, Any] = {"inputs": cut(taken.inputs)}
        if self.per_step:
            changes["targets"] = cut(taken.targets)
            if taken.weights is not None and taken.weights.ndim > 1:
                changes["weights"] = cut(taken.weights)
        return dataclasses.replace(taken, **changes)

    def _check_given(self, lengths: tuple[int, ...]) -> None:
        """Raises ValueError if lengths that were given cannot serve the examples."""
        longest, steps = int(self._steps.max()), jax.tree.leaves(self.arrays.inputs)[0].shape[1]
        ascending = all(low < high for low, high in zip((0, *lengths), lengths, strict=False))
        if not lengths or not ascending or not longest <= lengths[-1] <= steps:
            raise ValueError(
                f"Buckets got shapes={lengths}; allowed: ascending lengths from 1 on, the last of them from {longest}, "
                f"the longest example, to {steps}, the padded steps. Give a number of lengths to have them chosen."
            )

    @functools.cached_property
    def _steps(self) -> np.ndarray:
        return np.asarray(self.arrays.lengths)

    def _order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Blocks of an epoch, examples ``[blocks, block]`` and lengths ``[blocks]``; the last one asked for is kept."""
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = self._draw(np.random.RandomState((self.seed, epoch)))
        return self._orders[epoch]

    @functools.cached_property
    def _orders(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        return {}

    def _draw(self, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        order = random.permutation(len(self.arrays))
        bucket = np.searchsorted(self.lengths, self._steps[order])
        blocks, left = [], order[:0]
        for number, length in enumerate(self.lengths):
            waiting = np.concatenate([left, order[bucket == number]])
            whole = len(waiting) // self.block * self.block
            blocks += [(block, length) for block in waiting[:whole].reshape(-1, self.block)]
            left = waiting[whole:]
        if len(left):
            others = order[~np.isin(order, left)][: self.block - len(left)]
            blocks.append((np.concatenate([left, others]), self.lengths[-1]))
        shuffled = [blocks[place] for place in random.permutation(len(blocks))]
        return np.stack([block for block, _ in shuffled]), np.asarray([length for _, length in shuffled])


def best_lengths(lengths: np.ndarray, shapes: int) -> tuple[int, ...]:
    """At most so many lengths that, each sequence padded to the next of them, cost the fewest steps in all.

    With the distinct lengths l_1 < ... < l_U of n_1, ..., n_U sequences, the cost of the first j of them in k lengths
    is c_k(j) = min_i c_{k-1}(i) + l_j (n_{i+1} + ... + n_j), c_0(0) = 0.
    """
    most = int(np.max(lengths))
    grid = -(-most // FINEST)
    values, counts = np.unique(np.minimum(-(-lengths // grid) * grid, most), return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])
    U = len(values)
    cost, origins = np.where(np.arange(U + 1) == 0, 0.0, np.inf), []
    for _ in range(min(shapes, U)):
        # options[i, j - 1]: the last length is l_j, and it serves the sequences from the (i + 1)th distinct length on.
        options = cost[:-1, None] + values * (before[1:] - before[:-1, None])
        options[np.tri(U, k=-1, dtype=bool)] = np.inf
        origins.append(options.argmin(axis=0))
        cost = np.concatenate([[np.inf], options.min(axis=0)])
    chosen, at = [], U
    for origin in reversed(origins):
        chosen.append(int(values[at - 1]))
        at = int(origin[at - 1])
    return tuple(reversed(chosen))
