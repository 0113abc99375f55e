"""The numbers of the committed records in README.md; ``python -m experiments --rebuild`` puts them there."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments import baseline
from experiments.claims import config as claims
from experiments.claims import tables as claims_tables
from experiments.ensembles import experiment as ensembles
from experiments.ensembles.config import Config as EnsemblesConfig
from experiments.speed import tables as speed_tables
from experiments.speed.config import GPU
from experiments.speed.config import Config as SpeedConfig
from experiments.train import config as train
from experiments.train import tables as train_tables
from experiments.vanishing_gradients import tables
from experiments.vanishing_gradients.config import Config
from recurrax import report
from recurrax.report import config_hash

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"
# The record on a GPU is of a version that had an engine of cuDNN's, too.
SPEED_ON_GPU = dataclasses.replace(GPU, engines=("auto", "pallas", "cudnn"))
# The layers that `Pallas` runs, in another run: so much do its numbers differ.
PALLAS_ON_GPU = dataclasses.replace(GPU, shapes=GPU.shapes[:2])
START = dataclasses.replace(SpeedConfig(), parts=("start",))
# Shown by their findings alone.
LABORATORY = ("exploding_gradients", "initialization", "gates", "noise")
BENCHMARK = (
    "hochreiter1997", "temporal_order", "length_generalization", "adding_problem", "copy_memory", "sequential_digits",
)  # fmt: skip


def blocks() -> dict[str, str]:
    """The text of every marked block of the README: the records of the default settings, and what others found."""
    main = load("vanishing_gradients", config_hash(Config()))
    figure = f"experiments/results/vanishing_gradients/{main['hash']}.png"
    others = [
        load("vanishing_gradients", path.stem) for path in sorted((RESULTS / "vanishing_gradients").glob("*.json"))
    ]
    parts = [
        bullets(tables.findings(main)),
        tables.training_table(main).strip(),
        "The plain RNN at lower learning rates and with six times the updates:",
        bullets(
            f"`{entry['provenance']['command']}`: {outcome(entry)}."
            for entry in others
            if entry["hash"] != main["hash"]
        ),
    ]
    grid = load("train", config_hash(train.Config()))
    claimed = load("claims", config_hash(claims.Config()))
    speed, begin, gpu, pallas = (
        load("speed", config_hash(c)) for c in (SpeedConfig(), START, SPEED_ON_GPU, PALLAS_ON_GPU)
    )
    return {
        "figure": f"![Gradient flow, learning and gates of RNN, GRU and LSTM]({figure})",
        "baseline": baseline.head(baseline.gather(RESULTS)),
        "benchmark": "\n\n".join(text for name in BENCHMARK for text in highlights(name)),
        "claims": "\n\n".join(
            [
                claims_tables.summary(claimed),
                f"![What the claims rest on](experiments/results/claims/{claimed['hash']}.png)",
                claims_tables.claims(claimed).strip(),
                report.footer(claimed),
            ]
        ),
        "laboratory": "\n\n".join(text for name in LABORATORY for text in highlights(name)),
        "engine_options": "\n\n".join(highlights("engine_options")),
        "vanishing_gradients": "\n\n".join(parts),
        "train": train_tables.table(grid).strip() + "\n\n" + report.footer(grid),
        "ensembles": body(ensembles.table(load("ensembles", config_hash(EnsemblesConfig())))),
        "speed": f"![Time and memory of a layer](experiments/results/speed/{speed['hash']}.png)\n\n"
        + speed_tables.summary(speed)
        + "\n\nImport and first call again, IPython apart:\n\n"
        + speed_tables.summary(begin),
        "speed_gpu": f"![Training step on a GPU](experiments/results/speed/{gpu['hash']}.png)\n\n"
        + speed_tables.summary(gpu)
        + "\n\nThe layers that `Pallas` runs, in another run:\n\n"
        + speed_tables.summary(pallas),
    }


def highlights(name: str) -> list[str]:
    """Of every record of an experiment, that of the default settings first: its findings and where the rest stands."""
    default = config_hash(importlib.import_module(f"experiments.{name}.config").Config())
    records = [json.loads(path.read_text()) for path in sorted((RESULTS / name).glob("*.json"))]
    complete = [record for record in records if record.get("complete", True)]
    ordered = sorted(complete, key=lambda record: record["hash"] != default)
    return [highlight(record, first=number == 0) for number, record in enumerate(ordered)]


def highlight(record: dict[str, Any], first: bool) -> str:
    """Findings of a record, under the question of its experiment if it is the first one."""
    document = importlib.import_module(f"experiments.{record['name']}.tables").document(record)
    findings = [line for line in document.partition("![figure]")[0].splitlines() if line.startswith("- ")]
    question, place = document.partition("\n")[0].removeprefix("# "), f"experiments/results/{record['name']}"
    found, device = "\n".join(findings), record["provenance"]["device"]
    where = "" if device["platform"] == "cpu" else f" on {device['kind']}"
    return (
        (f"**{question}** " if first else "")
        + f"`{record['provenance']['command']}`{where}, {record['seconds']:.0f} s: "
        f"[tables]({place}/{record['hash']}.md), [figure]({place}/{record['hash']}.png)\n\n"
        f"<details><summary>{len(findings)} finding{'s' * (len(findings) > 1)}</summary>\n\n{found}\n\n</details>"
    )


def body(text: str) -> str:
    """A document without its title."""
    return text.partition("\n")[2].strip()


def load(experiment: str, name: str) -> dict[str, Any]:
    """A committed record."""
    return json.loads((RESULTS / experiment / f"{name}.json").read_text())


def bullets(lines: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def outcome(record: dict[str, Any]) -> str:
    """Seeds solved of every task and cell of a record, in one line."""
    runs = record["results"]["training"].items()
    return "; ".join(
        f"{task} {cell} {report.solved(entry['solved_at'])}" for task, cells in runs for cell, entry in cells.items()
    )


def rendered(text: str) -> str:
    """README's text with every block ``<!-- name --> ... <!-- end -->`` replaced by the current one."""
    for name, block in blocks().items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text, flags=re.DOTALL)
    return text


def update() -> None:
    """Puts the current blocks into README.md."""
    path = ROOT / "README.md"
    path.write_text(rendered(path.read_text()))
