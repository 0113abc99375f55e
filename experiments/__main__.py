"""Brings every committed record, page and figure up to date.

    python -m experiments --list       # every experiment: its question, how long it takes, the state of its record
    python -m experiments              # runs each experiment whose record is missing, out of date or half-done
    python -m experiments --rebuild    # runs nothing; makes pages, figures and the README's numbers from the records

A record is out of date when the experiment's settings have changed since: it then carries another hash. An interrupted
one resumes where it stopped.
"""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments import APPLICATIONS, BENCHMARKS, EXPERIMENTS, TABLES, lab
from recurrax import report
from recurrax.cli import settings

EVERY = EXPERIMENTS + APPLICATIONS + BENCHMARKS


@dataclasses.dataclass(frozen=True)
class Config:
    """The selection of experiments and the action."""

    only: tuple[str, ...] = EVERY
    """Experiments to look at; all by default."""
    preset: str = "default"
    """Settings to run, of those that each experiment has."""
    list: bool = False
    """Show every experiment and stop."""
    rebuild: bool = False
    """Run nothing; make pages, figures and the README's numbers from the records."""

    def __post_init__(self) -> None:
        """Raises ValueError for names and presets that no experiment has."""
        unknown = [name for name in self.only if name not in EVERY]
        if unknown or not self.only:
            raise ValueError(f"--only {' '.join(unknown)}; allowed: {', '.join(EVERY)}. Try --only {EVERY[0]}.")
        for name in self.only if self.preset != "default" else ():
            presets = load(name).PRESETS
            if self.preset not in presets:
                raise ValueError(
                    f"--preset {self.preset} of {name}; allowed: {', '.join(presets)}. Name others with --only."
                )


def main(config: Config, results: Path = lab.RESULTS) -> int:
    """Runs what is missing, then rebuilds; gives the exit status: 1 if an experiment failed."""
    if config.list:
        print(report.markdown_table([line(name, config.preset, results) for name in config.only]))
        return 0
    failed = [name for name in config.only if not config.rebuild and not run(name, config.preset, results)]
    rebuild(results)
    if failed:
        print(f"error: failed: {', '.join(failed)}; the others are done. Their messages stand above.", file=sys.stderr)
    return bool(failed)


def line(name: str, preset: str, results: Path) -> dict[str, str]:
    """An experiment in the list."""
    record, found = state(name, preset, results)
    question = (load(name).__doc__ or "").partition("\n")[0]
    took = f"{record['seconds']:.0f} s on {report.machine(record)}" if record and found == "up to date" else ""
    return {"experiment": name, "question": question, "took": took, "record": found}


def run(name: str, preset: str, results: Path) -> bool:
    """Runs an experiment unless its record is up to date; whether that went well."""
    _, found = state(name, preset, results)
    print(f"{name}: {found}", flush=True)
    if found == "up to date":
        return True
    command = [sys.executable, "-m", f"experiments.{name}", "--preset", recorded(name, preset)]
    return not subprocess.run([*command, "--out", str(lab.place(name, results))]).returncode


def recorded(name: str, preset: str) -> str:
    """The preset of the record: of an application "table" in place of "default", which is one model and one seed."""
    return "table" if name in TABLES and preset == "default" else preset


def state(name: str, preset: str, results: Path) -> tuple[dict[str, Any] | None, str]:
    """The record of these settings, and whether it is missing, half-done or up to date."""
    record = report.load(lab.place(name, results), load(name).PRESETS[recorded(name, preset)])
    if record is None:
        return None, "missing"
    return record, "up to date" if record.get("complete", True) else "half-done"


def rebuild(results: Path) -> None:
    """Every page and figure from its record alone, and the README's numbers."""
    from experiments import baseline, rendering

    for name in EVERY:
        for record in lab.records(name, results):
            lab.publish(load(name), record, lab.place(name, results))
    report.write(results / "README.md", baseline.document(baseline.gather(results)))
    if results == lab.RESULTS:
        rendering.update()


def load(name: str) -> Any:
    """The module of an experiment."""
    return importlib.import_module(f"experiments.{name}")


if __name__ == "__main__":
    try:
        chosen = settings.read("python -m experiments", {"default": Config()}, sys.argv[1:], __doc__ or "")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(chosen))
