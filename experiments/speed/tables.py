"""Tables: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.speed.evidence import (
    SLOWER,
    Evidence,
    digits,
    fastest,
    geometric,
    interval,
    label,
    median,
    needed,
    rounds,
    size,
    timed,
)  # fmt: skip
from experiments.speed.findings import findings, refused_rows
from recurrax.report import footer, markdown_table

Record = dict[str, Any]
TITLES = {
    "training": "Training step: value and gradient of mean(y^2) of one layer",
    "forward": "Forward pass",
    "streaming": "One streaming step",
}
AXES = {"scaling T": "T", "scaling H": "H", "scaling B": "B", "scaling runs": "runs", "memory T": "T"}


def document(record: Record) -> str:
    """Everything in Markdown."""
    e = Evidence(record)
    sections = ["# What does a layer cost?", bullets(e), f"![figure]({record['hash']}.png)", method(e)]
    for measurement in e.config["measurements"]:
        if e.cases(measurement):
            sections += [f"## {TITLES[measurement]}", *comparison(e, measurement)]
    sections += [section for name in AXES for section in curve(e, name)]
    sections += memory(e) + associative(e) + newton(e) + start(e)
    return "\n\n".join(section.strip() for section in [*sections, refusals(e), origin(e)] if section) + "\n"


def summary(record: Record) -> str:
    """The findings and the ratios of the training step, for README."""
    e = Evidence(record)
    sections = [bullets(e), ratios(e, "training") if e.cases("training") else "", origin(e)]
    return "\n\n".join(section.strip() for section in sections if section)


def bullets(e: Evidence) -> str:
    """The findings as a list."""
    return "\n".join(f"- {finding}" for finding in findings(e))


def method(e: Evidence) -> str:
    """How it was measured."""
    config, made = e.config, e.results["origin"]
    tf32 = "TF32 allowed where the device has it" if config["precision"] == "default" else "no TF32"
    rest = "" if e.accelerated() else "; after\nPyTorch's there is a rest of 0.25 s, in which its threads stop spinning"
    least, most, seconds = min(3, config["rounds"]), config["rounds"], f"{config['seconds_per_case']:g}"
    return (
        "All implementations of a case in one process, in rounds, each in a random order; every call is\n"
        f"waited for. A sample is the mean over calls in a row that take 20 ms (at least 50 streaming steps){rest}.\n"
        f"Samples of each (n): as many as fit into {seconds} s, but at least {least} and at most {most}.\n"
        "Medians [quartiles]. Compilation and memory stand apart. Parameters are handed over as a list of arrays,\n"
        "so what a module costs as an argument of a call is in no number. Every library keeps its own initial weights\n"
        "and biases. On Linux malloc was told to keep freed blocks of up to 32 MiB, for all alike. Haiku's RNN has a\n"
        "ReLU in place of tanh: it is shown, and is no measure for ours. "
        f"Matrix products: {config['precision']} precision, {tf32}.\nPyTorch runs eagerly, threads: "
        f"{made['torch_threads']}; JAX has {made['cores']} CPU cores."
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
        row["n"] = str(rounds(case))
        row["fastest JAX peer"] = f"{best} {digits(median(case, best))} ms" if best else "none"
        for name in e.ours():
            row[name] = f"{median(case, name) / median(case, best):.2f}" if best and timed(case, name) else "-"
            between = interval(case, name, best) if name == e.main() and row[name] != "-" and best else None
            row[name] += f" [{between[0]:.2f}, {between[1]:.2f}]" if between else ""
        for name in e.ours() if e.accelerated() else [e.main() or "recurrax"]:
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
    """What a row is about."""
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
    return [f"## {title}", f"{words}; {fixed}.", markdown_table(rows)]


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
    if "refused" in part:
        return ["## Newton's method", f"{part['refused']}."]
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
    """What has no number, and why, each reason once."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, part in e.results.items():
        place = label(part) if isinstance(part, dict) and "measurement" in part else name
        for point in part if isinstance(part, list) else [part]:
            rows = point.get("rows")
            for found in refused_rows(rows) if isinstance(rows, dict) else ():
                groups.setdefault(found, []).append(place)
    lines = [f"- {who}: {why} (in {len(where)}, first {where[0]})" for (who, why), where in groups.items()]
    return "## Without a number\n\n" + "\n".join(lines) if lines else ""


def origin(e: Evidence) -> str:
    """Device, versions, what was not measured, and the command."""
    made = e.results["origin"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    variables = "".join(f", {name}={value}" for name, value in made["variables"].items())
    return f"{versions}{variables}.{machine(made, e)}\n{footer(e.record)}"


def machine(made: dict[str, Any], e: Evidence) -> str:
    """The CPU, and of a GPU its driver and clocks, where the record has them."""
    said = [made["processor"]] if made.get("processor") else []
    if gpu := made.get("gpu"):
        every = [case["clocks"] for case in e.results.values() if isinstance(case, dict) and case.get("clocks")]
        found = {key: "/".join(sorted({clocks[key] for clocks in every})) for key in (every[0] if every else ())}
        said.append(
            f"driver {gpu['driver_version']}, {gpu['power.limit']}, clocks as found after each case: SM "
            f"{found.get('clocks.sm', '?')} (highest {gpu['clocks.max.sm']}), memory {found.get('clocks.mem', '?')}"
        )
    return f" {'; '.join(said)}." if said else ""
