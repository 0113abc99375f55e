"""Experiments on time series, on small synthetic data: what may leak, how days and alarms are judged, small runs."""

import importlib
import json
import sys

import jax
import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")
pytest.importorskip("sklearn", reason="the experiments need recurrax[experiments]")

from experiments import lab, windows
from experiments.anomaly import data as flights
from experiments.anomaly import judging
from experiments.baselines import blocks, linear
from experiments.forecasting import data as forecasting
from experiments.glucose import alarms
from experiments.glucose import data as glucose
from recurrax import datasets
from recurrax.heads import Laplace, Quantiles

RANDOM = np.random.default_rng(0)


def demand() -> dict:
    """Six weeks of half-hours."""
    steps = np.arange(6 * 336)
    rhythm = 3000 * np.sin(2 * np.pi * steps / 48) + 1000 * np.sin(2 * np.pi * steps / 336)
    return {"demand": 20_000 + rhythm + RANDOM.normal(0, 100, len(steps))}


def hours() -> dict:
    """A year of weather with a few holes."""
    times = np.arange("2013-01-01", "2014-01-01", dtype="datetime64[h]")
    steps = np.arange(len(times))
    temp = (
        55
        - 25 * np.cos(2 * np.pi * steps / 8760)
        + 8 * np.sin(2 * np.pi * steps / 24)
        + RANDOM.normal(0, 2, len(steps))
    )
    others = ("dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    columns = {name: RANDOM.normal(10, 1, len(steps)) for name in others} | {"temp": temp}
    columns["pressure"][50:60] = np.nan
    kept = np.delete(steps, [100, 101, 5000])
    return {"origin": np.full(len(kept), "JFK"), "time": times[kept], **{n: c[kept] for n, c in columns.items()}}


def prices() -> dict:
    """Four shares for 160 days."""
    dates, shares = np.datetime64("2010-01-01") + np.arange(160), forecasting.SHARES
    close = 100 * np.exp(np.cumsum(RANDOM.normal(0, 0.01, (len(shares), len(dates))), axis=1)).ravel()
    return {
        "symbol": np.repeat(shares, len(dates)), "date": np.tile(dates, len(shares)), "adjusted": close,
        "high": close * 1.01, "low": close * 0.99, "volume": RANDOM.uniform(1e6, 2e6, len(close)),
    }  # fmt: skip


def readings() -> dict:
    """Five days of glucose that falls low twice a day, with a hole and a reading that is repeated."""
    minutes = 5 * np.arange(5 * 288)
    values = 110 + 55 * np.sin(2 * np.pi * minutes / 720) + RANDOM.normal(0, 3, len(minutes))
    minutes = np.delete(minutes, range(300, 330))
    values = np.delete(values, range(300, 330))
    minutes, values = np.insert(minutes, 701, minutes[700] + 1), np.insert(values, 701, values[700])
    return {"time": np.datetime64("2010-03-24T00:00", "m") + minutes, "glucose": np.round(values)}


def departures() -> dict:
    """A flight an hour from each airport in 2013; on some days many are late and some are cancelled."""
    dates = np.arange("2013-01-01", "2014-01-01", dtype="datetime64[D]")
    shape = (len(dates), 3, flights.HOURS)
    bad = RANDOM.random(len(dates)) < 0.1
    delay = RANDOM.normal(5, 5, shape) + np.where(bad, 40, 0)[:, None, None]
    cancelled = (RANDOM.random(shape) < 0.2) & bad[:, None, None]
    times = dates.astype("datetime64[h]")[:, None, None] + (flights.FIRST + np.arange(flights.HOURS))
    return {
        "time": np.broadcast_to(times, shape).ravel(),
        "origin": np.broadcast_to(np.asarray(flights.AIRPORTS)[:, None], shape).ravel(),
        "dep_delay": np.where(cancelled, np.nan, delay).ravel(),
        "cancelled": cancelled.ravel(),
    }


ARRAYS = {
    "electricity": demand(), "weather": hours(), "stocks": prices(), "glucose": readings(), "flights": departures(),
}  # fmt: skip
CUTS = {  # of each, what makes its windows, and the rows that are the last 15%, or the test
    "electricity": (lambda: forecasting.electricity(None, 8), "demand"),
    "weather": (lambda: forecasting.weather(None, 8), "temp"),
    "stocks": (lambda: forecasting.stocks(None, 8), "adjusted"),
    "glucose": (lambda: glucose.windows(None, 8, 1), "glucose"),
    "flights": (lambda: flights.windows(flights.days(None), 2), "dep_delay"),
}
ROWS = {"electricity": 48, "weather": 24, "stocks": 1, "glucose": 12, "flights": 1}  # that a forecast reaches ahead


@pytest.fixture(autouse=True)
def arrays(monkeypatch):
    """The synthetic arrays in place of those on disk; a test may change its copy."""
    copies = {name: {key: np.array(value) for key, value in found.items()} for name, found in ARRAYS.items()}
    monkeypatch.setattr(datasets, "read", lambda name, data_dir=None: copies[name])
    return copies


@pytest.mark.parametrize("name", CUTS)
def test_no_target_of_a_later_part_lies_in_a_window_of_an_earlier_one(name):
    cut = CUTS[name][0]()
    last = {split: cut.origins[part].max() + ROWS[name] for split, part in cut.splits.items()}
    first = {split: cut.origins[part].min() + 1 for split, part in cut.splits.items()}
    assert last["train"] < first["validation"] and last["validation"] < first["test"]
    assert all(len(part) for part in cut.splits.values())


def altered(arrays: dict, name: str, cut) -> None:
    """Changes every number of the test part of a series, from its first target on."""
    values = arrays[name][CUTS[name][1]]
    start = cut.origins[cut.splits["test"]].min() + 1
    if name == "stocks":
        here = arrays[name]["date"] >= np.unique(arrays[name]["date"])[start]
    elif name == "flights":
        here = arrays[name]["time"] >= np.datetime64(flights.TEST)
    elif name == "weather":
        here = arrays[name]["time"] >= arrays[name]["time"][0] + start
    else:
        here = np.arange(len(values)) >= start + (name == "glucose")  # the reading that is left out
    values[here] = values[here] * 1.5 + 3


@pytest.mark.parametrize("name", CUTS)
def test_nothing_learnt_depends_on_the_test_part(name, arrays):
    """Scalers, fitted coefficients, inputs and targets of training and validation stay the same bits."""
    before = CUTS[name][0]()
    altered(arrays, name, before)
    after = CUTS[name][0]()
    assert not np.array_equal(before.targets[before.splits["test"]], after.targets[after.splits["test"]])
    for base in before.bases:
        tasks = [cut.task(base, Laplace()) for cut in (before, after)]
        assert tasks[0].data.scalers == tasks[1].data.scalers
        for split in ("train", "validation"):
            parts = (getattr(task.data, split) for task in tasks)
            for one, other in zip(*(jax.tree.leaves(part) for part in parts), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", CUTS)
def test_the_first_forecast_of_the_test_knows_nothing_of_what_it_forecasts(name, arrays):
    """Its inputs and bases stay the same when everything from its first target on is changed."""
    before = CUTS[name][0]()
    origin = before.splits["test"][0]
    altered(arrays, name, before)
    after = CUTS[name][0]()
    np.testing.assert_array_equal(before.inputs[origin], after.inputs[origin])
    for base, values in before.bases.items():
        np.testing.assert_array_equal(values[origin], after.bases[base][origin])


def test_no_window_of_glucose_spans_a_hole():
    minutes, _ = glucose.series(None)
    cut = glucose.windows(None, 8, 1)
    spans = minutes[cut.origins + glucose.STEPS] - minutes[cut.origins - 7]
    assert (np.diff(minutes) > 100).sum() == 1 and spans.max() <= 5 * (glucose.STEPS + 7) + 1
    assert (np.diff(minutes) >= 3).all()


def test_disrupted_days_are_no_input(arrays):
    """Of two flights that did not depart, which was cancelled changes the labels and nothing else."""
    before = flights.days(None)
    arrays["flights"]["cancelled"] &= False
    after = flights.days(None)  # a flight without a delay did not depart, cancelled or not
    np.testing.assert_array_equal(before.values, after.values)
    assert before.disrupted.any() and not after.disrupted.any()


def test_areas_are_those_of_scikit_learn_and_half_for_shuffled_labels():
    from sklearn.metrics import roc_auc_score

    disrupted = RANDOM.random(300) < 0.2
    score = np.round(RANDOM.normal(size=300) + disrupted, 1)  # with ties
    assert judging.area(score, disrupted) == pytest.approx(roc_auc_score(disrupted, score))
    low, high = judging.interval(score[None], disrupted)
    assert low < judging.area(score, disrupted) < high
    shuffled = [judging.area(score, RANDOM.permutation(disrupted)) for _ in range(200)]
    assert np.mean(shuffled) == pytest.approx(0.5, abs=0.02)


def test_episodes_leads_and_false_alarms_by_hand():
    times = 5 * np.arange(60)
    values = np.full(60, 100.0)
    values[20:23] = values[40] = 60.0
    alarm = np.zeros(60, bool)
    alarm[[16, 17, 50]] = True  # 20 minutes before the first episode; none before the second; one of no use
    right = np.zeros(60, bool)
    right[14:20] = right[34:40] = True
    found = alarms.episodes(times, values, alarm, right)
    assert (found["episodes"], found["foreseen"], found["lead"], found["alarms"]) == (2, 1, 20.0, 2)
    assert found["false_a_day"] == pytest.approx(1 / (60 / 288))
    assert alarms.threshold(np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, False, True, True])) == 0.6


def test_blocks_resample_means_as_the_theory_says():
    values = RANDOM.normal(3, 1, 400)
    sums = blocks.resampled(values[:, None], 4)[:, 0] / 400
    assert sums.mean() == pytest.approx(values.mean(), abs=0.02) and sums.std() == pytest.approx(0.05, rel=0.25)
    assert blocks.ratio(values, values, 4) == (1.0, 1.0)
    low, high = blocks.ratio(1.1 * values, values, 4)
    assert low == pytest.approx(1.1) and high == pytest.approx(1.1)


def test_a_shift_is_right_on_what_it_was_fitted_to():
    levels = (0.05, 0.5, 0.95)
    truth = RANDOM.normal(size=(1000, 2))
    quantiles = np.broadcast_to(np.array([-0.1, 0.3, 0.5]), (1000, 2, 3))
    moved = quantiles + windows.conformal(quantiles, truth, levels)
    np.testing.assert_allclose((truth[..., None] <= moved).mean(axis=0), np.tile(levels, (2, 1)), atol=2e-3)
    assert windows.coverage(truth, moved) == pytest.approx(0.9, abs=3e-3)


def test_quantiles_of_a_point_forecast_keep_it_as_their_median():
    """Also where all of its validation errors are on one side."""
    cut = forecasting.electricity(None, 8)
    for far in (0, 5000):
        point = cut.bases["last week"] + far
        found = windows.around(point, cut, (0.05, 0.5, 0.95))
        np.testing.assert_array_equal(found[..., 1], point)
        assert (np.diff(found, axis=-1) >= 0).all()


def test_linear_forecasts_find_a_linear_rule():
    inputs, weights = RANDOM.normal(size=(300, 3)), RANDOM.normal(size=(3, 2))
    splits = {"train": np.arange(200), "validation": np.arange(200, 250), "test": np.arange(250, 300)}
    targets = inputs @ weights + 1
    found, alpha = linear.ridge(inputs, targets, splits, (1e-6, 1e3))
    np.testing.assert_allclose(found, targets, atol=1e-4)
    assert alpha == 1e-6
    np.testing.assert_allclose(linear.slopes(inputs[:, 0], inputs[:, :1] * [[2.0, -0.5]], splits["train"]), [2, -0.5])


def test_scores_by_hand():
    truth = np.array([[1.0, 2.0], [3.0, 4.0]])
    quantiles = np.stack([truth - 1, truth + 0.5, truth + 2], axis=-1)
    found = windows.scores(truth, quantiles, (0.1, 0.5, 0.9), np.array([7, 7]))
    assert found["mae"] == 0.5 and found["coverage"] == 1 and found["horizon"] == [0.5, 0.5]
    assert found["pinball"] == pytest.approx(np.mean([0.1 * 1, 0.5 * 0.5, 0.1 * 2]))
    assert found["by_day"] == {"count": [2], "absolute": [0.5]}
    head = Quantiles((0.1, 0.9))
    entry = {"scaler": datasets.Scaler((1.0,), (2.0,))}
    base = np.full((1, 1), 10.0)
    np.testing.assert_allclose(
        windows.in_units(np.array([[[0.0, 5.0]]]), entry, head, base)[0, 0, 0, 1], 2 * 5.0 + 1 + 10, rtol=1e-6
    )


@pytest.mark.filterwarnings("ignore:.* devices")  # the smallest batches are for one
@pytest.mark.slow
@pytest.mark.parametrize("name", ["forecasting", "glucose", "anomaly"])
def test_a_small_run_writes_a_page_and_figures(name, tmp_path, monkeypatch, capsys):
    """And both are made from the record alone."""
    monkeypatch.setattr(sys, "argv", [f"experiments.{name}", "--preset", "smoke", "--out", str(tmp_path)])
    lab.run(f"experiments.{name}")
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert record["complete"] and path.stat().st_size < 300_000
    experiment = importlib.import_module(f"experiments.{name}")
    assert lab.document(experiment, record) == path.with_suffix(".md").read_text()
    assert path.with_suffix(".png").stat().st_size > 20_000
    assert "## In short, for a reader of an article on LSTMs" in capsys.readouterr().out


def test_missing_data_end_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["experiments.glucose", "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        lab.run("experiments.glucose")
    assert stopped.value.code == 2 and "get glucose" in capsys.readouterr().err
