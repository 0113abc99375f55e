"""What users train, killed by SIGKILL in the middle and started again, ends bit for bit where it would have ended."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trainees

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]
HERE = Path(__file__).parent


def life(name, folder, log, result):
    command = [sys.executable, HERE / "trainees.py", name, folder, log, result]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parent), os.getenv("PYTHONPATH")]))
    }
    with Path(f"{log}.err").open("a") as errors:
        return subprocess.Popen([*map(str, command)], env=environment, stderr=errors)


@pytest.mark.parametrize("name", trainees.RUNS)
def test_a_killed_run_ends_where_it_would_have_ended(name, tmp_path):
    log, result = tmp_path / "log", tmp_path / "result.npz"
    for death in range(3):
        process, seen = life(name, tmp_path / "run", log, result), len(lines(log))
        end = time.monotonic() + 240
        while len(lines(log)) < seen + 2 + death:
            assert time.monotonic() < end and process.poll() is None, errors(log)
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert lines(log)[-1] < trainees.PLAN.steps
    process = life(name, tmp_path / "run", log, result)
    assert process.wait() == 0, errors(log)
    with np.load(result) as found:
        expected = trainees.bits(trainees.train(name, tmp_path / "whole"))
        assert set(found) == set(expected)
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value, err_msg=key)


def errors(log):
    return Path(f"{log}.err").read_text()


def lines(log):
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
