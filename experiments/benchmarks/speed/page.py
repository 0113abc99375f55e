"""The page: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.benchmarks.cases import SLOWER, Record, geometric, interval, label, median, timed
from experiments.benchmarks.speed.findings import Evidence, fastest, findings, is_case
from recurrax.report import footer, markdown_table
from recurrax.timing import digits, needed, size

TITLES = {
    "training": "Training step: value and gradient of mean(y^2) of one layer",
    "forward": "Forward pass",
    "streaming": "One streaming step",
}
AXES = {"scaling T": "T", "scaling H": "H", "scaling B": "B", "scaling runs": "runs", "memory T": "T"}


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    e = Evidence(record)
    sections = [section for name in AXES for section in curve(e, name)]
    compared = [
        section
        for measurement in e.config["measurements"]
        if e.cases(measurement)
        for section in (f"## {TITLES[measurement]}", *comparison(e, measurement))
    ]
    sections = [method(e), *compared, *sections, *memory(e), *associative(e), *newton(e), *start(e), refusals(e)]
    return ["What does a layer cost?", findings(e), *(section for section in sections if section), origin(e)]


def summary(record: Record) -> str:
    """The findings and the ratios of the training step, for README."""
    e = Evidence(record)
    found = "\n".join(f"- {finding}" for finding in findings(e))
    sections = [found, ratios(e, "training") if e.cases("training") else "", f"{origin(e)}\n{footer(record)}"]
    return "\n\n".join(section.strip() for section in sections if section)


def method(e: Evidence) -> str:
    """The method of measurement."""
    config, made = e.config, e.results["origin"]
    tf32 = "TF32 allowed where the device has it" if config["precision"] == "default" else "no TF32"
    rest = (
        ""
        if e.accelerated
        else "\nPyTorch's samples are followed by a rest of 0.25 s, in which its threads stop spinning."
    )
    least, most, seconds = min(3, config["rounds"]), config["rounds"], f"{config['seconds_per_case']:g}"
    return (
        "All implementations of a case run in one process, in rounds, each round in a random order; we wait for\n"
        "every call. A sample is the mean over calls in a row that take 20 ms (at least 50 streaming steps)."
        f"{rest}\n"
        f"There are as many samples of each (n) as fit into {seconds} s, but at least {least} and at most {most}.\n"
        "The tables show medians [quartiles]; compilation and memory are reported apart. Parameters are handed over\n"
        "as a list of arrays, so no number includes what a module costs as an argument of a call. Every library keeps\n"
        "its own initial weights and biases. On Linux, malloc was set to keep freed blocks of up to 32 MiB, for all\n"
        "alike. Haiku's RNN has a ReLU in place of tanh: we show it, but do not compare with it. Matrix products have\n"
        f"{config['precision']} precision, {tf32}.\n"
        f"PyTorch runs eagerly with {made['torch_threads']} threads; JAX has {made['cores']} CPU cores."
    )


def comparison(e: Evidence, measurement: str) -> list[str]:
    """Ratios, then all times, then compilation and memory."""
    return [
        f"Ratios of medians; [95% bootstrap interval]. Slower means above {SLOWER}.",
        ratios(e, measurement),
        means(e, measurement),
        "Milliseconds:",
        table(e, measurement, milliseconds),
        "Seconds to compile; temporaries and outputs in memory:",
        table(e, measurement, apart),
    ]


def ratios(e: Evidence, measurement: str) -> str:
    """Ours over the fastest JAX peer, which is named, and over PyTorch."""
    rows = []
    for case in e.cases(measurement):
        best, row = fastest(case), head(case)
        row["n"] = str(max((len(found.get("milliseconds") or ()) for found in case["rows"].values()), default=0))
        row["fastest JAX peer"] = f"{best} {digits(median(case, best))} ms" if best else "none"
        for name in e.ours():
            row[name] = f"{median(case, name) / median(case, best):.2f}" if best and timed(case, name) else "-"
            between = interval(case, name, best) if name == e.main() and row[name] != "-" and best else None
            row[name] += f" [{between[0]:.2f}, {between[1]:.2f}]" if between else ""
        for name in e.ours() if e.accelerated else [e.main() or "recurrax"]:
            both = timed(case, name) and timed(case, "torch")
            row[f"{name.removeprefix('recurrax ')} / PyTorch"] = (
                f"{median(case, name) / median(case, 'torch'):.2f}" if both else "-"
            )
        rows.append(row)
    return markdown_table(rows)


def means(e: Evidence, measurement: str) -> str:
    """Geometric means over the cases."""
    said = []
    for name in e.ours():
        over = {"the fastest JAX peer": e.ratios(measurement, name), "PyTorch": e.ratios(measurement, name, "torch")}
        text = ", ".join(f"{geometric(values.values()):.2f} of {base}'s" for base, values in over.items() if values)
        if text:
            said.append(f"{name} {text}")
    return f"Geometric means: {'; '.join(said)}." if said else "No peer to compare with."


def table(e: Evidence, measurement: str, show: Any) -> str:
    """A row for each case, a column for each implementation."""
    return markdown_table(
        [
            head(case) | {name: show(case["rows"].get(name, {"refused": ""})) for name in e.names()}
            for case in e.cases(measurement)
        ]
    )


def head(case: dict[str, Any]) -> dict[str, str]:
    """The leading columns of a row."""
    shape = ", ".join(map(str, case["shape"]))
    return {"cell": case["cell"], "B, T, D, H": shape if case["dtype"] == "float32" else f"{shape}, {case['dtype']}"}


def milliseconds(row: dict[str, Any]) -> str:
    """Median and quartiles."""
    if not row.get("milliseconds"):
        return "-"
    low, middle, high = np.quantile(row["milliseconds"], [0.25, 0.5, 0.75])
    return f"{digits(middle)} [{digits(low)}, {digits(high)}]"


def apart(row: dict[str, Any]) -> str:
    """Seconds to compile, and memory."""
    if not row.get("milliseconds"):
        return "-"
    seconds = row.get("compile_seconds")
    return f"{'eager' if seconds is None else f'{seconds:.2f} s'}; {size(needed(row))}"


def curve(e: Evidence, name: str) -> list[str]:
    """Medians, or memory, of every series against a size."""
    if not (points := e.results.get(name)):
        return []
    axis, weighed = AXES[name], name == "memory T"
    rows = []
    for point in points:
        row = {axis: f"{point['x']:,}"}
        for series, found in point["rows"].items():
            row[series] = size(needed(found)) if needed(found) and weighed else milliseconds(found)
        rows.append(row)
    B, T, D, H = points[0]["shape"]
    fixed = ", ".join(
        f"{letter} = {value}" for letter, value in zip("BTDH", (B, T, D, H), strict=True) if letter != axis
    )
    if name == "scaling H":
        fixed = f"B = {B}, T = {T}, D = {D}"
    title = "Memory of a training step against T" if weighed else f"Training step against {axis}"
    words = "Temporaries and outputs of the compiled step, which was not run" if weighed else "Milliseconds"
    return [f"## {title}", *picture(e, name), f"{words}; {fixed}.", markdown_table(rows)]


def picture(e: Evidence, name: str) -> list[str]:
    """The figure of the curves, or of memory, where a page begins with another one."""
    first = next(curve for curve in AXES if curve in e.results)
    if name not in (first, "memory T") or (name == first and not e.cases("training")):
        return []
    return [f"![figure]({e.record['hash']}-{'memory' if name == 'memory T' else 'scaling'}.png)"]


def memory(e: Evidence) -> list[str]:
    """One long training step under every engine."""
    if not (part := e.results.get("memory")):
        return []
    shape = ", ".join(map(str, part["shape"]))
    rows = [
        {
            "engine": name.removeprefix(f"{part['cell']} "),
            "temporaries": size(row["memory"]["temporary"]) if row.get("memory") else row.get("refused", "-"),
            "outputs": size(row["memory"]["output"]) if row.get("memory") else "-",
        }
        for name, row in part["rows"].items()
    ]
    return [
        f"## Memory of one {part['cell']} training step, (B, T, D, H) = ({shape}), compiled alone",
        markdown_table(rows),
    ]


def associative(e: Evidence) -> list[str]:
    """Scan and Associative on a linear cell."""
    if not (part := e.results.get("parallel associative")):
        return []
    rows = [
        {
            "engine": name,
            "training step (ms)": row.get("refused") or milliseconds(row),
            "memory": "-" if "refused" in row else size(needed(row)),
            "outputs from Scan's, at most": f"{row['deviation']:.1e}" if row.get("deviation") is not None else "-",
        }
        for name, row in part["rows"].items()
    ]
    shape = ", ".join(map(str, part["shape"]))
    return [f"## Parallel over time: {part['cell']}, (B, T, D, H) = ({shape})", markdown_table(rows)]


def newton(e: Evidence) -> list[str]:
    """Newton's method, by cell, T and gain."""
    if not (part := e.results.get("parallel newton")):
        return []
    columns = ("converged", "iterations", "residual", "outputs from Scan's, at most", "Newton (ms)", "Scan (ms)")
    rows = []
    for row in part["rows"]:
        line = {"cell": row["cell"], "T": f"{row['T']:,}", "gain": f"{row['gain']:g}"}
        if "refused" in row:
            rows.append(line | dict.fromkeys(columns, "-") | {"converged": row["refused"]})
            continue
        numbers = [f"{row[key]:.1e}" if row[key] is not None else "not finite" for key in ("residual", "deviation")]
        times = [milliseconds({"milliseconds": row["milliseconds"][name]}) for name in ("newton", "scan")]
        values = ("yes" if row["converged"] else "no", str(row["iterations"]), *numbers, *times)
        rows.append(line | dict(zip(columns, values, strict=True)))
    return [
        "## Parallel over time: Newton's method",
        f"Forward pass, B = 1, D = {part['D']}, H = {part['H']}; the recurrent weights are multiplied by the gain.",
        markdown_table(rows),
    ]


def start(e: Evidence) -> list[str]:
    """Import and first call, every repetition."""
    sections = []
    if part := e.results.get("import"):
        rows = [
            {"import": name, "seconds": ", ".join(f"{value:.2f}" for value in values)} for name, values in part.items()
        ]
        sections += [
            "## Import",
            "Base is jax, flax and optax; recurrax and flax.nnx each after it, in a process of its own.",
            markdown_table(rows),
        ]
    if part := e.results.get("first call"):
        rows = [
            {"layer": name}
            | {f"{what} (s)": ", ".join(f"{value:.2f}" for value in row[what]) for what in ("trace", "compile")}
            for name, row in part["rows"].items()
        ]
        shape = ", ".join(map(str, part["shape"]))
        sections += [f"## First call: LSTM training step, ({shape}), nothing cached", markdown_table(rows)]
    return sections


def refusals(e: Evidence) -> str:
    """The missing numbers with their reasons, each reason once."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, part in e.results.items():
        for point in part if isinstance(part, list) else [part]:
            rows = point.get("rows")
            for who, row in rows.items() if isinstance(rows, dict) else ():
                if "refused" in row:
                    groups.setdefault((who, row["refused"]), []).append(label(part) if is_case(part) else name)
    lines = [f"- {who}: {why} (in {len(where)}, first {where[0]})" for (who, why), where in groups.items()]
    return "## Without a number\n\n" + "\n".join(lines) if lines else ""


def origin(e: Evidence) -> str:
    """Versions and variables; the CPU, and of a GPU its driver and clocks, where the record has them."""
    made = e.results["origin"]
    said = [", ".join(f"{name} {version}" for name, version in made["versions"].items())]
    said[0] += "".join(f", {name}={value}" for name, value in made["variables"].items())
    said += [made["processor"]] if made.get("processor") else []
    if gpu := made.get("gpu"):
        every = [part["clocks"] for part in e.results.values() if is_case(part) and part.get("clocks")]
        found = {key: "/".join(sorted({clocks[key] for clocks in every})) for key in (every[0] if every else ())}
        said.append(
            f"driver {gpu['driver_version']}, {gpu['power.limit']}, clocks as found after each case: SM "
            f"{found.get('clocks.sm', '?')} (highest {gpu['clocks.max.sm']}), memory {found.get('clocks.mem', '?')}"
        )
    return f"{said[0]}. {'; '.join(said[1:])}." if said[1:] else f"{said[0]}."
