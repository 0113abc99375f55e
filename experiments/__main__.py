"""Brings every record, table and figure up to date.

    python -m experiments              # runs each experiment whose record is missing, out of date or half-done
    python -m experiments --list       # says what that would be, and runs nothing
    python -m experiments --rebuild    # runs nothing; makes tables, figures and the README's numbers from the records

A record is out of date when the experiment's settings have changed since: it then carries another hash. One that was
interrupted goes on where it stopped. Cost on a 2-core CPU: minutes for each experiment, an hour for speed.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import tyro

import experiments

RESULTS = Path(__file__).parent / "results"
EXPERIMENTS = tuple(sorted(module.name for module in pkgutil.iter_modules(experiments.__path__) if module.ispkg))


@dataclasses.dataclass(frozen=True)
class Config:
    """Which experiments, and whether to run them."""

    only: tuple[str, ...] = EXPERIMENTS
    """Experiments to look at; all by default."""
    preset: str = "default"
    """Settings to run, of those that each experiment has."""
    list: bool = False
    """Say what is missing and stop."""
    rebuild: bool = False
    """Run nothing, make tables, figures and the README's numbers from the records."""

    def __post_init__(self) -> None:
        """Refuses names that no experiment has."""
        unknown = [name for name in self.only if name not in EXPERIMENTS]
        if unknown or not self.only:
            raise ValueError(f"only={self.only}; allowed: {', '.join(EXPERIMENTS)}. Try --only {EXPERIMENTS[0]}.")
        if self.preset != "default":
            for name in self.only:
                presets = importlib.import_module(f"experiments.{name}.config").PRESETS
                if self.preset not in presets:
                    raise ValueError(
                        f"preset={self.preset!r} of {name}; allowed: {', '.join(presets)}. Name others with --only."
                    )


def main(config: Config, results: Path = RESULTS) -> int:
    """Runs what is missing, then rebuilds; gives the exit status: 1 if an experiment failed."""
    failed = []
    if not config.rebuild:
        for name in config.only:
            found = state(name, config.preset, results)
            print(f"{name}: {found}", flush=True)
            if found != "up to date" and not config.list:
                command = [sys.executable, "-m", f"experiments.{name}", "--preset", config.preset]
                if subprocess.run([*command, "--out", str(results / name)]).returncode:
                    failed.append(name)
    if not config.list:
        rebuild(results)
    if failed:
        print(
            f"error: failed: {', '.join(failed)}; the others are done. Their own messages stand above.", file=sys.stderr
        )
    return bool(failed)


def state(name: str, preset: str, results: Path) -> str:
    """Whether the record of these settings is missing, half-done or up to date."""
    from recurrax import report

    settings = importlib.import_module(f"experiments.{name}.config").PRESETS[preset]
    record = report.load(results / name, settings)
    if record is None:
        return "missing"
    return "up to date" if record.get("complete", True) else "half-done"


def rebuild(results: Path) -> None:
    """Every table and figure from its record alone, and the README's numbers."""
    from experiments import baseline, readme
    from recurrax import report

    for name in EXPERIMENTS:
        experiment: Any = importlib.import_module(f"experiments.{name}.experiment")
        for path in sorted((results / name).glob("*.json")):
            record = json.loads(path.read_text())
            if record.get("complete", True):
                experiment.render(record, path.parent)
    report.write(results / "README.md", baseline.document(baseline.gather(results)))
    if results == RESULTS:
        readme.update()


if __name__ == "__main__":
    try:
        chosen = tyro.cli(Config, prog="python -m experiments", description=__doc__)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(chosen))
