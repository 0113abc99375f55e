"""What README and the pages below docs/results say of the records; ``python -m experiments --rebuild`` writes it."""

from __future__ import annotations

import importlib
import os
import re
import textwrap
from pathlib import Path
from typing import Any

from experiments import APPLICATIONS, BENCHMARKS, EXPERIMENTS, baseline, lab
from recurrax import report

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "results"
Record = dict[str, Any]


def update() -> None:
    """Puts the current numbers into README.md, and makes the pages below docs/results."""
    readme = ROOT / "README.md"
    report.write(readme, rendered(readme.read_text()))
    PAGES.mkdir(exist_ok=True)
    for path, text in pages().items():
        report.write(path, text)


def rendered(text: str) -> str:
    """README's text with every block ``<!-- name --> ... <!-- end -->`` replaced by the current one."""
    for name, block in blocks().items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text, flags=re.DOTALL)
    return text


def blocks() -> dict[str, str]:
    """The text of every marked block of the README."""
    main, *_ = lab.records("vanishing_gradients")
    vanishing = importlib.import_module("experiments.vanishing_gradients.page")
    figure = lab.place("vanishing_gradients") / f"{main['hash']}.png"
    found = "\n".join(_wrapped(f"- {finding}") for finding in vanishing.findings(main))
    made = f"`{main['provenance']['command']}` made it in {main['seconds']:.0f} s on {report.machine(main)}."
    return {
        "figure": f"![The gradient that reaches the past, and the delays that are bridged]({_link(figure, ROOT)})\n\n"
        f"{found}\n\n{made}",
        "results": vanishing.summary(main).strip(),
        "speed": speed(),
    }


def speed() -> str:
    """The times of the newest records on a CPU and on a GPU."""
    from experiments.benchmarks.speed import PRESETS

    cpu, *others = lab.records("benchmarks.speed")
    name = "benchmarks.speed"
    gpu = next(r for r in others if "--preset gpu" in r["provenance"]["command"] and len(r["config"]["shapes"]) > 2)
    assert cpu["hash"] == report.config_hash(PRESETS["default"])
    found = {"CPU": cpu, gpu["provenance"]["device"]["kind"].removeprefix("NVIDIA "): gpu}
    links = ", ".join(
        f"[{device}]({_link(lab.place(name) / record['hash'], ROOT)}.md)" for device, record in found.items()
    )
    text = f"Below 1 recurrax is faster. Haiku's plain RNN has another activation and is left out; all cases: {links}."
    return f"{headline(found)}\n{_wrapped(text)}"


def headline(records: dict[str, Record]) -> str:
    """Times over those of others in a small table; a record for each device, by its name."""
    measured = {
        "training step, fastest JAX peer": ("training", None),
        "training step, PyTorch": ("training", "torch"),
        "one streaming step, fastest JAX peer": ("streaming", None),
        "training step, flax.nnx": ("training", "flax.nnx"),
    }
    from experiments.benchmarks.cases import SLOWER, geometric
    from experiments.benchmarks.speed.findings import Evidence

    lines = []
    for device, record in records.items():
        e = Evidence(record)
        for name, (measurement, base) in measured.items():
            # On the GPU flax.nnx is the only JAX peer that was timed; on the CPU it is among those of the first row.
            peers = base in ("flax.nnx", "torch") if e.accelerated else base != "flax.nnx"
            if peers and (found := e.ratios(measurement, e.main(), base)):
                slower = sum(ratio > SLOWER for ratio in found.values())
                lines.append(
                    {
                        "time of recurrax over that of others": f"{device}: {name}",
                        "geometric mean": f"{geometric(found.values()):.2f}",
                        "range": f"{min(found.values()):.2f} to {max(found.values()):.2f}",
                        "over 5% slower": f"{slower} of {len(found)}",
                    }
                )
    return report.markdown_table(lines)


def pages() -> dict[Path, str]:
    """The pages below docs/results: the index, and one or two for each experiment."""
    names = [name for name in EXPERIMENTS + APPLICATIONS + BENCHMARKS if lab.records(name)]
    found = {PAGES / f"{_short(name)}.md": page(name) for name in names}
    more = {PAGES / f"{_short(name)}_overview.md": text for name in names if (text := overview(name))}
    return {PAGES / "index.md": index(names)} | found | more


def index(names: list[str]) -> str:
    """Every experiment with its question, and the head of the baseline table."""
    linked = {_short(name): title(name) for name in names}
    linked |= {f"{_short(name)}_overview": _heading(text) for name in names if (text := overview(name))}
    listed = "\n".join(f"- [{text}]({link}.md)" for link, text in linked.items())
    tree = "\n".join(linked)
    return (
        "# Results\n\nEvery page is rendered from committed records, which name their command, versions and seeds.\n"
        f"\n{listed}\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n\n## Baselines in short\n\n"
        "The whole table, with published numbers: [baselines](../baselines.md).\n\n"
        f"{baseline.head(baseline.gather(lab.RESULTS))}\n"
    )


def page(name: str) -> str:
    """An experiment: of every record what was found and its first figure, and where the tables are."""
    found = lab.records(name)
    about = (importlib.import_module(f"experiments.{name}").__doc__ or "").partition("\n")[2].strip("\n")
    sections = "\n\n".join(section(name, record) for record in found)
    return f"# {title(name)}\n\n```text\n{about}\n```\n\n{sections}\n"


def overview(name: str) -> str | None:
    """A page over all records of an experiment, if it has one: ``overview(records, place)`` of its module."""
    module = importlib.import_module(f"experiments.{name}")
    if not hasattr(module, "overview"):
        return None
    return module.overview(lab.records(name), _link(lab.place(name), PAGES))


def section(name: str, record: Record) -> str:
    """What one record found."""
    _, findings, *_ = importlib.import_module(f"experiments.{name}").page(record)
    place = Path(_link(lab.place(name), PAGES))
    device = record["provenance"]["device"]
    where = "" if device["platform"] == "cpu" else f", {device['kind']}"
    bullets = "\n".join(f"- {finding}" for finding in findings)
    return (
        f"## {record['provenance']['command'].removeprefix('python -m ')}{where}\n\n{bullets}\n\n"
        f"![figure]({place}/{record['hash']}.png)\n\n"
        f"Tables: [{record['hash']}.md]({place}/{record['hash']}.md). {report.origin(record)}, "
        f"{record['seconds']:.0f} s."
    )


def title(name: str) -> str:
    """The question of an experiment."""
    return (importlib.import_module(f"experiments.{name}").__doc__ or "").partition("\n")[0].strip()


def _wrapped(text: str) -> str:
    """A paragraph or an item of a list in lines that an editor shows whole."""
    return textwrap.fill(text, 120, subsequent_indent="  " * text.startswith("- "), break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip


def _heading(text: str) -> str:
    """The title of a page in Markdown."""
    return text.partition("\n")[0].removeprefix("# ")


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _link(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()
