"""Copy and adding against their published definitions.

Expected numbers are written out from the papers and the authors' code, not computed by the package.
"""

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from samples import EXAMPLES, drawn, jit, parametrize, scorer, z_scores

from recurrax.tasks import Adding, Copy, MemoryTask

every_copy, every_adding = parametrize(Copy), parametrize(Adding)


def test_published_chance_levels():
    for delay, level in [(100, 0.17329), (200, 0.09452), (300, 0.06498), (1000, 0.02039), (2000, 0.01029)]:
        assert Copy(delay).chance_level() == pytest.approx(level, abs=5e-6)
        assert Copy(delay, "bai2018").chance_level() == Copy(delay).chance_level()
    for delay in (1, 2, 7):  # variable copy, counted by hand: the wait is 1, 1 or 2, 1 .. 7
        due = np.zeros(delay + 20)
        for wait in range(1, delay + 1):
            due[10 + wait : 20 + wait] += 1 / delay
        unsure = due[(due > 0) & (due < 1 - 1e-9)]
        bits = -(unsure * np.log(unsure) + (1 - unsure) * np.log(1 - unsure)).sum()
        level = (10 * math.log(8) + bits) / (delay + 20)
        assert Copy(delay, "henaff2016").chance_level() == pytest.approx(level)
    assert Copy(1, "henaff2016").chance_level() == Copy(1).chance_level()
    assert Copy(100, "gu2023").chance_level() == pytest.approx(math.log(14))
    assert Copy(100, "martens2011").chance_level() == pytest.approx(5 * math.log(2) / 110)
    assert Adding(100, "hochreiter1997").chance_level() == pytest.approx(0.0392, abs=1e-6)  # below 1/24


COPY = {  # of delay 5: symbols, what follows them, input size, classes, blank, alphabet
    "arjovsky2016": (10, "000090000000000", 10, 9, 0, range(1, 9)),
    "bai2018": (10, "000099999999999", 1, 10, 0, range(1, 9)),
    "s4": (10, "000009999999999", 10, 10, 0, range(1, 9)),
    "pascanu2013": (10, "555556555555555", 7, 6, 5, range(5)),
    "martens2011": (5, "2222232222", 4, 3, 2, range(2)),
}


def symbols_of(inputs: np.ndarray) -> np.ndarray:
    """Symbols [..., T] of scalar or one-hot inputs."""
    width = inputs.shape[-1]
    symbols = inputs[..., 0] if width == 1 else inputs.argmax(-1)
    assert width == 1 or (inputs == np.eye(width)[symbols]).all()
    return symbols


def check_uniform(data: np.ndarray, alphabet: range) -> None:
    """Every symbol is as likely at every place, and independent of the others."""
    assert set(np.unique(data)) == set(alphabet)
    counts = [(data == symbol).sum(0) for symbol in alphabet]
    pairs = [(data[:, i] == data[:, j]).sum() for i, j in itertools.combinations(range(data.shape[1]), 2)]
    assert np.abs(z_scores(counts, 1 / len(alphabet))).max() < 5
    assert np.abs(z_scores(pairs, 1 / len(alphabet))).max() < 5


@pytest.mark.parametrize("variant", COPY)
def test_copy_samples(variant):
    M, rest, width, classes, blank, alphabet = COPY[variant]
    task = Copy(5, variant)
    inputs, targets, weights, *_ = drawn(task)[0]
    assert inputs.shape[1:] == (5 + 2 * M, width) and task.out_features == classes
    symbols = symbols_of(inputs)
    data = symbols[:, :M]
    assert (symbols[:, M:] == [int(symbol) for symbol in rest]).all()
    assert (targets[:, : 5 + M] == blank).all() and (targets[:, 5 + M :] == data).all()
    assert (weights == ([0] * 15 + [1] * 10 if variant == "s4" else 1)).all()
    check_uniform(data, alphabet)


def test_variable_copy_samples():
    """The wait is 1 .. delay, equally likely; the marker stands one step before the first answer."""
    inputs, targets, weights, *_ = drawn(Copy(5, "henaff2016"))[0]
    symbols, rows = symbols_of(inputs), np.arange(EXAMPLES)
    waits = (symbols == 9).argmax(1) - 9
    assert (weights == 1).all() and symbols.shape[1] == 25
    check_uniform(symbols[:, :10], range(1, 9))
    assert np.abs(z_scores(np.bincount(waits, minlength=6)[1:], [1 / 5] * 5)).max() < 5
    for step in range(10):
        assert (targets[rows, 10 + waits + step] == symbols[:, step]).all()
    assert (targets > 0).sum() == (symbols[:, 10:] == 9).sum() * 10 == 10 * EXAMPLES  # all else is blank
    assert (symbols[:, 10:] > 0).sum() == EXAMPLES


def test_selective_copy_samples():
    """16 symbols of 14 at every set of places among 5 blanks, then 16 markers, where they are due in order."""
    inputs, targets, weights, *_ = drawn(Copy(5, "gu2023"))[0]
    symbols = symbols_of(inputs)
    assert symbols.shape[1] == 37 and inputs.shape[2] == 16
    assert (symbols[:, 21:] == 15).all() and (weights == [0] * 21 + [1] * 16).all()
    context = symbols[:, :21]
    shown = context > 0
    assert (shown.sum(1) == 16).all()
    data = context[shown].reshape(-1, 16)
    assert (targets[:, 21:] == data).all() and (targets[:, :21] == 0).all()
    check_uniform(data, range(1, 15))
    assert np.abs(z_scores(shown.sum(0), 16 / 21)).max() < 5
    both = [(shown[:, i] & shown[:, j]).sum() for i, j in itertools.combinations(range(21), 2)]
    assert np.abs(z_scores(both, 16 * 15 / (21 * 20))).max() < 5  # places are drawn without replacement


@every_copy
def test_copy_loss_and_accuracy(task):
    """Of noise; then of right outputs with one wrong symbol, or one wrong blank, in each example."""
    examples, right = drawn(task)
    noise = np.random.default_rng(1).normal(size=right.shape).astype(np.float32)
    surprise = np.log(np.exp(noise).sum(-1))
    surprise -= np.take_along_axis(noise, examples.targets[..., None], axis=-1)[..., 0]
    first = {"s4": 15, "gu2023": 21}.get(task.variant, 0)  # step that counts
    np.testing.assert_allclose(scorer(task)(noise, examples)[0], surprise[:, first:].mean(-1), rtol=1e-5)
    M, whole = {"gu2023": 16, "martens2011": 5}.get(task.variant, 10), task.variant in ("pascanu2013", "martens2011")
    blank = {"pascanu2013": 5, "martens2011": 2}.get(task.variant, 0)
    recalled = examples.targets != blank
    first = recalled.argmax(1)
    for step, accuracy in ((first + 2, 1 - 1 / M), (np.full(EXAMPLES, 3), 1.0)):
        outputs, rows = right.copy(), np.arange(EXAMPLES)
        outputs[rows, step] = np.roll(right[rows, step], 1, axis=-1)
        np.testing.assert_allclose(scorer(task)(outputs, examples)[1], 0.0 if whole else accuracy, rtol=1e-6)


LENGTHS = {"hochreiter1997": range(40, 45), "pascanu2013": range(40, 44)}  # of length 40; the others: 40
VARIANCE = {
    "hochreiter1997": 1 / 48,
    "pascanu2013": 1 / 48,
}  # of one value's part of the target; others: 1/12


def published_marks(variant: str, length: int) -> list[frozenset[int]]:
    """Visible marks if the `length` 40 drew this length; all equally likely. In the words of the sources."""
    tenth, rest = int(length * 0.1), int(length * 0.4)
    unmarked = [[x2 for x2 in range(length) if x2 != x1] for x1 in range(10)]
    pairs = {  # "one of the first ten pairs", then "one of the first T/2 - 1 still unmarked pairs"
        "hochreiter1997": [(x1, x2) for x1 in range(10) for x2 in unmarked[x1][: 40 // 2 - 1]],
        "arjovsky2016": itertools.product(range(20), range(20, 40)),
        "bai2018": itertools.permutations(range(40), 2),
        "helfrich2018": itertools.product(range(19), range(19, 40)),
        "pascanu2013": itertools.product(range(tenth), range(tenth, tenth + rest)),
    }[variant]
    hidden = {0} if variant == "hochreiter1997" else set()  # the marker of the first pair is -1
    return [frozenset(pair) - hidden for pair in pairs]


def channels(task: MemoryTask, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and markers."""
    value = 1 if task.variant == "pascanu2013" else 0
    return inputs[..., value], inputs[..., 1 - value]


@every_adding
def test_adding_marks_and_lengths_are_as_published(task):
    """Every set of marks, and every step, is drawn as often as it should be, and no other set is."""
    inputs, _, weights, *_ = drawn(task)[0]
    lengths, probabilities = LENGTHS.get(task.variant, [40]), defaultdict(float)
    for length in lengths:
        allowed = published_marks(task.variant, length)
        for marks in allowed:
            probabilities[length, marks] += 1 / len(allowed) / len(lengths)
    marked, ends = channels(task, inputs)[1] == 1, weights.argmax(-1) + 1
    counts = Counter((int(end), frozenset(np.flatnonzero(m))) for end, m in zip(ends, marked, strict=True))
    assert set(counts) <= set(probabilities) and task.sequence_length == max(lengths)
    z = z_scores([counts[event] for event in probabilities], list(probabilities.values()))
    assert np.abs(z).max() < 6  # some counts are near 15, so not quite normal
    steps = [sum(p for (_, marks), p in probabilities.items() if step in marks) for step in range(40)]
    z = z_scores(marked.sum(0)[:40], np.maximum(steps, 1e-9))
    assert np.abs(z).max() < 5  # so the extremes occur
    variance = VARIANCE.get(task.variant, 1 / 12)
    chance = sum(probability * len(marks) * variance for (_, marks), probability in probabilities.items())
    assert task.chance_level() == pytest.approx(chance)


@every_adding
def test_adding_samples(task):
    inputs, targets, weights, *_ = drawn(task)[0]
    values, markers = channels(task, inputs)
    steps, ends = np.arange(task.sequence_length), weights.argmax(-1)[:, None]
    assert (weights == (steps == ends)).all()
    assert (inputs[steps > ends] == 0).all() and (targets[steps != ends] == 0).all()
    sentinel = (steps == 0) | (steps == ends) if task.variant == "hochreiter1997" else np.zeros_like(markers)
    assert ((markers == -1) == sentinel).all() and set(np.unique(markers)) <= {-1, 0, 1}
    real, lowest = values[steps <= ends], -1 if task.variant == "hochreiter1997" else 0
    assert lowest <= real.min() < lowest + 1e-3 and 1 - 1e-3 < real.max() < 1
    assert abs(real.mean() - (lowest + 1) / 2) < 5 * (1 - lowest) / math.sqrt(12 * real.size)
    sums, answers = np.where(markers == 1, values, 0).sum(-1), targets.sum((1, 2))
    formula = {"hochreiter1997": 0.5 + sums / 4, "pascanu2013": sums / 2}.get(task.variant, sums)
    np.testing.assert_allclose(answers, formula, rtol=0, atol=1e-6)
    for step in steps:  # the values without a mark tell nothing of the answer
        unmarked = (markers[:, step] != 1) & (step <= ends[:, 0])
        correlation = np.corrcoef(values[unmarked, step], answers[unmarked])[0, 1]
        assert abs(correlation) < 5 / math.sqrt(unmarked.sum())


def test_adding_by_hand():
    values, markers = np.full(22, 9.0, np.float32), np.zeros(22, np.float32)  # 9: no unmarked value matters
    values[[0, 3, 7, 12, 19]] = [0.75, 0.5, -0.25, 0.875, 0.9375]
    for variant, marks, answer in [
        ("hochreiter1997", {0: -1, 3: 1, 7: 1, 19: -1}, 0.5625),  # 0.5 + (0.5 - 0.25) / 4
        ("hochreiter1997", {0: -1, 3: 1, 19: -1}, 0.625),  # the other mark fell on the first pair
        ("arjovsky2016", {3: 1, 12: 1}, 1.375),  # 0.5 + 0.875
        ("helfrich2018", {7: 1, 12: 1}, 0.625),  # -0.25 + 0.875
        ("bai2018", {0: 1, 19: 1}, 1.6875),  # 0.75 + 0.9375
        ("pascanu2013", {0: 1, 3: 1}, 0.625),  # (0.75 + 0.5) / 2
    ]:
        markers[:] = [marks.get(step, 0) for step in range(22)]
        pair = (markers, values) if variant == "pascanu2013" else (values, markers)
        assert jit(Adding(20, variant).oracle)(np.stack(pair, axis=-1))[19, 0] == answer


@every_adding
def test_adding_loss_and_accuracy(task):
    """The last real step alone counts; the tolerance is the published one, or 0.04."""
    examples, tolerance = drawn(task)[0], 0.2 if task.variant == "pascanu2013" else 0.04
    errors = np.linspace(-2, 2, EXAMPLES, dtype=np.float32)[:, None] * tolerance
    outputs = np.where(examples.weights == 1, examples.targets.sum((1, 2))[:, None] + errors, 7)
    losses, accuracies = scorer(task)(outputs[..., None].astype(np.float32), examples)
    np.testing.assert_allclose(losses, errors[:, 0] ** 2, rtol=0, atol=1e-6)
    clear = np.abs(np.abs(errors[:, 0]) / tolerance - 1) > 1e-4
    np.testing.assert_array_equal(accuracies[clear], np.abs(errors[clear, 0]) < tolerance)
