"""A file of command lines as one job array: on this machine, on a stand-in for SLURM, stopped and queued again."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytest.importorskip("tyro", reason="the launcher needs recurrax[experiments]")
pytest.importorskip("submitit", reason="the launcher needs recurrax[launch]")

import submitit

from experiments import launch
from experiments.preemptible import Preemptible

ROOT = Path(__file__).parents[1]
GOOD = "recurrax tune --help"
BAD = "recurrax tune --rouds 3"


@pytest.fixture
def jobs(tmp_path):
    """Writes the lines of a JOBS file."""

    def write(*lines):
        path = tmp_path / "jobs.txt"
        path.write_text("\n".join(lines))
        return str(path)

    return write


def run(*arguments):
    command = [sys.executable, "-m", "experiments.launch", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_three_jobs_of_which_one_fails(jobs, tmp_path):
    done = run(jobs("# a sweep", "", GOOD, BAD, "  " + GOOD), "--folder", tmp_path / "logs")
    assert done.returncode == 1, done.stderr
    said = done.stdout.splitlines()
    queued = [line.split(maxsplit=2) for line in said[:3]]
    assert [(word, command) for word, _, command in queued] == [("queued", GOOD), ("queued", BAD), ("queued", GOOD)]
    numbers = [number for _, number, _ in queued]
    assert said[-1] == "2 of 3 jobs ok"
    assert {f"ok      {numbers[0]}  {GOOD}", f"failed  {numbers[1]}  {BAD}", f"ok      {numbers[2]}  {GOOD}"} < set(
        said
    )
    log = tmp_path / "logs" / f"{numbers[1]}_0_log.err"
    assert f"    log: {log}" in said
    assert "Unrecognized options: --rouds" in done.stdout and "Unrecognized options: --rouds" in log.read_text()
    assert "Traceback" not in done.stdout
    assert "--rounds INT" in (tmp_path / "logs" / f"{numbers[0]}_0_log.out").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("line, status, last", [(GOOD, 0, "1 of 1 jobs ok"), (BAD, 1, "0 of 1 jobs ok")])
def test_debug_runs_the_lines_in_this_process(jobs, tmp_path, line, status, last):
    done = run(jobs(line), "--cluster", "debug", "--folder", tmp_path)
    assert done.returncode == status
    assert done.stdout.splitlines()[-1] == last
    assert ("returned non-zero exit status 2" in done.stdout) == bool(status)


@pytest.mark.parametrize(
    "lines, flags, words",
    [
        ([GOOD], ["--cluster", "pbs"], "cluster='pbs'; allowed: local, slurm, debug. Try --cluster local."),
        ([GOOD], ["--timeout-min", "0"], "timeout_min=0; allowed: an int >= 1. Try --timeout-min 1."),
        ([GOOD], ["--requeues", "-1"], "requeues=-1; allowed: an int >= 0."),
        ([GOOD], ["--mem-gb", "nan"], "mem_gb=nan; allowed: a finite number > 0."),
        ([GOOD], ["--folder", "/proc/nowhere"], "cannot write to the folder '/proc/nowhere'; allowed:"),
        ([GOOD], ["--nodes", "2"], "LocalExecutor can use only one node."),
        (["# nothing", ""], [], "has no command line; allowed: one or more."),
        ([GOOD, "python -m " + GOOD], [], "starts with 'python -m'; allowed: recurrax train, another command of"),
        ([GOOD, "experiments.sped"], [], "starts with 'experiments.sped'; allowed: recurrax train"),
        ([GOOD, "experiments.no.where -x"], [], "starts with 'experiments.no.where -x'; allowed: recurrax train"),
        ([GOOD, "recurrax tarin"], [], "starts with 'recurrax tarin'; allowed: recurrax train"),
        ([GOOD, "-m"], [], "starts with ''; allowed: recurrax train"),
        ([GOOD, "recurrax"], [], "line 2 of "),
        ([GOOD + " --out 'a"], [], "No closing quotation"),
    ],
)
def test_bad_input_ends_in_one_line_before_anything_is_submitted(jobs, tmp_path, capsys, lines, flags, words):
    folder = tmp_path / "logs"
    assert launch.main([jobs(*lines), "--folder", str(folder), *flags]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and words in printed.err
    assert not folder.exists() or not list(folder.iterdir())


def test_lines_are_commands_of_recurrax_or_experiments(jobs):
    lines = jobs("recurrax train --cells LSTM", "-m recurrax train", "experiments.gates --hidden 8")
    assert launch.read(Path(lines)) == [
        ["recurrax", "train", "--cells", "LSTM"], ["recurrax", "train"], ["experiments.gates", "--hidden", "8"],
    ]  # fmt: skip


def test_a_missing_file_is_named(tmp_path, capsys):
    assert launch.main([str(tmp_path / "none.txt"), "--folder", str(tmp_path)]) == 2
    assert f"error: no file '{tmp_path / 'none.txt'}'; allowed: a text file" in capsys.readouterr().err


def test_a_missing_submitit_is_named_with_its_extra(jobs, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert launch.main([jobs(GOOD), "--folder", str(tmp_path)]) == 2
    assert 'python -m pip install "recurrax[launch]"' in capsys.readouterr().err


def test_help_explains_every_flag(capsys):
    with pytest.raises(SystemExit) as stopped:
        launch.main(["--help"])
    said = capsys.readouterr().out
    assert not stopped.value.code
    for name in launch.Config.__dataclass_fields__:
        assert ("JOBS" if name == "jobs" else f"--{name.replace('_', '-')}") in said, name


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Stands in for SLURM's commands: keeps what is submitted, or refuses it; runs nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(script):
        for name, text in {"sbatch": script, "srun": ":"}.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        return folder / "submitted"

    return write


def test_slurm_gets_one_array_with_what_was_asked_for_and_is_not_waited_for(jobs, tmp_path, capsys, sbatch):
    submitted = sbatch(f'cat "$1" >> {tmp_path}/bin/submitted; echo Submitted batch job 71')
    flags = (
        "--cluster slurm --timeout-min 240 --gpus-per-node 1 --mem-gb 16 --nodes 2 --tasks-per-node 4 "
        "--cpus-per-task 3 --slurm-partition gpu --slurm-array-parallelism 2 --slurm-signal-delay-s 120 --requeues 5"
    )
    folder = tmp_path / "logs"
    arguments = [jobs(GOOD, BAD, GOOD), "--folder", str(folder), *flags.split(), "--slurm-setup", "module load cuda"]
    assert launch.main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"queued  71_0  {GOOD}", f"queued  71_1  {BAD}", f"queued  71_2  {GOOD}", f"logs in {folder}",
    ]  # fmt: skip
    lines = submitted.read_text().splitlines()
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert asked >= {
        "array=0-2%2", "time=240", "gpus-per-node=1", "mem=16GB", "nodes=2", "ntasks-per-node=4", "partition=gpu",
        "signal=USR2@120", "cpus-per-task=3",
    }  # fmt: skip
    assert not any(flag.startswith(("account", "qos", "constraint")) for flag in asked)
    assert lines.count("#!/bin/bash") == 1 and "module load cuda" in lines
    assert any(line.startswith("srun ") and "--cpus-per-task=3" in line for line in lines)
    kept = submitit.SlurmJob(folder, "71_1").submission()
    assert kept.function.arguments == tuple(BAD.split()) and kept.function.patience_s == 0.8 * 120
    assert (kept._timeout_min, kept._timeout_countdown) == (240, 5)


def test_what_slurm_refuses_is_said_in_one_line(jobs, tmp_path, capsys, sbatch):
    sbatch("echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    assert launch.main([jobs(GOOD), "--folder", str(tmp_path / "logs"), "--cluster", "slurm"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: sbatch: error: invalid partition specified: gpu"


STUBBORN = """
    import os, pathlib, signal, sys, time

    folder, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    with (folder / "lives").open("a") as file:
        file.write(f"{os.getppid()} ")
    if (folder / "saved").exists():
        sys.exit()

    def save(*_):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second SIGTERM ends it, as in the experiments
        time.sleep(seconds)
        (folder / "saved").touch()
        os._exit(143)

    signal.signal(signal.SIGTERM, save)
    (folder / "ready").touch()
    time.sleep(60)
"""


@pytest.fixture
def stubborn(tmp_path, monkeypatch):
    """A module that saves when it is asked to end, and has ended once it finds what it saved."""
    (tmp_path / "stubborn.py").write_text(textwrap.dedent(STUBBORN))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    return ["stubborn", str(tmp_path)]


def wait_for(path):
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("first", [[], [signal.SIGTERM, signal.SIGTERM]], ids=["asked", "warned"])
def test_a_preempted_job_saves_is_queued_again_and_goes_on(stubborn, tmp_path, first):
    executor = submitit.AutoExecutor(folder=tmp_path / "logs", cluster="local")
    executor.update_parameters(timeout_min=60)
    (job,) = executor.submit_array([Preemptible([*stubborn, "1"], patience_s=20)])
    wait_for(tmp_path / "ready")
    task = int((tmp_path / "lives").read_text())
    for number in [*first, signal.SIGUSR2]:
        os.kill(task, number)
        time.sleep(0.05)
    assert job.exception() is None
    assert (tmp_path / "saved").exists() and len((tmp_path / "lives").read_text().split()) == 2
    assert "this job is preempted" in job.stderr()


def interrupt(command, action, after):
    """Calls a command in this process, an action being taken by a signal handler once a file is there."""

    class Interrupted(BaseException):
        pass

    given = []

    def handle(*_):
        given.append(action())
        raise Interrupted

    before = signal.signal(signal.SIGUSR2, handle)
    waker = subprocess.Popen(
        [sys.executable, "-c", f"import os, pathlib, time\nwhile not pathlib.Path({str(after)!r}).exists():\n"
         f" time.sleep(0.02)\nos.kill({os.getpid()}, {int(signal.SIGUSR2)})"]
    )  # fmt: skip
    try:
        with pytest.raises(Interrupted):
            command()
    finally:
        waker.wait()
        signal.signal(signal.SIGUSR2, before)
    return given[0]


@pytest.mark.parametrize("seconds, patience_s, saved", [("0", 20, True), ("30", 0.3, False)])
def test_checkpoint_waits_for_the_save_and_gives_the_same_command(stubborn, tmp_path, seconds, patience_s, saved):
    command = Preemptible([*stubborn, seconds], patience_s)
    again = interrupt(command, command.checkpoint, tmp_path / "ready")
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function.arguments == ("stubborn", str(tmp_path), seconds) and again.function.patience_s == patience_s
    assert (tmp_path / "saved").exists() == saved
    assert command._child.wait(10) == (143 if saved else -signal.SIGKILL)


def test_checkpoint_before_the_start_gives_the_same_command():
    again = Preemptible(["experiments.gates"], 1.0).checkpoint()
    assert again.function.arguments == ("experiments.gates",) and again.function.patience_s == 1.0


@pytest.mark.parametrize("executor, sleeps", [("slurm", [600.0]), ("local", [])])
def test_a_command_stopped_by_sigterm_awaits_slurms_verdict_and_fails(monkeypatch, executor, sleeps):
    """An ended job is not requeued by SLURM; on this machine nothing follows."""
    slept = []
    monkeypatch.setattr("experiments.preemptible.time.sleep", lambda s: slept.append(s) if s > 1 else None)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", executor)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        Preemptible(["timeit", "-n1", "-r1", "import os; os._exit(143)"], 1.0)()
    assert failed.value.returncode == 143 and slept == sleeps
