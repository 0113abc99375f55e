"""A history as a figure, a table and one line."""

import sys
from typing import Any

import numpy as np
import pytest

from recurrax.training import History, curves

STEPS = np.arange(6) * 10


def a_history(settings: dict[str, Any] | None = None, **metrics: Any) -> Any:
    """Four runs of 50 updates, of which the second solves the task at update 30 and the last diverges at 25."""
    loss = np.outer([1.0, 0.5, 2.0, 1.0], [1, 0.5, 0.2, 0.1, 0.05, 0.02])
    loss[3, 3:] = np.nan
    return History(
        state=None,  # type: ignore
        seeds=np.array([3, 5, 3, 5]), settings={"rate": np.array([0.1, 0.1, 0.2, 0.2]), **(settings or {})},
        train_loss=np.arange(200.0).reshape(4, 50), steps=STEPS,
        metrics={"loss": loss, "accuracy": np.linspace(0, 1, 24).reshape(4, 6), **metrics},
        solved_at=np.array([-1, 30, -1, -1]), diverged_at=np.array([-1, -1, -1, 25]), 
    )  # fmt: skip


def labels(figure: Any) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_one_panel_for_each_metric_with_every_run_and_the_medians(tmp_path):
    pytest.importorskip("matplotlib", reason="plots need recurrax[experiments]")
    history = a_history()
    figure = curves.plot(history, chance=0.4, criterion={"loss": 0.06, "accuracy": 0.9})
    left, right = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["held-out loss", "held-out accuracy"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"updates"}
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear")
    assert labels(figure) == ["rate 0.1", "rate 0.2", "chance", "criterion", "criterion met", "diverged"]
    drawn = [line.get_ydata() for line in left.lines if len(line.get_xdata()) == 6]
    for run in history.metrics["loss"]:
        assert any(np.array_equal(run, line, equal_nan=True) for line in drawn)
    medians = [line.get_ydata() for line in left.lines if line.get_linewidth() == 2]
    np.testing.assert_allclose(medians[0], history.metrics["loss"][:2].mean(axis=0))
    np.testing.assert_allclose(medians[1][3:], history.metrics["loss"][2, 3:])  # without the one that diverged
    marks = {line.get_marker(): line.get_xydata().tolist() for line in left.lines if line.get_linestyle() == "None"}
    assert marks == {"o": [[30, 0.05]], "X": [[20, 0.2]]}
    assert [line.get_ydata()[0] for line in right.lines if line.get_linestyle() == ":"] == [0.9]
    assert not [line for line in right.lines if line.get_linestyle() == "--"]  # a number is a level of the loss
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_metrics_are_chosen_by_name_and_at_most_four():
    pytest.importorskip("matplotlib", reason="plots need recurrax[experiments]")
    more = {name: np.ones((4, 6)) for name in "abc"}
    history = a_history(**more, learning_rate=np.ones((4, 6)))
    assert len(curves.plot(history).axes) == 4
    assert [axes.get_ylabel() for axes in curves.plot(history, "learning_rate").axes] == ["learning rate"]
    assert len(curves.plot(history, ["accuracy", "a", "loss"]).axes) == 3
    for wrong in (["loss", "perplexity"], [], ["loss", "accuracy", "a", "b", "c"]):
        with pytest.raises(ValueError, match=r"metrics=.*; allowed: one to 4 of loss, accuracy, a, b, c"):
            curves.plot(history, wrong)
    with pytest.raises(ValueError, match=r"chance names 'rmse'; allowed: loss, accuracy"):
        curves.plot(history, chance={"rmse": 0.1})


def test_odd_histories_are_drawn_too():
    """A single run, a single evaluation, losses that are all NaN, many points of a sweep."""
    pytest.importorskip("matplotlib", reason="plots need recurrax[experiments]")
    one = History(
        state=None,  # type: ignore
        seeds=np.array([7]), settings={}, train_loss=np.zeros((1, 0)), steps=np.array([0]),
        metrics={"loss": np.array([[0.5]])}, solved_at=np.array([-1]), diverged_at=np.array([-1]),
    )  # fmt: skip
    assert labels(curves.plot(one)) == ["seed 7"]
    one.metrics = {"loss": np.array([[np.nan]])}
    curves.plot(one)
    many = History(
        state=None,  # type: ignore
        seeds=np.zeros(30, int), settings={"rate": np.arange(30.0)}, train_loss=np.zeros((30, 50)), steps=STEPS,
        metrics={"loss": np.ones((30, 6))}, solved_at=np.full(30, -1), diverged_at=np.full(30, -1),
    )  # fmt: skip
    assert labels(curves.plot(many)) == ["rate 0", "28 between them", "rate 29"]
    many.steps = np.zeros(0, int)
    with pytest.raises(ValueError, match="allowed: one or more evaluations"):
        curves.plot(many)


def test_a_table_has_a_row_for_each_run_and_evaluation():
    pandas = pytest.importorskip("pandas", reason="tables need recurrax[dev]")
    history = a_history(learning_rate=np.full((4, 6), 0.3))
    table = curves.to_dataframe(history)
    assert list(table.columns) == ["run", "step", "seed", "rate", "train_loss", "loss", "accuracy", "learning_rate"]
    assert len(table) == 24 and isinstance(table, pandas.DataFrame)
    row = table[(table.run == 2) & (table.step == 30)].iloc[0]
    assert (row.seed, row.rate, row.loss) == (3, 0.2, 0.2)
    assert row.train_loss == history.train_loss[2, 20:30].mean()
    assert table[table.step == 0].train_loss.isna().all()


def test_a_metric_with_the_name_of_a_setting_gets_another_one():
    pytest.importorskip("pandas", reason="tables need recurrax[dev]")
    columns = curves.to_dataframe(a_history(rate=np.full((4, 6), 9.0)))
    assert columns["rate"].tolist() == 12 * [0.1] + 12 * [0.2]
    assert columns["current_rate"].tolist() == 24 * [9.0]
    assert columns["run"].tolist() == [run for run in range(4) for _ in STEPS]
    assert columns["step"].tolist() == 4 * STEPS.tolist()


def test_what_is_missing_is_told_how_to_get(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"to_dataframe needs pandas.*python -m pip install pandas"):
        curves.to_dataframe(a_history())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'plot needs Matplotlib.*python -m pip install "recurrax\[experiments\]"'):
        curves.plot(a_history())


def test_a_history_in_one_line():
    history = a_history()
    assert curves.describe(history) == (
        "4 runs, 50 updates, lowest held-out loss 0.03 (median), 1/4 solved, 1/4 diverged"
    )
    history.metrics["loss"][:] = np.nan
    assert "lowest held-out loss inf (median)" in curves.describe(history)
    empty = History(
        state=None,  # type: ignore
        seeds=np.zeros(1), settings={}, steps=np.zeros(0, int), metrics={"loss": np.zeros((1, 0))},
        solved_at=np.array([-1]), diverged_at=np.array([-1]),
    )  # fmt: skip
    assert curves.describe(empty) == "1 run, 0 updates, 0/1 solved"
