"""Examples of a user's own: padding, splits that keep groups and classes, scalers."""

import dataclasses
import itertools
import pickle
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import check_refusal

from recurrax.datasets import SPLITS, Arrays, Dataset, Scaler, Scalers, scale, segment

RANDOM = np.random.default_rng(0)


def numbered(count: int, **more) -> Arrays:
    """Examples whose input and target are their own number."""
    numbers = np.arange(count)
    return Arrays(numbers[:, None, None] * np.ones((1, 3, 2)), numbers, **more)


def members(data: Dataset[Arrays]) -> list[list[int]]:
    return [np.asarray(getattr(data, split).targets).tolist() for split in SPLITS]


def ragged(lengths, features: int = 2) -> Arrays:
    """Step t of example n is 100 n + t + 1, so that no value is 0."""
    sequences = [100.0 * n + np.arange(L)[:, None] + 1 + np.zeros((1, features)) for n, L in enumerate(lengths)]
    return Arrays.padded(sequences, np.arange(len(lengths)))


def test_ragged_sequences_are_padded_with_zeros():
    arrays = Arrays.padded([[5, 6], [7], [1, 2, 3]], [0, 1, 0], length=4)
    assert arrays.inputs.tolist() == [[5, 6, 0, 0], [7, 0, 0, 0], [1, 2, 3, 0]]
    assert arrays.lengths.tolist() == [2, 1, 3] and arrays.targets.tolist() == [0, 1, 0]
    assert len(arrays) == 3 and arrays.weights is None
    assert Arrays.padded([[5, 6], [7]], np.zeros(2)).inputs.shape == (2, 2)


def test_ragged_targets_are_padded_and_weighted():
    """One for each step, and of lengths of their own, as a decoder's or a transcript."""
    stepwise = Arrays.padded([[5, 6], [7]], [[0, 1], [1]], length=3)
    assert stepwise.targets.tolist() == [[0, 1, 0], [1, 0, 0]] and stepwise.weights.tolist() == [[1, 1, 0], [1, 0, 0]]
    translated = Arrays.padded([[5, 6], [7]], [[1], [2, 3, 4]])
    assert translated.targets.tolist() == [[1, 0, 0], [2, 3, 4]] and translated.weights.sum(1).tolist() == [1, 3]
    assert translated.lengths.tolist() == [2, 1]
    with pytest.raises(ValueError, match="weights were given beside targets of different lengths"):
        Arrays.padded([[5, 6], [7]], [[0, 1], [1]], weights=np.ones(2))


def test_trees_of_sequences_are_padded():
    trees = [{"sound": np.ones((L, 2)), "word": list(range(L))} for L in (2, 3)]
    arrays = Arrays.padded(trees, [{"in": [1], "out": [2]}, {"in": [3, 4], "out": [5, 6]}])
    assert arrays.inputs["word"].tolist() == [[0, 1, 0], [0, 1, 2]] and arrays.inputs["sound"].sum() == 2 * 5
    assert arrays.targets["out"].tolist() == [[2, 0], [5, 6]] and arrays.weights.tolist() == [[1, 0], [1, 1]]
    with pytest.raises(ValueError, match=r"sequence 1 of the inputs has 2 and 3 steps"):
        Arrays.padded([{"a": [1], "b": [2]}, {"a": [1, 2], "b": [1, 2, 3]}], [0, 1])


def test_recordings_are_cut_into_windows():
    recordings = [np.arange(7), 100 + np.arange(4), 200 + np.arange(10)]
    windows, owners = segment(recordings, 4, 3)
    assert windows.tolist() == [[n, n + 1, n + 2, n + 3] for n in (0, 3, 100, 200, 203, 206)]
    assert owners.tolist() == [0, 0, 1, 2, 2, 2]
    assert segment(recordings, 4)[1].tolist() == [0, 1, 2, 2]
    assert segment([np.ones((5, 2))], 3, 1)[0].shape == (3, 3, 2)
    with pytest.raises(ValueError, match=r"1 of 3 sequences are shorter than length=5, e.g. \[1\]"):
        segment(recordings, 5)
    with pytest.raises(ValueError, match="length=4 and stride=0; allowed"):
        segment(recordings, 4, 0)


def test_a_split_is_scikit_learns():
    selection = pytest.importorskip("sklearn.model_selection")
    data = numbered(20).split((0.6, 0.25, 0.15), seed=3)
    rest, test = next(selection.ShuffleSplit(1, test_size=3, random_state=3).split(range(20)))
    assert members(data)[2] == sorted(test) and sorted(itertools.chain(*members(data)[:2])) == sorted(rest)
    assert data.sizes == (12, 5, 3)
    assert data == numbered(20).split((0.6, 0.25, 0.15), seed=3) != numbered(20).split((0.6, 0.25, 0.15), seed=4)


def test_no_group_is_in_two_splits():
    selection = pytest.importorskip("sklearn.model_selection")
    people = np.asarray([f"person {n % 10}" for n in range(57)])
    data = numbered(57, groups=people).split((0.6, 0.2, 0.2), seed=5)
    found = [{people[n] for n in part} for part in members(data)]
    assert [len(part) for part in found] == [6, 2, 2] and len(set.union(*found)) == 10
    assert sorted(itertools.chain(*members(data))) == list(range(57))
    _, test = next(selection.GroupShuffleSplit(1, test_size=2, random_state=5).split(people, groups=people))
    assert members(data)[2] == test.tolist()
    assert data.train.groups.tolist() == [int(people[n][-1]) for n in members(data)[0]]


def test_large_group_numbers_are_not_cut():
    assert numbered(3, groups=np.asarray([2**40 + 1, 1, 2**40 + 1])).groups.tolist() == [1, 0, 1]
    assert numbered(3, groups=np.asarray([70, 7, 70])).groups.tolist() == [70, 7, 70]


def test_stratified_splits_keep_the_shares_of_the_classes():
    pytest.importorskip("sklearn")
    classes = np.repeat([0, 1, 2], [70, 20, 10])
    arrays = Arrays(np.zeros((100, 2, 1)), classes)
    data = arrays.split((0.6, 0.2, 0.2), stratify=True)
    for split, parts in zip(SPLITS, ([42, 12, 6], [14, 4, 2], [14, 4, 2]), strict=True):
        assert np.bincount(getattr(data, split).targets).tolist() == parts
    with pytest.raises(ValueError, match=r"classes with fewer examples than the 3 parts \(1: 2\)"):
        Arrays(np.zeros((12, 2, 1)), np.repeat([0, 1], [10, 2])).split(stratify=True)
    with pytest.raises(ValueError, match=r"stratify=True with groups; allowed in split: one of them. Use folds"):
        Arrays(np.zeros((100, 2, 1)), classes, groups=classes).split(stratify=True)
    with pytest.raises(ValueError, match=r"allowed: classes, integers \[N\]"):
        Arrays(np.zeros((100, 2, 1)), classes * 0.5).split(stratify=True)


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_each_example_is_tested_in_one_fold(grouped, stratify):
    pytest.importorskip("sklearn")
    people = np.arange(60) % 12
    arrays = Arrays(np.arange(60.0)[:, None, None], np.arange(60) // 6 % 2, groups=people if grouped else None)
    found = arrays.folds(4, stratify=stratify)
    numbers = [[np.asarray(getattr(data, split).inputs).ravel().astype(int) for split in SPLITS] for data in found]
    assert sorted(np.concatenate([test for *_, test in numbers])) == list(range(60))
    for parts in numbers:
        assert sorted(np.concatenate(parts)) == list(range(60))
        if grouped:
            assert sum(len(set(people[part])) for part in parts) == 12
        elif stratify:
            assert abs(np.mean(parts[2] // 6 % 2) - 0.5) < 0.1
    assert [data.name for data in found] == [f"arrays-{fold}" for fold in range(4)]
    with pytest.raises(ValueError, match=r"80 folds of \d+ (groups|examples); allowed: from 2 to"):
        arrays.folds(80)


def test_given_splits_are_taken_and_checked():
    arrays = numbered(6, groups=[0, 0, 1, 1, 2, 2])
    mask = np.asarray([0, 0, 1, 1, 0, 0], bool)
    assert members(arrays.split_at([0, 1], mask, [5, 4])) == [[0, 1], [2, 3], [5, 4]]
    with pytest.raises(ValueError, match=r"1 examples are in two splits, e.g. \[1\]"):
        arrays.split_at([0, 1], [1], [4])
    with pytest.raises(ValueError, match=r"1 groups are in two splits, e.g. \[0\]"):
        arrays.split_at([0], [1], [4])
    with pytest.raises(ValueError, match="arrays has an empty test split"):
        arrays.split_at([0], [2], [])
    published = numbered(4).split((0.75, 0.25), test=numbered(2))
    assert published.sizes == (3, 1, 2) and members(published)[2] == [0, 1]
    with pytest.raises(ValueError, match="allowed: 2 numbers, train and validation, for test is given"):
        numbered(4).split(test=numbered(2))


def test_data_sets_are_known_by_their_contents():
    arrays = ragged([2, 3, 1, 2, 2, 3, 3, 1])
    data = arrays.split((0.5, 0.25, 0.25))
    again = arrays.split((0.5, 0.25, 0.25))
    assert data == again and hash(data) == hash(again) and isinstance(data.train.inputs, jax.Array)
    assert dataclasses.replace(data) == data == pickle.loads(pickle.dumps(data))
    longer = dataclasses.replace(arrays, lengths=np.full(8, 3)).split((0.5, 0.25, 0.25))
    weighted = Arrays(arrays.inputs, arrays.targets, weights=arrays.lengths).split((0.5, 0.25, 0.25))
    assert len({data.sha256, longer.sha256, weighted.sha256, scale(data).sha256}) == 4
    named = Arrays({"a": arrays.inputs}, arrays.targets), Arrays({"b": arrays.inputs}, arrays.targets)
    assert len({one.split((0.5, 0.25, 0.25)).sha256 for one in named}) == 2
    units = Scalers(targets=Scaler((0.0,), (2.0,)))
    assert dataclasses.replace(data, scalers=units) != data
    assert repr(arrays) == "Arrays(inputs=float64[8, 3, 2], targets=int64[8], lengths=int32[8])"
    assert repr(named[0]) == "Arrays(inputs={'a': float64[8, 3, 2]}, targets=int64[8])"


@pytest.mark.parametrize(
    ("kind", "name"), [("standard", "StandardScaler"), ("minmax", "MinMaxScaler"), ("robust", "RobustScaler")]
)
def test_scalers_are_scikit_learns(kind, name):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    values = RANDOM.normal(3, 5, (40, 4))
    values[:, 2] = 0.1  # constant
    if kind != "robust":  # scikit-learn's needs SciPy's way with NaN there, the same numbers otherwise
        values[::7, 1] = np.nan
    scaler, oracle = Scaler.fit(values, kind), getattr(preprocessing, name)().fit(values)
    np.testing.assert_allclose(scaler.transform(values), oracle.transform(values), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scaler.inverse(scaler.transform(values)), values, rtol=1e-12)
    assert scaler == Scaler.fit(values, kind) and hash(scaler) == hash(Scaler.fit(values, kind))
    assert scaler.columns([3]).inverse(np.zeros((2, 1))).tolist() == [[scaler.shift[3]]] * 2


def test_a_scaler_keeps_arrays_as_they_are():
    scaler = Scaler((1.0, 2.0), (2.0, 4.0))
    assert isinstance(scaler.transform(np.ones((3, 2), np.int32)), np.ndarray)
    outputs = scaler.inverse(jnp.ones((3, 2), jnp.bfloat16))
    assert isinstance(outputs, jax.Array) and outputs.dtype == jnp.float32 and outputs[0].tolist() == [3, 6]
    with pytest.raises(ValueError, match=r"values of shape \(3, 1\) for a scaler of 2 columns"):
        scaler.inverse(np.ones((3, 1)))
    with pytest.raises(ValueError, match="scaler 'normal'; allowed: 'standard', 'minmax', 'robust'"):
        Scaler.fit(np.ones((3, 1)), "normal")
    with pytest.raises(ValueError, match=r"columns \[1\] have no value in the training part"):
        Scaler.fit(np.asarray([[1, np.nan], [2, np.nan]]))


def test_examples_are_scaled_by_the_training_split_and_its_real_steps():
    data = ragged([2, 3, 1, 2, 4, 3, 3, 1]).split_at([0, 1, 2], [3, 4], [5, 6, 7])
    scaled = scale(data, "standard", None)
    train = np.asarray(data.train.inputs)
    real = train[train > 0].reshape(-1, 2).astype(np.float64)  # no real step is 0
    assert len(real) == 6
    for split in SPLITS:
        before, after = (np.asarray(getattr(d, split).inputs) for d in (data, scaled))
        expected = np.where(before > 0, (before - real.mean(0)) / real.std(0), 0)
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)
    assert scaled.scalers.targets is None
    np.testing.assert_allclose(scaled.scalers.inputs.shift, real.mean(0))
    with pytest.raises(ValueError, match="the inputs of arrays are scaled already"):
        scale(scaled)


def test_targets_are_scaled_where_they_count():
    arrays = Arrays.padded([[1, 2], [1], [1, 1], [2]], [[1.0, 3.0], [8.0], [1.0, 2.0], [5.0]])
    scaled = scale(arrays.split_at([0, 1], [2], [3]), None, "minmax")
    assert scaled.scalers.targets == Scaler((1.0,), (7.0,))
    np.testing.assert_allclose(scaled.validation.targets, [[0, 1 / 7]], rtol=1e-6)
    single = Arrays(np.zeros((4, 2, 1)), [10.0, 30.0, 50.0, 20.0]).split_at([0, 1], [2], [3])
    scaled = scale(single, None, "minmax")
    assert scaled.scalers == Scalers(None, Scaler((10.0,), (20.0,)))
    assert [np.asarray(getattr(scaled, split).targets).tolist() for split in SPLITS] == [[0, 1], [2], [0.5]]
    with pytest.raises(ValueError, match=r"the inputs of arrays are int32\[2, 2\]; allowed: one array of floating"):
        scale(arrays.split_at([0, 1], [2], [3]))
    with pytest.raises(ValueError, match=r"the targets of arrays are int32\[3\]"):
        scale(ragged([1] * 5).split_at([0, 1, 2], [3], [4]), None, "standard")


ERRORS = {
    "sizes": (lambda: Arrays(np.zeros((3, 2)), np.zeros(4)), ValueError, r"'inputs'\]\": 3, .* 4} examples; allowed"),
    "scalar": (lambda: Arrays(np.zeros((3, 2)), 1.0), ValueError, "None} examples; allowed"),
    "none": (lambda: Arrays(np.zeros((0, 2)), np.zeros(0)), ValueError, "there is no example"),
    "no targets": (lambda: Arrays(np.zeros((3, 2)), None), ValueError, "inputs and targets with the same N"),
    "nan": (lambda: Arrays(np.full((2, 2), np.nan), np.zeros(2)), ValueError, r"inputs\[0, 0\] is nan; allowed"),
    "inf": (lambda: Arrays({"a": np.zeros(2)}, {"b": [1.0, np.inf]}), ValueError, r"targets\['b'\]\[1\] is inf"),
    "text": (lambda: Arrays(np.zeros((2, 2)), ["cat", "dog"]), TypeError, "targets is of <U3; allowed: numbers"),
    "length 0": (lambda: Arrays(np.zeros((2, 2)), [0, 1], [0, 2]), ValueError, "lengths run from 0 to 2; allowed: 1"),
    "length 9": (lambda: Arrays(np.zeros((2, 2)), [0, 1], [9, 2]), ValueError, "lengths run from 2 to 9; allowed: 1"),
    "floats": (lambda: Arrays(np.zeros((2, 2)), [0, 1], [1.0, 2]), TypeError, r"lengths are float64\[2\]"),
    "weights": (lambda: numbered(2, weights=[1, -1]), ValueError, "weights run from -1 to 1; allowed: finite"),
    "no step": (lambda: numbered(2, weights=[[1], [0]]), ValueError, "no step of example 1 counts"),
    "empty": (lambda: Arrays.padded([[1], []], [0, 1]), ValueError, "sequence 1 of the inputs has 0 steps"),
    "nothing": (lambda: Arrays.padded([], []), ValueError, "there is no sequence of inputs"),
    "long": (lambda: Arrays.padded([[1], [1, 2]], [0, 1], length=1), ValueError, "sequence 1 has 2 steps, more than"),
    "shapes": (lambda: ragged([2]).padded([np.ones((1, 2)), np.ones((1, 3))], [0, 1]), ValueError, "have shapes"),
    "fractions": (lambda: numbered(9).split((0.7, 0.2, 0.2)), ValueError, r"sum to 1.1; allowed: positive numbers"),
    "few": (lambda: numbered(3).split((0.9, 0.05, 0.05)), ValueError, "give parts of 3, 0, 0; allowed: one or more"),
    "few groups": (lambda: numbered(9, groups=[0] * 9).split(), ValueError, "1 groups in the fractions"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_is_allowed(name):
    check_refusal(*ERRORS[name])


def test_padding_may_hold_anything():
    assert Arrays(np.asarray([[1.0, np.nan], [1.0, 2.0]]), [0, 1], [1, 2]).lengths.tolist() == [1, 2]


def test_scikit_learn_is_asked_for_where_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    arrays = Arrays(np.ones((9, 2, 1)), np.arange(9) % 2)
    scale(arrays.split())
    for needs in (lambda: arrays.split(stratify=True), lambda: arrays.folds(3)):
        with pytest.raises(ImportError) as error:
            needs()
        assert str(error.value) == (
            'stratified splits and folds need scikit-learn: python -m pip install "recurrax[data]".'
        )
