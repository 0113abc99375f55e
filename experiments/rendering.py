"""Renders the results of records into README and docs; ``python -m experiments --rebuild`` runs it."""

from __future__ import annotations

import importlib
import os
import re
import textwrap
from pathlib import Path
from typing import Any

from experiments import APPLICATIONS, BENCHMARKS, EXPERIMENTS, facts, lab
from recurrax import report

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = DOCS / "results"
BLOCK = re.compile(r"<!-- (?P<name>(?!end )[^>\n]+) -->(?P<line>\n?).*?<!-- end -->", re.DOTALL)
KINDS = {"Experiments": EXPERIMENTS, "Applications": APPLICATIONS, "Benchmarks": BENCHMARKS}
Record = dict[str, Any]


def update() -> None:
    """Puts the current numbers into README.md and into the pages of docs, and makes those below docs/results."""
    for path in (ROOT / "README.md", *asking()):
        report.write(path, rendered(path.read_text()))
    PAGES.mkdir(exist_ok=True)
    for path, text in pages().items():
        report.write(path, text)


def asking() -> list[Path]:
    """The pages with blocks to fill in: those of docs that are written by hand, and the paper."""
    written = (path for path in DOCS.rglob("*.md") if not {"_build", "notebooks"} & set(path.relative_to(DOCS).parts))
    pages = sorted(path for path in written if path.parent != PAGES and BLOCK.search(path.read_text()))
    return [*pages, ROOT / "paper" / "paper.md"]


def rendered(text: str) -> str:
    """A text with what stands in every ``<!-- name --> ... <!-- end -->`` replaced by the current block or fact.

    Raises:
        ValueError: there is no block and no fact of a name, or one in a line begins it.
    """
    readme = blocks() if "<!-- figure -->" in text else {}

    def current(match: re.Match[str]) -> str:
        name, line = match["name"], match["line"]
        if not line and text[: match.start()].endswith("\n"):
            raise ValueError(f"<!-- {name} --> begins a line, which Markdown takes for HTML. Put a word before it.")
        return f"<!-- {name} -->{line}{readme.get(name) or facts.fact(name)}{line}<!-- end -->"

    found = len(BLOCK.findall(text))
    if found != (ends := text.count("<!-- end -->")):
        raise ValueError(
            f"a page has {ends} times <!-- end --> and {found} blocks; allowed: as many. A name may not contain '>'."
        )
    return BLOCK.sub(current, text)


def blocks() -> dict[str, str]:
    """The text of every marked block of the README."""
    main, *_ = lab.records("vanishing_gradients")
    vanishing = importlib.import_module("experiments.vanishing_gradients.page")
    figure = lab.place("vanishing_gradients") / f"{main['hash']}.png"
    found = "\n".join(_wrapped(f"- {finding}") for finding in vanishing.findings(main))
    made = (
        f"`{main['provenance']['command']}` made the figure, in {main['seconds']:.0f} s on {report.machine(main)};\n"
        "the first run takes two to three minutes, because it compiles the programs."
    )
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
    text = (
        'Below 1 recurrax is faster. On a GPU `backend="auto"` uses `Pallas` if it fits, and `Adjoint` elsewhere. '
        f"Haiku's plain RNN has another activation and is left out; all cases: {links}."
    )
    return f"{headline(found)}\n{_wrapped(text)}"


def headline(records: dict[str, Record]) -> str:
    """Times over those of others in a small table; a record for each device, by its name."""
    on_cpu = {
        "training step, fastest JAX peer": ("training", "", None),
        "training step, PyTorch": ("training", "", "torch"),
        "one streaming step, fastest JAX peer": ("streaming", "", None),
    }
    # On the GPU flax.nnx is the only JAX peer that was timed. In this record "auto" is Adjoint.
    on_gpu = {
        f"training step with {engine}, {peer}": ("training", f"recurrax {timed}", base)
        for engine, timed in (("Pallas", "pallas"), ("Adjoint", "auto"))
        for peer, base in (("PyTorch", "torch"), ("flax.nnx", "flax.nnx"))
    }
    from experiments.benchmarks.cases import SLOWER, geometric
    from experiments.benchmarks.speed.findings import Evidence

    lines = []
    for device, record in records.items():
        e = Evidence(record)
        for name, (measurement, engine, base) in (on_gpu if e.accelerated else on_cpu).items():
            if found := e.ratios(measurement, engine or e.main(), base):
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
    """The pages below docs/results: the gallery, and one or two for each experiment."""
    kinds = {kind: [name for name in names if lab.records(name)] for kind, names in KINDS.items()}
    shown = [name for names in kinds.values() for name in names]
    found = {PAGES / f"{_short(name)}.md": page(name) for name in shown}
    more = {PAGES / f"{_short(name)}_overview.md": text for name in shown if (text := overview(name))}
    return {PAGES / "index.md": gallery(kinds)} | found | more


def gallery(kinds: dict[str, list[str]]) -> str:
    """Every experiment with a small picture, its question and what was found, in the order to read them."""
    sections = "\n\n".join(
        f"## {kind}\n\n| | |\n|---|---|\n" + "\n".join(map(thumbnail, names)) for kind, names in kinds.items() if names
    )
    shown = [name for names in kinds.values() for name in names]
    overviews = [f"{_short(name)}_overview" for name in shown if overview(name)]
    tree = "\n".join([*map(_short, shown), *overviews])
    return (
        "# Results\n\nEach line is one experiment: its question, and the first thing that was found. The page behind\n"
        "it has all findings, the figure, and the tables with every seed. All of it is rendered from committed "
        "records,\nwhich name their command, versions and seeds. The [leaderboard](../baselines.md) compares cells "
        f"with published numbers.\n\n{sections}\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


def thumbnail(name: str) -> str:
    """A row of the gallery."""
    (first, *_), place = lab.records(name), Path(_link(lab.place(name), PAGES))
    _, (found, *_), *_ = importlib.import_module(f"experiments.{name}").page(first)
    text = overview(name)
    found = text.split("\n\n")[1] if text else found  # the summary stands under the heading
    picture = f'<img src="{place}/{first["hash"]}.png" width="240" alt="{_short(name)}">'
    more = f"<br>[{_heading(text)}]({_short(name)}_overview.md)" if text else ""
    return f"| {picture} | **[{title(name)}]({_short(name)}.md)**<br>{facts.sentence(found)}{more} |"


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
    """The findings of one record."""
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
