"""Runs a file of command lines as one job array, with submitit: on a SLURM cluster or on this machine.

    python -m experiments.launch JOBS
    python -m experiments.launch JOBS --cluster slurm --slurm-partition gpu --gpus-per-node 1 --timeout-min 240
    python -m experiments.launch --help

Each line of JOBS is a command `recurrax`, or what follows `python -m`; blank lines and lines that start with # are
skipped:

    recurrax train --cells LSTM --hidden 128 --out results/lstm
    experiments.gates --hidden 128 --out results/gates

A job that is preempted or runs out of time is asked to save (SIGTERM) and queued again; the same command resumes
from what it saved.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments import APPLICATIONS, BENCHMARKS, EXPERIMENTS
from experiments.preemptible import Preemptible
from recurrax.cli import COMMANDS

if TYPE_CHECKING:
    import submitit

CLUSTERS = ("local", "slurm", "debug")
FOLDER = Path(__file__).parent / "results" / "launch" / "runs"
OURS = ("jobs", "cluster", "folder", "wait", "requeues")
LOCAL_SIGNAL_DELAY_S = 30
TAIL = 12


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of a launch; those that are not given are left to submitit and to the cluster."""

    jobs: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="JOBS")]
    """File of command lines, one a line, each `recurrax ...` or what follows `python -m`."""
    cluster: str = "local"
    """Where: slurm, local (this machine, all lines at once) or debug (this process, one line after the other)."""
    folder: Path = FOLDER
    """Folder of the logs; on a cluster all machines must see it."""
    wait: bool | None = None
    """Wait for the jobs and report how each ended; unset: yes, but not on slurm."""
    requeues: int = 3
    """Times a job that runs out of time is queued again; preemption counts only in the last fifth of its time."""
    timeout_min: int = 60
    """Minutes after which a job is stopped."""
    mem_gb: float | None = None
    """Memory of a node, in GB."""
    cpus_per_task: int | None = None
    """CPU cores of a task."""
    gpus_per_node: int | None = None
    """GPUs of a node; a local job sees none unless this is given."""
    nodes: int | None = None
    """Machines of a job."""
    tasks_per_node: int | None = None
    """Processes of a job on each machine; all of them run the same line."""
    slurm_partition: str | None = None
    """SLURM's partition."""
    slurm_account: str | None = None
    """SLURM's account."""
    slurm_qos: str | None = None
    """SLURM's quality of service."""
    slurm_constraint: str | None = None
    """SLURM's constraint on the machines."""
    slurm_array_parallelism: int | None = None
    """Jobs that SLURM runs at once."""
    slurm_signal_delay_s: int = 90
    """Seconds before its time limit at which a job is asked to save and end."""
    slurm_setup: tuple[str, ...] = ()
    """Shell lines to run before the job, such as 'module load cuda'."""


def check(config: Config) -> None:
    """Refuses settings that cannot be run, in one line and before anything is submitted.

    Args:
        config: the settings.

    Raises:
        ValueError: a setting is not allowed.
    """
    if config.cluster not in CLUSTERS:
        raise ValueError(f"cluster={config.cluster!r}; allowed: {', '.join(CLUSTERS)}. Try --cluster local.")
    for name, value in vars(config).items():
        least = 0 if name in ("requeues", "gpus_per_node") else 1
        if type(value) is int and value < least:
            flag = name.replace("_", "-")
            raise ValueError(f"{name}={value}; allowed: an int >= {least}. Try --{flag} {max(least, 1)}.")
    if config.mem_gb is not None and not 0 < config.mem_gb < math.inf:
        raise ValueError(f"mem_gb={config.mem_gb}; allowed: a finite number > 0. Try --mem-gb 16.")
    try:
        config.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to the folder {str(config.folder)!r}; allowed: a folder that can be made. "
                         "Try --folder logs.") from error  # fmt: skip


def read(path: Path) -> list[list[str]]:
    """Reads the command lines of a file.

    Args:
        path: the file, one command line a line.

    Raises:
        ValueError: there is no such file, it has no command line, or a line starts with no command.
    """
    if not path.is_file():
        raise ValueError(f"no file {str(path)!r}; allowed: a text file with one command line a line. Check the path.")
    commands = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            command = shlex.split(line)
        except ValueError as error:
            raise ValueError(f"line {number} of {path}: {error} in {line!r}. Close the quotation.") from error
        command = command[1:] if command[0] == "-m" else command
        if not _is_command(command):
            allowed = ", ".join(f"experiments.{name}" for name in (*EXPERIMENTS, *APPLICATIONS, *BENCHMARKS))
            raise ValueError(f"line {number} of {path} starts with {' '.join(command[:2])!r}; allowed: recurrax train, "
                             f"another command of recurrax, or a module of experiments, such as {allowed}. "
                             "Write what follows `python -m`.")  # fmt: skip
        commands.append(command)
    if not commands:
        raise ValueError(f"{str(path)!r} has no command line; allowed: one or more. Write what follows `python -m`.")
    return commands


def _is_command(words: Sequence[str]) -> bool:
    if words[:1] == ["recurrax"]:
        return words[1:2] != [] and words[1] in COMMANDS
    try:
        return words[:1] != [] and words[0].startswith("experiments.") and find_spec(words[0]) is not None
    except ModuleNotFoundError:
        return False


def submit(config: Config, commands: Iterable[Sequence[str]]) -> list[submitit.Job]:
    """Submits the command lines as one job array.

    Args:
        config: the settings.
        commands: the command lines, each what follows ``python -m``.

    Raises:
        ImportError: submitit is missing.
        RuntimeError: this is not a SLURM cluster, or it refuses the jobs.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ImportError('submitit is missing; install it: python -m pip install "recurrax[launch]"') from error
    executor = submitit.AutoExecutor(
        folder=config.folder,
        cluster=config.cluster,
        local_max_num_timeout=config.requeues,
        slurm_max_num_timeout=config.requeues,
    )
    given = {name: value for name, value in vars(config).items() if name not in OURS and value not in (None, ())}
    if config.cpus_per_task is not None:  # from SLURM 22.05 on srun does not take it over from sbatch
        given["slurm_srun_args"] = (f"--cpus-per-task={config.cpus_per_task}",)
    executor.update_parameters(**{name: list(v) if isinstance(v, tuple) else v for name, v in given.items()})
    delay = config.slurm_signal_delay_s if config.cluster == "slurm" else LOCAL_SIGNAL_DELAY_S
    return executor.submit_array([Preemptible(command, 0.8 * delay) for command in commands])


def report(jobs: Sequence[submitit.Job], names: Sequence[str], cluster: str) -> int:
    """Waits for the jobs, prints how each ended as it ends, and gives the number of those that failed.

    Args:
        jobs: the submitted jobs.
        names: what to call them.
        cluster: where they run.
    """
    import submitit.helpers

    called = {job.job_id: name for job, name in zip(jobs, names, strict=True)}
    pause = 10.0 if cluster == "slurm" else 0.5
    ended = jobs if cluster == "debug" else submitit.helpers.as_completed(jobs, poll_frequency=pause)
    failed = 0
    for job in ended:
        lines = _failure(job)
        failed += bool(lines)
        print(f"{'failed' if lines else 'ok':<6}  {job.job_id}  {called[job.job_id]}", *lines, sep="\n    ", flush=True)
    print(f"{len(jobs) - failed} of {len(jobs)} jobs ok")
    return failed


def _failure(job: submitit.Job) -> list[str]:
    for task in (job.task(number) for number in range(job.num_tasks)):
        error = task.exception()
        if error is not None:
            log = task.stderr() or ""
            own = log.rpartition("submitit ERROR")[0] or log  # behind it stands submitit's own traceback
            lines = (own.strip() or str(error)).splitlines()[-TAIL:]
            return [*lines, f"log: {task.paths.stderr}"] if task.paths.stderr.exists() else lines
    return []


def main(arguments: Sequence[str] | None = None) -> int:
    """Launches what the command line says and gives the exit status: 1 if a job failed, 2 if none was submitted.

    Args:
        arguments: the command line; by default that of this process.
    """
    try:
        config = tyro.cli(Config, prog="python -m experiments.launch", args=arguments, description=__doc__)
        check(config)
        commands = read(config.jobs)
        jobs = submit(config, commands)
    except (ValueError, ImportError, RuntimeError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    names = [shlex.join(command) for command in commands]
    for job, name in zip(jobs, names, strict=True):
        print(f"queued  {job.job_id}  {name}", flush=True)
    print(f"logs in {config.folder}", flush=True)
    wait = config.cluster != "slurm" if config.wait is None else config.wait or config.cluster == "debug"
    try:
        return 1 if wait and report(jobs, names, config.cluster) else 0
    except KeyboardInterrupt:
        print("interrupted; jobs on slurm go on, those on this machine were asked to end", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
