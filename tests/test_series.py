"""Time series: cuts in order of time, windows that see one part alone, scalers of the past, holes and masks."""

import itertools

import jax
import numpy as np
import pytest

from recurrax.datasets import SPLITS, Scaler, Scalers, Series

HOUR = np.timedelta64(1, "h")


def clock(rows: int, start: int = 0) -> np.ndarray:
    """Column 0 is the row's own number, column 1 ten times that."""
    return np.stack([np.arange(rows), 10 * np.arange(rows)], axis=1) + start


def own(arrays, column: int = 0) -> np.ndarray:
    """The rows that each window is made of, by what they name themselves, ``[n, length + horizon]``."""
    past, future = np.asarray(arrays.inputs)[..., column], np.asarray(arrays.targets)[..., column]
    return np.concatenate([past, future], axis=1).astype(int)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("gap", [0, 4])
def test_no_window_reaches_into_another_part(gap, stride):
    parts = Series(clock(100)).split((0.6, 0.2, 0.2), gap=gap)
    data = parts.windows(length=5, horizon=2, stride=stride)
    rows = {split: own(getattr(data, split)) for split in SPLITS}
    ranges = {0: [(0, 60), (60, 80), (80, 100)], 4: [(0, 56), (60, 78), (82, 100)]}[gap]
    for split, (start, end) in zip(SPLITS, ranges, strict=True):
        first = np.arange(start, end - 6, stride)  # all windows of this part, and no other
        np.testing.assert_array_equal(rows[split], first[:, None] + np.arange(7))
    for before, after in itertools.pairwise(SPLITS):
        assert rows[after].min() - rows[before].max() > gap


def test_cuts_are_scikit_learns():
    selection = pytest.importorskip("sklearn.model_selection")
    parts = Series(clock(60)).split((0.5, 0.25, 0.25), gap=4)
    rows = [getattr(parts, split).values[:, 0].astype(int) for split in SPLITS]
    size = len(rows[2])
    splitter = selection.TimeSeriesSplit(2, test_size=size, gap=4)
    *_, (rest, test) = splitter.split(range(60))
    *_, (train, validation) = splitter.split(rest)
    for found, expected in zip(rows, (train, validation, test), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_each_series_is_cut_and_none_is_left_by_a_window():
    series = Series([clock(40), clock(20, start=1000)])
    parts = series.split((0.5, 0.25, 0.25))
    assert parts.sizes == (30, 15, 15)
    data = parts.windows(4, 1)
    for split in SPLITS:
        rows = own(getattr(data, split))
        assert (np.diff(rows) == 1).all()
        assert np.asarray(getattr(data, split).groups).tolist() == (rows[:, 0] >= 1000).astype(int).tolist()
    assert own(data.train)[:, -1].max() == 1009 and own(data.test)[:, 0].min() == 30
    whole = series.windows(4, 1)
    assert len(whole) == 36 + 16 and set(whole.groups.tolist()) == {0, 1}


def test_windows_that_overlap_are_never_split():
    with pytest.raises(ValueError, match="1 groups in the fractions"):
        Series(clock(100)).windows(5).split()
    data = Series([clock(20, 1000 * n) for n in range(10)]).windows(5).split((0.6, 0.2, 0.2))
    series = [set((own(getattr(data, split)) // 1000).ravel()) for split in SPLITS]
    assert [len(part) for part in series] == [6, 2, 2] and len(set.union(*series)) == 10


def test_cuts_at_given_times():
    times = np.datetime64("2013-01-01") + HOUR * np.arange(100)
    series = Series([clock(100), clock(100, 1000)], [times, times])
    parts = series.split_at(times[60], "2013-01-04T08", gap=5 * HOUR)
    rows = [getattr(parts, split).values[:, 0].astype(int) for split in SPLITS]
    expected = [range(55), range(60, 75), range(80, 100)]
    for found, part in zip(rows, expected, strict=True):
        assert found.tolist() == [*part, *(1000 + n for n in part)]
    assert [getattr(parts, split).starts.sum() for split in SPLITS] == [2, 2, 2]
    with pytest.raises(ValueError, match="split_at needs times"):
        Series(clock(100)).split_at(60, 80)
    with pytest.raises(ValueError, match="the test part of series has no rows"):
        series.split_at(times[60], times[99] + HOUR)


def test_no_window_spans_a_hole():
    kept = np.r_[0:10, 12:30]
    series = Series(clock(30)[kept], kept, max_step=1)
    assert series.starts.nonzero()[0].tolist() == [0, 10]
    rows = own(series.windows(3, 1))
    assert (np.diff(rows) == 1).all() and len(rows) == 7 + 15
    assert Series(clock(30)[kept], kept).starts.sum() == 1
    days = np.datetime64("2013-01-01") + HOUR * kept
    assert Series(clock(30)[kept], days, max_step=HOUR).starts.nonzero()[0].tolist() == [0, 10]


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
def test_scalers_know_the_training_part_alone(kind):
    values = np.random.default_rng(1).normal(5, 3, (100, 2))
    parts = Series(values, names=("a", "b")).split((0.6, 0.2, 0.2))
    scaled = parts.scaled(kind)
    assert scaled.scaler == Scaler.fit(values[:60], kind)
    values[60:] += 100  # another future changes nothing in the past
    other = Series(values, names=("a", "b")).split((0.6, 0.2, 0.2)).scaled(kind)
    assert other.scaler == scaled.scaler and other.train == scaled.train and other.test != scaled.test
    data = scaled.windows(4, 2, targets="b")
    assert data.scalers == Scalers(scaled.scaler, scaled.scaler.columns([1]))
    np.testing.assert_allclose(
        data.scalers.targets.inverse(data.test.targets)[0, :, 0], values[84:86, 1] - 100, rtol=1e-5
    )
    with pytest.raises(ValueError, match="series is scaled already"):
        scaled.scaled()
    labels = parts.scaled(kind, columns="a")
    assert (
        labels.scaler.columns([0]) == scaled.scaler.columns([0]) and labels.test.values[0, 1] == parts.test.values[0, 1]
    )
    assert labels.windows(4, 2, targets="b").scalers.targets == Scaler((0.0,), (1.0,))


def test_columns_are_chosen_by_name_or_number():
    series = Series(clock(20), names=("now", "ten"))
    arrays = series.windows(3, 2, inputs=["ten", 0], targets="now")
    assert arrays.inputs[4].tolist() == [[40, 4], [50, 5], [60, 6]] and arrays.targets[4].tolist() == [[7], [8]]
    assert series.windows(3, inputs=1).inputs.shape == (17, 3, 1)
    for wanted in ("later", 2, -1, []):
        with pytest.raises(ValueError, match="allowed: now, ten, or numbers from 0 to 1"):
            series.windows(3, targets=wanted)


def test_missing_values_are_refused_by_their_place():
    values = clock(10).astype(float)
    values[4:6, 1] = np.nan
    with pytest.raises(ValueError, match=r"row 4 of column 'ten' is nan, the first of 2 such values; allowed: finite"):
        Series(values, names=("now", "ten"))
    with pytest.raises(ValueError, match=r"row 4 \(time 2013-01-05\) of column '1' is nan"):
        Series(values, np.datetime64("2013-01-01") + np.arange(10))
    values[0, 0] = np.inf
    with pytest.raises(ValueError, match="row 0 of column '0' is inf; allowed"):
        Series(values, missing="mask")


def test_missing_values_are_masked():
    values = 1 + clock(40).astype(float)
    values[3, 0] = values[8:11, 1] = np.nan
    parts = Series(values, missing="mask").split((0.5, 0.25, 0.25)).scaled()
    assert parts.scaler == Scaler.fit(values[:20])
    data = parts.windows(2, 2, targets=1)
    assert data.train.inputs.shape[1:] == (2, 4)
    first = np.asarray([first for first in range(17) if first + 2 not in (8, 9)])  # no target at all: left out
    np.testing.assert_array_equal(data.train.weights, ~np.isnan(values[first[:, None] + np.arange(2, 4), 1]))
    inputs, there = np.split(np.asarray(data.train.inputs), 2, axis=-1)
    rows = values[first[:, None] + np.arange(2)]
    np.testing.assert_array_equal(there, ~np.isnan(rows))
    np.testing.assert_allclose(inputs, np.nan_to_num(parts.scaler.transform(rows)), rtol=1e-5, atol=1e-6)
    assert data.test.inputs.shape[1:] == (2, 4) and (np.asarray(data.test.weights) == 1).all()
    np.testing.assert_allclose(data.scalers.inputs.inverse(inputs_of(data.test))[..., 2:], 1)
    steps = parts.steps()
    assert np.asarray(steps.train.weights).tolist() == [0 if n + 1 in (3, 8, 9, 10) else 1 for n in range(19)]


def inputs_of(arrays) -> np.ndarray:
    return np.asarray(arrays.inputs)


def test_steps_predict_what_comes_later_in_the_same_series():
    parts = Series([clock(40), clock(20, 1000)]).split((0.5, 0.25, 0.25))
    data = parts.steps(horizon=3, targets=0)
    assert data.sizes == (17 + 7, 7 + 2, 7 + 2)
    for split in SPLITS:
        inputs, targets, resets, weights = getattr(data, split)
        now = np.asarray(inputs)[:, 0]
        np.testing.assert_array_equal(np.asarray(targets)[:, 0], now + 3)
        assert np.asarray(resets).tolist() == [True, *(np.diff(now) != 1)] and weights is None
    assert isinstance(data.train.inputs, jax.Array)
    with pytest.raises(ValueError, match="every piece has at most horizon=20 rows"):
        parts.steps(20)


def test_series_are_known_by_their_contents():
    one, same = (Series(clock(20)).split().scaled() for _ in range(2))
    assert one == same and hash(one) == hash(same) and one.sha256 == same.sha256
    assert one.train == same.train and one.train != same.test
    assert one != Series(clock(20)).split()
    assert Series(clock(20)) != Series(clock(20), names=("a", "b"))
    assert Series(clock(20)) != Series([clock(10), clock(20)[10:]])
    assert one.windows(1) == same.windows(1) != one.windows(2)
    assert repr(Series([clock(3), clock(4)])) == "Series(7 rows in 2 pieces, columns 0, 1)"


def test_a_table_brings_its_names():
    class Table:
        columns = ("load", "degrees")

        def __array__(self, dtype=None, copy=None):
            return clock(5).astype(dtype or float)

    assert Series(Table()).names == ("load", "degrees")
    assert Series(np.arange(5)).values.shape == (5, 1) and Series([1, 2, 3]).values.shape == (3, 1)
    assert Series([[1, 2], [3, 4]]).values.shape == (2, 2)


ERRORS = {
    "shapes": (lambda: Series([np.ones((3, 2)), np.ones((3, 3))]), r"the series have shapes \[\(3, 2\), \(3, 3\)\]"),
    "three": (lambda: Series(np.ones((3, 2, 1))), r"shapes \[\(3, 2, 1\)\]; allowed: \[N, F\]"),
    "empty": (lambda: Series(np.ones((0, 2))), "a row or more"),
    "names": (lambda: Series(np.ones((3, 2)), names=("a",)), r"names=\('a',\) for 2 columns"),
    "doubled": (lambda: Series(np.ones((3, 2)), names=("a", "a")), "one for each, all different"),
    "missing": (lambda: Series(np.ones(3), missing="drop"), "missing='drop'; allowed: 'refuse', 'mask'"),
    "times": (lambda: Series(np.ones(3), [0, 2, 2]), "row 2 has the time 2, after 2; allowed: times that increase"),
    "too few": (lambda: Series(np.ones(3), [0, 2]), r"times have shape \(2,\); allowed: one for each row, \(3,\)"),
    "max_step": (lambda: Series(np.ones(3), max_step=1), "max_step=1 without times"),
    "gap": (lambda: Series(np.ones(30)).split(gap=-1), "a gap of 0 or more rows"),
    "two": (lambda: Series(np.ones(30)).split((0.5, 0.5)), "allowed: three numbers"),
    "short": (lambda: Series(np.ones(30)).split(gap=14), "2 rows of series 0 outside the gaps in the fractions"),
    "window": (lambda: Series(np.ones(5)).windows(5), "no window of length=5 and horizon=1 fits: .* has 5 "),
    "length": (lambda: Series(np.ones(5)).windows(0), "length=0; allowed: an int >= 1"),
    "stride": (lambda: Series(np.ones(5)).windows(1, stride=0.5), "stride=0.5; allowed: an int >= 1"),
    "scaler": (lambda: Series(np.ones(9)).split().scaled("log"), "scaler 'log'; allowed: 'standard', 'minmax'"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_is_allowed(name):
    make, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        make()
