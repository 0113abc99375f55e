"""What people see of a run: metrics on disk, TensorBoard on request, a line, a table and a figure of its history."""

import csv
import dataclasses
import json
import sys

import numpy as np
import pytest
import trainee

from recurrax import training
from recurrax.tasks import Task, make_task
from recurrax.training import Output

PLAN = dataclasses.replace(trainee.PLAN, steps=20)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    return folder, trainee.train(folder, PLAN)


def test_jsonl_has_a_line_for_each_run_at_each_evaluation(run):
    folder, history = run
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 4 * 3
    assert rows[0] == {
        "step": 0, "seed": 3, "learning_rate": 1e-3, "train_loss": None,
        "loss": float(history.loss[0, 0]), "accuracy": float(history.accuracy[0, 0]),
    }  # fmt: skip
    last = rows[-1]
    assert (last["step"], last["seed"], last["learning_rate"]) == (20, 5, 1e-2)
    assert last["loss"] == float(history.loss[3, 2])
    assert last["train_loss"] == pytest.approx(float(history.train_loss[3, 10:].mean()), rel=1e-6)


def test_csv_has_the_same_rows(run):
    folder, _ = run
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [int(row["step"]) for row in rows] == [line["step"] for line in lines]
    assert [float(row["loss"]) for row in rows] == [line["loss"] for line in lines]
    assert list(rows[0]) == ["step", "seed", "learning_rate", "train_loss", "loss", "accuracy"]


def test_settings_say_what_the_run_is_and_what_made_it(run):
    written = json.loads((run[0] / "settings.json").read_text())
    assert written["settings"]["task"] == {"class": "recurrax.tasks.Adding", "length": 6, "variant": "arjovsky2016"}
    assert written["settings"]["plan"]["seeds"] == [3, 5]
    assert {"versions", "device", "commit", "command", "time"} <= set(written["about"])


def test_metrics_are_there_while_it_trains(tmp_path):
    """A crash after the first chunk leaves its line."""

    def crash(history):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        training.fit(
            trainee.build, trainee.TASK, training.adam, PLAN, Output(tmp_path, checkpoint_every=100, on_chunk=crash)
        )
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == 4 * [0] + 4 * [10]


@pytest.mark.slow
def test_tensorboard_on_request(tmp_path):
    pytest.importorskip("tensorboardX", reason="event files need recurrax[tensorboard]")
    from tensorboardX.proto import event_pb2

    history = trainee.train(tmp_path, PLAN, tensorboard=True)
    (path,) = (tmp_path / "tensorboard").glob("events.*")
    events, data = [], path.read_bytes()
    while data:  # a record: length, its checksum, the event, its checksum
        size = int.from_bytes(data[:8], "little")
        events.append(event_pb2.Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    seen = {(v.tag, event.step): v.simple_value for event in events for v in event.summary.value}
    assert seen["loss/seed-5-learning_rate-0.01", 20] == pytest.approx(float(history.loss[3, 2]))
    assert seen["accuracy/seed-3-learning_rate-0.001", 10] == pytest.approx(float(history.accuracy[0, 1]))
    assert {step for _, step in seen} == {0, 10, 20}


def test_tensorboard_that_is_missing_is_told_how_to_get(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'python -m pip install "recurrax\[tensorboard\]"'):
        trainee.train(tmp_path, PLAN, tensorboard=True)


class Plain(Task):
    """A task without a criterion."""

    def sample(self, key):
        raise NotImplementedError

    def loss(self, outputs, example):
        raise NotImplementedError


def test_summary_of_a_run_whose_losses_are_all_nan(run):
    from recurrax.training.fit import summary

    history = dataclasses.replace(run[1], metrics={"loss": np.full((4, 3), np.nan)})
    assert summary(history) == "loss nan, 0/4 solved"
    assert summary(history, judged=False) == "loss nan"


@pytest.mark.parametrize("task, judged", [(make_task("adding", 5), True), (Plain(), False)], ids=["adding", "plain"])
def test_only_a_task_with_a_criterion_says_how_many_runs_solve_it(task, judged):
    from recurrax.training.fit import judges

    assert judges(task) == judged


def test_a_history_is_shown_in_a_line_a_table_and_a_figure(run):
    _, history = run
    assert repr(history).startswith("<History: 4 runs, 20 updates, lowest held-out loss 0.")
    assert len(repr(history)) < 120
    pytest.importorskip("matplotlib", reason="plots need recurrax[experiments]")
    assert len(history.plot("loss", chance=trainee.TASK.chance_level()).axes) == 1
    pytest.importorskip("pandas", reason="tables need recurrax[dev]")
    assert len(history.to_dataframe()) == 4 * 3


@pytest.mark.parametrize("change", [{"keep": 0}, {"checkpoint_every": -1}, {"keep": 1.5}])
def test_output_refuses(change):
    (name,) = change
    with pytest.raises(ValueError, match=rf"Output got {name}=.*; allowed: an int >= 1"):
        Output(**change)
