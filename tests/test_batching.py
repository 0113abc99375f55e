"""Padded batches of similar lengths: each example once an epoch, few shapes, the same after a restart."""

import dataclasses
import itertools

import numpy as np
import pytest

from recurrax.datasets import Arrays, Buckets
from recurrax.datasets.batching import best_lengths

RANDOM = np.random.default_rng(0)


def ragged(lengths, features: int = 2) -> Arrays:
    """Step t of example n is 100 n + t + 1, so that no value is 0."""
    sequences = [100.0 * n + np.arange(L)[:, None] + 1 + np.zeros((1, features)) for n, L in enumerate(lengths)]
    return Arrays.padded(sequences, np.arange(len(lengths)))


LENGTHS = np.concatenate([RANDOM.integers(3, 12, 70), RANDOM.integers(40, 60, 33)])


@pytest.mark.parametrize("consecutive", [1, 3])
def test_an_epoch_takes_each_example_once_and_few_shapes(consecutive):
    arrays = ragged(LENGTHS)
    buckets = Buckets(arrays, batch_size=8, shapes=3, seed=1, consecutive=consecutive)
    for epoch in range(3):
        steps = range(epoch * buckets.epoch, (epoch + 1) * buckets.epoch)
        batches = [buckets.batch(step) for step in steps]
        taken = np.concatenate([batch.targets for batch in batches])
        assert set(taken) == set(range(103)) and len(taken) == buckets.epoch * 8
        assert len(taken) - 103 < buckets.block
        assert {batch.inputs.shape for batch in batches} <= {(8, T, 2) for T in buckets.lengths}
        for batch in batches:
            assert (batch.lengths == LENGTHS[batch.targets]).all()
            np.testing.assert_array_equal(batch.inputs, arrays.inputs[batch.targets][:, : batch.inputs.shape[1]])
        shapes = [batch.inputs.shape for batch in batches]
        assert all(len(set(shapes[at : at + consecutive])) == 1 for at in range(0, len(shapes), consecutive))
    assert len(buckets.lengths) == 3


def test_batches_depend_on_the_seed_and_the_step_alone():
    arrays = ragged(LENGTHS)
    buckets = Buckets(arrays, 8, seed=1)
    straight = [buckets.place(step)[0].tolist() for step in range(40)]
    assert [Buckets(arrays, 8, seed=1).place(step)[0].tolist() for step in reversed(range(40))] == straight[::-1]
    assert straight[: buckets.epoch] != straight[buckets.epoch : 2 * buckets.epoch]
    assert [Buckets(arrays, 8, seed=2).place(step)[0].tolist() for step in range(40)] != straight


def test_batches_by_length_compute_less_padding():
    arrays = ragged(LENGTHS)
    buckets = Buckets(arrays, 4, shapes=4)
    whole = 1 - LENGTHS.sum() / (len(LENGTHS) * LENGTHS.max())
    sizes = [(batch.lengths.sum(), batch.inputs[..., 0].size) for batch in map(buckets.batch, range(buckets.epoch))]
    real, computed = map(sum, zip(*sizes, strict=True))
    assert buckets.padding == pytest.approx(1 - real / computed) and buckets.padding < whole / 3
    assert Buckets(arrays, 4, shapes=1).lengths == (LENGTHS.max(),)


@pytest.mark.parametrize("shapes", [1, 2, 3, 9])
def test_the_lengths_of_the_shapes_are_the_best(shapes):
    lengths = np.asarray([2, 2, 2, 3, 5, 5, 9, 10, 10, 17])
    values = sorted(set(lengths))

    def cost(chosen):
        return sum(min(length for length in chosen if length >= one) for one in lengths)

    choices = [(*some, 17) for some in itertools.combinations(values[:-1], min(shapes, len(values)) - 1)]
    assert cost(best_lengths(lengths, shapes)) == min(map(cost, choices))
    assert best_lengths(lengths, shapes) == tuple(sorted(set(best_lengths(lengths, shapes))))


def test_very_many_lengths_are_chosen_among_rounded_ones():
    lengths = np.arange(1, 5001)
    chosen = best_lengths(lengths, 4)
    assert chosen[-1] == 5000 and np.allclose(chosen, [1250, 2500, 3750, 5000], atol=10)


def test_stepwise_targets_are_cut_with_the_inputs():
    lengths = [2, 2, 5, 5]
    arrays = Arrays.padded([np.arange(L) + 1 for L in lengths], [np.arange(L) for L in lengths])
    batches = [Buckets(arrays, 2, per_step=True).batch(step) for step in range(2)]
    assert sorted(batch.targets.shape for batch in batches) == [(2, 2), (2, 5)]
    assert all(batch.weights.shape == batch.targets.shape == batch.inputs.shape for batch in batches)
    whole = Buckets(arrays, 2).batch(0)
    assert whole.targets.shape == (2, 5)
    noisy = dataclasses.replace(arrays, inputs=np.ones((4, 5)))
    with pytest.raises(ValueError, match="inputs are not 0 past the lengths, where batches are cut"):
        Buckets(noisy, 2)
    with pytest.raises(ValueError, match="4 examples are too few for batch_size=3 times consecutive=2"):
        Buckets(arrays, 3, consecutive=2)
    with pytest.raises(ValueError, match="the examples have no lengths"):
        Buckets(Arrays(np.ones((4, 3)), np.zeros(4)), 2)
    with pytest.raises(ValueError, match="Buckets got shapes=0"):
        Buckets(arrays, 2, shapes=0)
