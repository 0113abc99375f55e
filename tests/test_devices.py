"""Several devices, simulated, and several processes: the numbers of one, up to the order of floating-point sums."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
import trainee

from recurrax import training
from recurrax.training.ensemble import grid, make_ensemble
from recurrax.training.mesh import make_mesh

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-5  # absolute, after 20 updates in float32; 2e-7 was seen
PLAN = dataclasses.replace(trainee.PLAN, steps=20, batch_size=8, sweep={"learning_rate": (1e-2,)})

needs_eight = pytest.mark.skipif(jax.device_count() < 8, reason="needs 8 devices: JAX_NUM_CPU_DEVICES=8")


@pytest.mark.parametrize(
    "runs, batch_size, devices, shape",
    [
        (8, 32, 8, (8, 1)),
        (16, 32, 8, (8, 1)),
        (4, 32, 8, (4, 2)),
        (1, 32, 8, (1, 8)),
        (3, 32, 8, (1, 8)),
        (6, 32, 8, (2, 4)),
        (5, 1, 1, (1, 1)),
    ],
)
@needs_eight
def test_runs_are_split_first_then_the_batch(runs, batch_size, devices, shape):
    with warnings.catch_warnings(action="error"):
        assert make_mesh(runs, batch_size, jax.devices()[:devices]).devices.shape == shape


@needs_eight
def test_idle_devices_are_told():
    with pytest.warns(RuntimeWarning, match=r"3 runs of batch size 9 use 1 of 8 devices; make the number of runs"):
        make_mesh(3, 9)
    with pytest.raises(ValueError, match="make_mesh got no device"):
        make_mesh(3, 9, [])


@pytest.fixture(scope="module")
def alone():
    """Four seeds on one device."""
    return trainee.bits(trainee.train(None, dataclasses.replace(PLAN, seeds=(0, 1, 2, 3))))


@pytest.mark.parametrize(
    "seeds, devices",
    [
        ((0, 1, 2, 3), 8),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (((0,), 8), ((0, 1, 2, 3), 2))),
    ],
)
@needs_eight
def test_devices_change_no_number(alone, seeds, devices):
    """Runs over 4, 1 and 2 devices, the batch over 2, 8 and 1."""
    history = trainee.train(None, dataclasses.replace(PLAN, seeds=seeds, devices=devices))
    assert len(history.run.step.sharding.device_set) == devices
    for name, value in trainee.bits(history).items():
        expected = alone[name] if name == "steps" else alone[name][: len(seeds)]
        np.testing.assert_allclose(value, expected, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("seeds, devices, talk", [(8, 8, False), (1, 8, True), (4, 8, True)])
@needs_eight
def test_only_the_batch_makes_devices_talk(seeds, devices, talk):
    recipe = training.Recipe(trainee.build, trainee.TASK, training.adam, 8)
    ensemble = make_ensemble(recipe, seeds, jax.devices()[:devices])
    run = ensemble.start(*grid(tuple(range(seeds)), {})).run
    program = ensemble.train(3).lower(run, np.ones(seeds, bool), None).compile().as_text()
    assert ("all-reduce" in program) == talk
    if not talk:
        assert program.count(" all-gather(") == 1  # of the losses, once for all updates: every host reads them


@pytest.mark.parametrize("before, after", [pytest.param(8, 1, marks=pytest.mark.slow), (1, 8)])
@needs_eight
def test_a_run_goes_on_with_another_number_of_devices(tmp_path, alone, before, after):
    plan = dataclasses.replace(PLAN, seeds=(0, 1, 2, 3))
    trainee.train(tmp_path, dataclasses.replace(plan, steps=10, devices=before))
    history = trainee.train(tmp_path, dataclasses.replace(plan, devices=after))
    assert history.resumed_at == 10 and len(history.run.step.sharding.device_set) == after
    for name, value in trainee.bits(history).items():
        np.testing.assert_allclose(value, alone[name], rtol=0, atol=TOLERANCE, err_msg=name)


FLAGS = "--preset smoke --chunk 5 --learning-rate 1e-4 2e-4".split()  # so low that nothing is solved


def processes(port, steps, out):
    """Two processes of two devices each, on this machine."""
    flags = [*FLAGS, "--steps", str(steps), "--out", str(out)]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "recurrax", "train", *flags, "--hosts", f"localhost:{port},2,{process}"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in (0, 1)
    ]


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on_to_the_numbers_of_one(tmp_path):
    """SIGTERM to one of them; both save the same step and end; the next two go on and write everything once."""
    pytest.importorskip("tyro", reason="the command needs recurrax[cli]")
    from recurrax.cli.train import training
    from recurrax.cli.train.config import SMOKE

    both = processes(free_port(), 5000, tmp_path / "two")
    metrics = tmp_path / "two"
    end = time.monotonic() + 120
    while not any(path.read_text().count("\n") > 8 for path in metrics.glob("*/metrics.jsonl")):
        assert time.monotonic() < end and all(process.poll() is None for process in both), both[0].communicate()
        time.sleep(0.02)
    both[1].send_signal(signal.SIGTERM)
    told = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [143, 143], told
    assert all("stopped by SIGTERM at update" in text and "The same command resumes" in text for text in told)
    (folder,) = (path for path in metrics.iterdir() if path.is_dir())
    stopped = max(int(path.name) for path in (folder / "checkpoints").iterdir())

    steps = stopped + 10
    both = processes(free_port(), steps, tmp_path / "two")
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert "Not solved by" in told[0][0] and "Not solved by" not in told[1][0]  # one of them prints and writes
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "two").glob("*.json"))
    assert record["provenance"]["device"]["count"] == 4
    run = record["results"]["runs"]["GRU H=4"]
    assert run["resumed_at"] == stopped

    rates, out = (1e-4, 2e-4), tmp_path / "one"
    config = dataclasses.replace(SMOKE, chunk=5, steps=steps, learning_rate=rates, devices=1, out=out)
    task, (job,) = training.prepare(config)
    alone = training.train(config, job, task)
    for name in ("loss", "accuracy", "test_loss"):
        np.testing.assert_allclose(run[name], getattr(alone, name), rtol=0, atol=TOLERANCE, err_msg=name)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["seed"]) for row in rows] == [(row["step"], row["seed"]) for row in alone.rows()]
