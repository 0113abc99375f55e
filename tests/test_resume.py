"""A run that is killed, stopped or refused: what is saved is whole, what goes on ends where it would, bit for bit."""

import dataclasses
import fcntl
import functools
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import trainee

import recurrax as rx
from recurrax.report import check_folder
from recurrax.training import CheckpointError, Output, identity
from recurrax.training.checkpoint import Checkpoints

HERE = Path(__file__).parent
SHORT = dataclasses.replace(trainee.PLAN, steps=40)


@pytest.fixture(scope="module")
def spawn():
    """Starts a life in a process of its own, from a server that has imported everything and started nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["recurrax.training", "orbax.checkpoint.experimental.v1"])

    def start(folder, plan, log, result, options=None):
        process = context.Process(target=trainee.life, args=(str(folder), plan, str(log), str(result), options))
        process.start()
        return process

    return start


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The same run in one go, in this process."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    history = trainee.train(folder, checkpoint_every=500)  # how often it saves changes no number
    assert history.resumed_at is None
    return trainee.bits(history), (folder / "metrics.jsonl").read_text()


def lines(log):
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.001)


def half_written(folder):
    return any((folder / "checkpoints").glob("*.orbax-checkpoint-tmp"))


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_no_bit(tmp_path, spawn, uninterrupted, rounds):
    """SIGKILL while it starts, between saves and while a checkpoint is half-written; nothing that was safe is lost."""
    draw = random.Random(0)
    folder, log, result = tmp_path / "run", tmp_path / "log", tmp_path / "result.npz"
    in_saves = 0
    for moment in rounds * ["start", "chunk", "save", "save"]:
        process, before = spawn(folder, trainee.PLAN, log, result), len(lines(log))
        if moment == "start":
            time.sleep(draw.uniform(0, 1.2))
        else:
            wait_for(lambda before=before: len(lines(log)) > before)
            time.sleep(draw.uniform(0, 0.2))
        if moment == "save":
            wait_for(lambda: half_written(folder))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        in_saves += half_written(folder)
    assert in_saves >= rounds and lines(log)[-1][1] < trainee.PLAN.steps
    process = spawn(folder, trainee.PLAN, log, result)
    process.join()
    assert process.exitcode == 0
    assert_equal(result, uninterrupted[0])
    assert (folder / "metrics.jsonl").read_text() == uninterrupted[1]
    safe = 0
    for _, done, _ in lines(log):  # a life goes on from what was safe, or from the chunk that was being reported
        assert done > safe, f"update {done} was safe on disk and was done again"
        assert done - trainee.PLAN.chunk in (safe, safe + trainee.PLAN.chunk), "a chunk is missing"
        safe = done


def assert_equal(result, bits):
    with np.load(result) as arrays:
        assert set(arrays) == set(bits)
        for name, expected in bits.items():
            np.testing.assert_array_equal(arrays[name], expected, err_msg=name)


def test_sigterm_saves_and_ends_and_the_same_call_goes_on(tmp_path, spawn, uninterrupted):
    folder, log, result = tmp_path / "run", tmp_path / "log", tmp_path / "result.npz"
    process = spawn(folder, trainee.PLAN, log, result, {"checkpoint_every": 10_000})  # so that SIGTERM alone saves
    wait_for(lambda: len(lines(log)) > 3)
    process.terminate()
    process.join()
    assert process.exitcode == 143 and not result.exists()
    stopped = lines(log)[-1][1]
    assert (folder / "checkpoints" / str(stopped)).is_dir()
    process = spawn(folder, trainee.PLAN, log, result, {"checkpoint_every": 500})
    process.join()
    assert process.exitcode == 0
    assert next(line for line in lines(log) if line[0] is not None)[0] == stopped
    assert_equal(result, uninterrupted[0])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run with two checkpoints, at updates 30 and 40."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, trainee.bits(trainee.train(folder, SHORT))


@pytest.fixture
def copy(finished, tmp_path):
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def test_a_finished_run_is_read_back(copy, finished):
    history = trainee.train(copy, SHORT)
    assert history.resumed_at == 40
    for name, value in trainee.bits(history).items():
        np.testing.assert_array_equal(value, finished[1][name], err_msg=name)
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == ["30", "40"]


@pytest.mark.slow
def test_a_larger_budget_goes_on_and_a_smaller_one_is_refused(copy, tmp_path):
    plan = dataclasses.replace(SHORT, steps=55)
    longer, at_once = trainee.train(copy, plan), trainee.train(tmp_path / "other", plan)
    assert longer.resumed_at == 40 and longer.steps.tolist() == [0, 10, 20, 30, 40, 50, 55]
    for name, value in trainee.bits(at_once).items():
        np.testing.assert_array_equal(trainee.bits(longer)[name], value, err_msg=name)
    with pytest.raises(CheckpointError, match=r"holds a run of 55 updates already, and steps=40; allowed: at least"):
        trainee.train(copy, SHORT)


@pytest.mark.parametrize(
    "change, options, words",
    [
        ({"batch_size": 8}, {}, "plan.batch_size is 4 there and 8 here"),
        ({"sweep": {"learning_rate": (1e-3,)}}, {}, r"plan.sweep.learning_rate is \[0.001, 0.01\] there and \[0.001\]"),
        ({}, {"config": {"cell": "LSTM"}}, "config.cell is nothing there and LSTM here"),
    ],
)
def test_another_config_is_refused(copy, change, options, words):
    with pytest.raises(CheckpointError, match=f"holds a run with other settings: {words}.*Use another folder"):
        trainee.train(copy, dataclasses.replace(SHORT, **change), **options)


def test_another_model_is_refused(copy, monkeypatch):
    monkeypatch.setattr(trainee, "build", functools.partial(trainee.build, units=5))
    words = (
        r"other settings: build.units is 4 there and 5 here; model.head is Param float32\[4, 1\] there and Param "
        r"float32\[5, 1\] here; .*Use another folder"
    )
    with pytest.raises(CheckpointError, match=words):
        trainee.train(copy, SHORT)


def test_another_tree_is_refused(copy):
    """Though all that is described is the same."""
    checkpoints = Checkpoints(copy)
    arrays = {"other": np.zeros(3, np.float32)}
    with pytest.raises(
        CheckpointError, match=r"at step 40 .* another model or optimiser: best.* is float32\[4\] there"
    ):
        checkpoints.load(40, {"state": arrays})
    checkpoints.close()


def test_a_foreign_checkpoint_is_refused_and_left_alone(copy):
    (copy / "settings.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds what recurrax did not write.*Use another folder"):
        trainee.train(copy, SHORT)
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == ["30", "40"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"settings": 1}', '{"format": "x", "settings": {}}', ""])
def test_settings_that_cannot_be_read_are_refused(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"settings.json is not readable .* Use another folder"):
        trainee.train(tmp_path, SHORT)


def test_settings_of_a_newer_version_are_refused(copy):
    path = copy / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(
        CheckpointError, match=r"settings.json has format 2, which a newer recurrax wrote; allowed: up to 1"
    ):
        trainee.train(copy, SHORT)


NAMES = ["a[1]", "a*b", "a?b", "a\\b", "a b", "ä", "a%20b", "a{b}"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_may_have_any_name(tmp_path, name):
    """Orbax used to look for its files by a pattern that the name was part of: what it saved it could not load."""
    tree = {"state": {"a": jax.numpy.arange(3.0)}, "history": {"b": np.arange(4)}}
    (tmp_path / "axb").mkdir()  # what a*b and a?b would find too
    links = set(Path(tempfile.gettempdir()).glob("recurrax-*"))
    for step in (1, 2):
        checkpoints = Checkpoints(tmp_path / name)
        assert checkpoints.latest() == (step - 1 or None)
        checkpoints.save(step, tree)
        checkpoints.wait()
        checkpoints.close()
    checkpoints = Checkpoints(tmp_path / name)
    loaded = checkpoints.load(2, tree)
    checkpoints.close()
    np.testing.assert_array_equal(loaded["state"]["a"], np.arange(3.0))
    np.testing.assert_array_equal(loaded["history"]["b"], np.arange(4))
    assert set(Path(tempfile.gettempdir()).glob("recurrax-*")) <= links


def test_a_fit_goes_on_in_a_folder_with_brackets_in_its_name(tmp_path, finished):
    folder = tmp_path / "sizes [1, 2]" / "run"
    trainee.train(folder, dataclasses.replace(SHORT, steps=20))
    history = trainee.train(folder, SHORT)
    assert history.resumed_at == 20
    for name, value in trainee.bits(history).items():
        np.testing.assert_array_equal(value, finished[1][name], err_msg=name)


def test_a_name_that_orbax_cannot_read_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "[tmp]"))
    with pytest.raises(CheckpointError, match=r"Orbax cannot read from .*\[1\].*allowed: a path without any of"):
        trainee.train(tmp_path / "a[1]", SHORT)


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Output("~/run").folder == Output(Path("~") / "run").folder == tmp_path / "run"
    assert check_folder(Path("~/there")) == tmp_path / "there" and (tmp_path / "there").is_dir()


def test_every_damaged_file_is_found(copy):
    """A flipped bit, a cut, a missing file: of each file of the checkpoint, the arrays' own too."""
    files = [path for path in sorted((copy / "checkpoints" / "40").rglob("*")) if path.is_file()]
    assert len(files) > 5
    for path in files:
        whole, name = path.read_bytes(), re.escape(str(path.relative_to(copy / "checkpoints" / "40")))
        flipped = bytes([*whole[: len(whole) // 2], whole[len(whole) // 2] ^ 1, *whole[len(whole) // 2 + 1 :]])
        for content, words in (
            (flipped, "damaged or cut short"),
            (whole[:-1], "damaged or cut short"),
            (None, "missing"),
        ):
            path.unlink() if content is None else path.write_bytes(content)
            checkpoints = Checkpoints(copy)
            with pytest.raises(CheckpointError, match=rf"step 40 .* cannot be used: {name} is {words}.*from step 30"):
                checkpoints.load(40, {"state": {}})
            checkpoints.close()
            path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="cannot be used"):
        (copy / "checksums" / "40.json").write_text("")
        trainee.train(copy, SHORT)


def test_a_damaged_checkpoint_can_be_deleted_to_go_on_from_the_one_before(copy, finished):
    shutil.rmtree(copy / "checkpoints" / "40")  # as the error says
    history = trainee.train(copy, SHORT)
    assert history.resumed_at == 30
    for name, value in trainee.bits(history).items():
        np.testing.assert_array_equal(value, finished[1][name], err_msg=name)


@pytest.mark.parametrize("state", ["tmp", "committed"])
def test_a_half_written_checkpoint_is_ignored_and_removed(copy, finished, state):
    """Half a copy under Orbax's temporary name, or a copy that was committed and has no checksums yet."""
    if state == "tmp":
        (copy / "checkpoints" / "40").rename(copy / "checkpoints" / "40.orbax-checkpoint-tmp")
        next((copy / "checkpoints" / "40.orbax-checkpoint-tmp").rglob("_METADATA")).unlink()
    (copy / "checksums" / "40.json").unlink()
    history = trainee.train(copy, SHORT)
    assert history.resumed_at == 30
    for name, value in trainee.bits(history).items():
        np.testing.assert_array_equal(value, finished[1][name], err_msg=name)
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == ["30", "40"]


def test_two_processes_cannot_share_a_folder(copy):
    with (copy / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CheckpointError, match=r"another process is training in .*; allowed: one at a time"):
            trainee.train(copy, SHORT)


def test_keep_is_how_many_stay(tmp_path):
    trainee.train(tmp_path, SHORT, keep=3)
    for folder in ("checkpoints", "checksums"):
        assert sorted(path.stem for path in (tmp_path / folder).iterdir()) == ["20", "30", "40"]


def test_an_unwritable_folder_is_refused():
    with pytest.raises(ValueError, match=r"cannot write to the output folder '/proc/nowhere'.*allowed: a folder"):
        trainee.train(Path("/proc/nowhere"), SHORT)


def test_a_disk_that_is_too_full_is_noticed_before_a_checkpoint(copy, monkeypatch):
    usage = shutil.disk_usage(copy)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    words = (
        r"cannot write the checkpoint at step 50 .*No space left on device: 1,000 bytes are free, .* are needed\); the "
        r"one at step 40 is whole. Free space or mend the folder, then give the same command again"
    )
    with pytest.raises(CheckpointError, match=words):
        trainee.train(copy, dataclasses.replace(SHORT, steps=50))


def test_orbax_does_not_hide_what_went_wrong(copy):
    """It raises its own error once more when it is closed. A limit to the size of files makes it fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))  # metrics and settings are smaller, checkpoints larger
    try:
        words = r"cannot write the checkpoint at step 50 .*\(File too large\); the one at step 40 is whole. Free space"
        with pytest.raises(CheckpointError, match=words):
            trainee.train(copy, dataclasses.replace(SHORT, steps=50))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert trainee.train(copy, dataclasses.replace(SHORT, steps=50)).resumed_at == 40


def test_settings_that_cannot_be_written_are_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(identity, "write", full)
    with pytest.raises(CheckpointError, match=r"cannot write the settings to .*No space left on device.*same command"):
        trainee.train(tmp_path, SHORT)


def test_the_best_model_of_each_run_is_saved(copy):
    history = trainee.train(copy, SHORT)
    names = sorted(path.name for path in (copy / "best").iterdir())
    assert names == [f"seed={seed},learning_rate={rate}" for seed in (3, 5) for rate in (0.001, 0.01)]
    for run, (seed, rate) in enumerate(zip(history.seeds, history.settings["learning_rate"], strict=True)):
        folder = copy / "best" / f"seed={seed},learning_rate={rate}"
        model = rx.load(folder, like=jax.eval_shape(trainee.build, jax.random.key(0)))
        jax.tree.map(
            np.testing.assert_array_equal, model, jax.tree.map(lambda leaf, run=run: leaf[run], history.best_model)
        )
        about = json.loads((folder / "model.json").read_text())["about"]
        assert about["updates"] == history.best_at[run] and about["metrics"]["loss"] == float(history.loss[run].min())


def test_best_models_are_written_only_where_they_are_new(copy):
    paths = {rate: copy / "best" / f"seed=3,learning_rate={rate}" / "model.json" for rate in (0.001, 0.01)}
    before = paths[0.01].stat().st_mtime_ns
    shutil.rmtree(paths[0.001].parent)
    trainee.train(copy, SHORT)
    assert paths[0.01].stat().st_mtime_ns == before and paths[0.001].exists()
    history = trainee.train(copy, dataclasses.replace(SHORT, steps=60))
    assert history.best_at[0] > 40
    assert json.loads(paths[0.001].read_text())["about"]["updates"] == history.best_at[0]


FULL_DISK = """
mount -t tmpfs -o size=3m tmpfs "$1" || exit 77
train() { "$2" "$3/trainee.py" "$1/run" "$1/log" "$1/result.npz" "$4"; }
train "$1" "$2" "$3" 20 || exit 1
dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null
train "$1" "$2" "$3" 40; echo "status $?"
rm "$1/filler"
train "$1" "$2" "$3" 40 || exit 2
cat "$1/log"
mount -o remount,ro "$1"
train "$1" "$2" "$3" 50 && exit 3 || exit 0
"""


@pytest.mark.slow
def test_a_full_disk_ends_with_a_clear_error_and_loses_nothing(tmp_path):
    """On a tmpfs of 3 MB, in a mount namespace of its own: full after 20 updates, then with room again."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh"]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare, so no small disk to fill")
    done = subprocess.run([*command, str(tmp_path), sys.executable, str(HERE)], capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "status 1" in done.stdout
    assert re.search(r"cannot write the (checkpoint at step 30|metrics).*No space left on device", done.stderr), (
        done.stderr
    )
    assert "Free space or mend the folder, then give the same command again" in done.stderr
    assert "Event loop is closed" not in done.stderr and "_SignalingThread" not in done.stderr
    assert re.search("cannot write to the output folder .*Read-only file system.*allowed: a folder", done.stderr)
    log = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert [(resumed, step) for resumed, step, _ in log] == [(None, 10), (None, 20), (20, 30), (20, 40)]
