"""Latching, permutation, counting, recall and streams against their published definitions.

Expected numbers are written out from the papers and the authors' code, not computed by the package.
"""

import math
from collections import Counter

import numpy as np
import pytest
from samples import EXAMPLES, KEYS, drawn, jit, z_scores

from recurrax.tasks import (
    AssociativeRecall,
    Continual,
    InductionHeads,
    Latch,
    ModularCounting,
    Parity,
    Permutation,
    Recall,
    TemporalOrder,
)


def tokens_of(task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens [N, T] of one-hot inputs, targets and weights."""
    inputs, targets, weights, *_ = drawn(task)[0]
    tokens = inputs.argmax(-1)
    assert (inputs == np.eye(inputs.shape[-1])[tokens]).all()
    return tokens, targets, weights


def check_uniform(values: np.ndarray, allowed: range) -> None:
    """[N] values are all the allowed ones, equally likely."""
    counts = [(values == value).sum() for value in allowed]
    assert sum(counts) == len(values) == EXAMPLES
    assert np.abs(z_scores(counts, 1 / len(allowed))).max() < 5


def only_last(weights: np.ndarray) -> bool:
    """Whether the last step alone counts."""
    return bool((weights[:, :-1] == 0).all() and (weights[:, -1] == 1).all())


def test_permutation_samples():
    tokens, targets, weights = tokens_of(Permutation(14))
    assert tokens.shape[1] == 14 and only_last(weights)
    check_uniform(tokens[:, 0], range(2))
    for step in (1, 7, 13):
        check_uniform(tokens[:, step], range(2, 100))
        assert abs(np.corrcoef(tokens[:, 0], tokens[:, step])[0, 1]) < 5 / math.sqrt(EXAMPLES)
    assert (targets[:, -1] == tokens[:, 0]).all() and (targets[:, :-1] == 0).all()


@pytest.mark.parametrize(("variant", "shown", "target"), [("bengio1994", 3, 0.8), ("schmidhuber2001", 1, 1.0)])
def test_latch_samples(variant, shown, target):
    """Class, then noise of variance 0.2 up to a length in [L/2, L], then zeros."""
    inputs, targets, weights, *_ = drawn(Latch(40, variant))[0]
    ends = weights.argmax(1)
    check_uniform(ends + 1, range(20, 41))
    assert (weights.sum(1) == 1).all()
    if variant == "bengio1994":
        codes, values = inputs[..., :6], inputs[..., 6]
        classes = codes[:, 0].argmax(1) // 3
        for step in range(3):
            assert (codes[:, step] == np.eye(6)[3 * classes + step]).all() and (values[:, step] == 0).all()
        assert (codes[:, 3:] == 0).all()
    else:
        values = inputs[..., 0]
        assert set(np.unique(values[:, 0])) == {-1.0, 1.0}
        classes = (values[:, 0] > 0).astype(int)
    check_uniform(classes, range(2))
    assert (targets[weights == 1][:, 0] == np.float32(target) * (2 * classes - 1)).all()
    steps = np.arange(40)
    noise = values[(steps >= shown) & (steps <= ends[:, None])]
    assert (values[steps > ends[:, None]] == 0).all() and (noise != 0).mean() > 0.99
    assert abs(noise.mean()) < 5 * math.sqrt(0.2 / noise.size)
    assert abs(noise.var() / 0.2 - 1) < 5 * math.sqrt(2 / noise.size) + 1e-4  # a table of 4096 entries
    assert abs((np.abs(noise) < math.sqrt(0.2)).mean() - math.erf(math.sqrt(0.5))) < 2e-3  # normal
    assert abs(np.corrcoef(values[:, 5], classes)[0, 1]) < 5 / math.sqrt(EXAMPLES)
    with pytest.raises(ValueError, match="length=7 is too short"):
        Latch(7, variant)


@pytest.mark.parametrize("variant", Parity.VARIANTS)
def test_parity_samples(variant):
    inputs, targets, weights, *_ = drawn(Parity(40, variant))[0]
    ends = weights.argmax(1)
    real = np.arange(40) <= ends[:, None]
    assert (weights.sum(1) == 1).all()
    if variant == "deletang2023":
        assert (ends == 39).all() and (inputs.sum(-1) == 1).all()
        ones = inputs[..., 1] == 1
    else:
        check_uniform(ends + 1, range(20, 41))
        assert set(np.unique(inputs[real])) == {-1.0, 1.0} and (inputs[~real] == 0).all()
        ones = inputs[..., 0] == 1
    assert (targets[weights == 1] == ones.sum(1) % 2).all()
    assert np.abs(z_scores(ones[:, :20].sum(0), 1 / 2)).max() < 5
    assert np.abs(z_scores((ones[:, :19] == ones[:, 1:20]).sum(0), 1 / 2)).max() < 5


def test_modular_counting_samples():
    tokens, targets, weights = tokens_of(ModularCounting(40))
    assert only_last(weights)
    assert (targets[:, -1] == (tokens - 1).sum(1) % 5).all()
    for step in (0, 20, 39):
        check_uniform(tokens[:, step], range(3))


def test_modular_counting_chance_level_by_counting_walks():
    """One step: three places alike. Two steps on a circle of 5: 9 walks, of which 3 return and 2, 2, 1, 1 do not."""
    assert ModularCounting(1).chance_level() == pytest.approx(math.log(3))
    walks = Counter((a + b) % 5 for a in (-1, 0, 1) for b in (-1, 0, 1))
    assert sorted(walks.values()) == [1, 1, 2, 2, 3]
    entropy = -sum(count / 9 * math.log(count / 9) for count in walks.values())
    assert ModularCounting(2).chance_level() == pytest.approx(entropy)
    assert ModularCounting(500).chance_level() == pytest.approx(math.log(5))
    assert ModularCounting(1, modulus=2).chance_level() == pytest.approx(math.log(3) - 2 / 3 * math.log(2))


@pytest.mark.parametrize(("variant", "size", "ordinary"), [("fu2022", 20, 18), ("gu2023", 16, 15)])
def test_induction_samples(variant, size, ordinary):
    """The special token once in 0 .. length - 3 and at the end; what follows it is asked for."""
    tokens, targets, weights = tokens_of(InductionHeads(40, variant))
    rows = np.arange(EXAMPLES)
    assert drawn(InductionHeads(40, variant))[0].inputs.shape[1:] == (41, size) and only_last(weights)
    special = tokens == ordinary
    assert (special.sum(1) == 2).all() and special[:, -1].all() and tokens.max() == ordinary
    place = special.argmax(1)
    check_uniform(place, range(38))
    answers = tokens[rows, place + 1]
    assert (targets[:, -1] == answers).all()
    check_uniform(answers, range(ordinary))


def test_associative_recall_samples():
    """Different keys of 1 .. 31, different values of 32 .. 63; every key once more, at an even step, with its value."""
    tokens, targets, weights = tokens_of(AssociativeRecall(20))
    keys, values = tokens[:, 0:8:2], tokens[:, 1:8:2]
    for column in range(4):
        check_uniform(keys[:, column], range(1, 32))
        check_uniform(values[:, column], range(32, 64))
    for four in (keys, values):
        assert (np.diff(np.sort(four, axis=1), axis=1) > 0).all()
    asked = weights == 1
    assert (asked.sum(1) == 4).all() and not asked[:, :8].any() and not asked[:, 9::2].any()
    queried = tokens[asked].reshape(-1, 4)
    assert (np.sort(queried, axis=1) == np.sort(keys, axis=1)).all()
    which = (queried[:, :, None] == keys[:, None]).argmax(-1)
    assert (targets[asked].reshape(-1, 4) == np.take_along_axis(values, which, axis=1)).all()
    assert (targets[~asked] == 0).all()
    fillers = tokens[~asked & (np.arange(20) >= 8)]
    counts = np.bincount(fillers, minlength=64)
    n = fillers.size
    assert np.abs((counts - n / 64) / math.sqrt(n / 64)).max() < 5 and counts.min() > 0  # keys and values among them


def test_associative_recall_gaps_follow_the_power_law_without_replacement():
    """Key 1's gap, and key 2's given key 1's: NumPy's choice without replacement draws one after the other."""
    tokens, _, weights = tokens_of(AssociativeRecall(20))
    gaps = np.stack([((tokens == tokens[:, [2 * j]]) & (weights == 1)).argmax(1) for j in range(2)], axis=-1) // 2 - 4
    p = 0.01 * np.arange(1, 7) ** (0.01 - 1)
    p /= p.sum()
    assert np.abs(z_scores(np.bincount(gaps[:, 0], minlength=6), p)).max() < 5
    both = np.array([[0 if i == j else p[i] * p[j] / (1 - p[i]) for j in range(6)] for i in range(6)])
    counts = np.zeros((6, 6))
    np.add.at(counts, (gaps[:, 0], gaps[:, 1]), 1)
    assert (np.diag(counts) == 0).all()
    off = ~np.eye(6, dtype=bool)
    assert np.abs(z_scores(counts[off], both[off])).max() < 5


def test_associative_recall_answers_only_what_was_shown():
    """By hand, with other sizes; a key that comes again where nothing is asked is answered too, and does not count."""
    task = AssociativeRecall(12, pairs=2, vocabulary=12)
    shown = np.array([2, 8, 4, 7, 4, 11, 4, 0, 2, 9, 6, 1])
    outputs = np.asarray(jit(task.oracle)(np.eye(12, dtype=np.float32)[shown]))
    assert [int(outputs[t].argmax()) if outputs[t].any() else None for t in range(12)] == [
        None, None, None, None, 7, None, 7, None, 8, None, None, None,
    ]  # fmt: skip
    for sizes, message in [
        ({"length": 7, "pairs": 2}, "length=7 .* at least 8"),
        ({"length": 20, "vocabulary": 9}, "vocabulary=9 .* at least 10"),
        ({"length": 20, "pairs": 0}, "pairs=0 .* at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            AssociativeRecall(**sizes)  # type: ignore


def test_distractors_are_as_large_as_the_bit_and_tell_nothing():
    plain, task = Recall(8, noise=0.0), Recall(8, noise=0.0, distractors=0.5)
    inputs, targets, weights, *_ = drawn(task)[0]
    values, markers = inputs[..., 0], inputs[..., 1]
    assert set(np.unique(values)) == {-1.0, 0.0, 1.0} and only_last(weights)
    shown = (values != 0) & (markers == 0)
    assert (markers.sum(1) == 1).all() and abs(shown.sum() / (12 * EXAMPLES) - 0.5) < 0.01
    assert abs(values[shown].mean()) < 5 / math.sqrt(shown.sum())
    assert ((values * markers).sum(1) == 2 * targets[:, -1] - 1).all()
    bits = 2 * targets[:, -1] - 1
    assert np.abs((np.where(markers == 0, values, 0) * bits[:, None]).mean(0)).max() < 5 / math.sqrt(EXAMPLES)
    assert task.chance_level() == plain.chance_level() and task.criterion == plain.criterion
    assert ((drawn(plain)[0].inputs[..., 0] != 0).sum(1) == 1).all()
    for value, kind in ((1.5, ValueError), (-0.1, ValueError), ("1", TypeError), (float("nan"), ValueError)):
        with pytest.raises(kind, match=r"distractors=.* allowed is a float"):
            Recall(8, distractors=value)  # type: ignore


@pytest.mark.slow
@pytest.mark.parametrize("variant", Continual.VARIANTS)
def test_streams_are_examples_one_after_the_other(variant):
    """Each is one of the other task, at its own key, and they are independent."""
    task = Continual(10, variant)
    inner = TemporalOrder(10, symbols=3) if variant == "gers2000" else Recall(10, distractors=0.5)
    inputs, targets, weights, *_ = drawn(task)[0]
    parts, answers = inputs.reshape(EXAMPLES, 5, -1, task.in_features), targets.reshape(EXAMPLES, 5, -1)
    asked = weights.reshape(EXAMPLES, 5, -1)
    assert parts.shape[2] == inner.sequence_length and (asked.sum(-1) == 1).all()
    classes = (answers * asked).sum(-1).astype(int)
    for segment in (0, 4):
        check_uniform(classes[:, segment], range(inner.out_features))
    assert abs(np.corrcoef(classes[:, 0], classes[:, 1])[0, 1]) < 5 / math.sqrt(EXAMPLES)
    one = jit(inner.oracle)(parts[0, 2])
    assert int(np.asarray(one)[asked[0, 2].argmax()].argmax()) == classes[0, 2]
    assert task.chance_level() == inner.chance_level()
    with pytest.raises(ValueError, match=r"repeats=1 .* at least 2"):
        Continual(10, variant, repeats=1)


def test_a_stream_needs_its_memory_replaced():
    """Who keeps the first answer for ever is right once, and then by chance."""
    task = Continual(10, "recall")
    (_, targets, weights, *_), outputs = drawn(task)
    first = targets[np.arange(EXAMPLES), weights.argmax(1)]
    right = (targets == first[:, None])[weights == 1].reshape(EXAMPLES, 5).mean(0)
    assert right[0] == 1 and np.abs(right[1:] - 0.5).max() < 5 * 0.5 / math.sqrt(EXAMPLES)
    assert outputs.shape == (EXAMPLES, 75, 2) and len(KEYS) == EXAMPLES
