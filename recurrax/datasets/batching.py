"""Batches of similar lengths with little padding and few shapes; their order depends only on seed and step."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, final

import jax
import numpy as np

from recurrax.datasets.arrays import Arrays

FINEST = 1024  # the largest number of candidate lengths; more are rounded up to this number


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Buckets:
    """Batches of B examples for training from the host, each padded to one of a few lengths.

        buckets = Buckets(data.train, batch_size=32, shapes=4)
        batch = buckets.batch(step)                         # `Arrays` of 32 examples, [32, T_k, ...]

    Every epoch uses each example once, in a new random order, and fills incomplete batches with random examples.
    Examples that do not fill a batch of their length join batches of the next length. The batch of an update depends
    only on the seed and the update's number, so a resumed run sees the same batches.

    Args:
        arrays: examples with lengths.
        batch_size: B.
        shapes: the largest number of lengths; each needs a compiled program. The lengths are chosen to minimise
            padding. Or the lengths themselves, ascending, to use the same programs for other data.
        seed: seed of the order.
        consecutive: number of successive batches of equal length, for programs that make several updates at once.
        per_step: whether targets and weights have one step per input step, and are cut like the inputs.

    Raises:
        ValueError: a number is below 1, an example is longer than the given lengths, or the examples have no lengths,
            do not fill one block of batches, or have inputs other than 0 past their lengths.
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
        """Number of examples in a block of successive batches of equal length."""
        return self.batch_size * self.consecutive

    @property
    def epoch(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.arrays) // self.block) * self.consecutive

    @functools.cached_property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of padded batches, ascending."""
        return best_lengths(self._steps, self.shapes) if isinstance(self.shapes, int) else tuple(self.shapes)

    @property
    def padding(self) -> float:
        """Share of the steps of the first epoch that are padding."""
        order, lengths = self._order(0)
        return 1 - float(self._steps[order].sum() / (lengths.sum() * self.block))

    def place(self, step: int) -> tuple[np.ndarray, int]:
        """The examples of update ``step``, ``[B]``, and the length T_k of their batch."""
        epoch, at = divmod(int(step), self.epoch)
        order, lengths = self._order(epoch)
        block, within = divmod(at, self.consecutive)
        return order[block, within * self.batch_size :][: self.batch_size], int(lengths[block])

    def batch(self, step: int) -> Arrays:
        """The batch of update ``step``: NumPy arrays ``[B, ...]`` with T_k steps."""
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
        """Raises ValueError if given lengths do not fit the examples."""
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
        """The blocks of an epoch: examples ``[blocks, block]`` and lengths ``[blocks]``; the last result is cached."""
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
    """At most ``shapes`` lengths that minimise the total of steps when each sequence is padded to the next one.

    Let n_1, ..., n_U sequences have the distinct lengths l_1 < ... < l_U. The least cost of the first j lengths with k
    padded lengths is c_k(j) = min_i c_{k-1}(i) + l_j (n_{i+1} + ... + n_j), c_0(0) = 0.
    """
    most = int(np.max(lengths))
    grid = -(-most // FINEST)
    values, counts = np.unique(np.minimum(-(-lengths // grid) * grid, most), return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])
    U = len(values)
    cost, origins = np.where(np.arange(U + 1) == 0, 0.0, np.inf), []
    for _ in range(min(shapes, U)):
        # options[i, j - 1]: the cost if l_j is the last padded length, for distinct lengths i + 1 to j.
        options = cost[:-1, None] + values * (before[1:] - before[:-1, None])
        options[np.tri(U, k=-1, dtype=bool)] = np.inf
        origins.append(options.argmin(axis=0))
        cost = np.concatenate([[np.inf], options.min(axis=0)])
    chosen, at = [], U
    for origin in reversed(origins):
        chosen.append(int(values[at - 1]))
        at = int(origin[at - 1])
    return tuple(reversed(chosen))
