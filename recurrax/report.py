"""Records of experiments: JSON with provenance. Tables and figures are computed from records alone."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest

from recurrax.storage.folders import expanded

VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}  # vector instructions of a CPU, the widest first
PACKAGES = ("recurrax", "jax", "jaxlib", "flax", "optax", "numpy")


def interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact 95% interval of a success rate after ``k`` successes in ``n`` trials.

    Raises:
        ValueError: not ``0 <= k <= n`` with ``n >= 1``.

    Source: Clopper & Pearson (1934).
    """
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"interval got k={k}, n={n}; allowed: 0 <= k <= n and n >= 1. Count successes among trials.")
    low, high = binomtest(k, n).proportion_ci(confidence, method="exact")
    return float(low), float(high)


def settings(config: Any) -> dict[str, Any]:
    """The fields of a dataclass that affect results: all but ``out`` and those with metadata ``{"setting": False}``."""
    names = (field.name for field in dataclasses.fields(config) if field.metadata.get("setting", field.name != "out"))
    return {name: _plain(getattr(config, name)) for name in names}


def digest(values: dict[str, Any]) -> str:
    """A hash of settings, eight hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def solved(solved_at: Any) -> str:
    """``k/n [low, high]``: the runs that met the criterion, with the `interval`; -1 marks a run that did not."""
    k, n = int(np.sum(np.asarray(solved_at) >= 0)), len(solved_at)
    low, high = interval(k, n)
    return f"{k}/{n} [{low:.2f}, {high:.2f}]"


def censored(solved_at: Any, budget: int) -> str:
    """Median and range of the updates to the criterion; an unsolved run (-1) counts as longer than the budget."""
    at = np.sort([step if step >= 0 else math.inf for step in np.asarray(solved_at)])
    median, first, last = (
        f"{step:.0f}" if math.isfinite(step) else f"> {budget}" for step in (at[(len(at) - 1) // 2], at[0], at[-1])
    )
    return median if first == last else f"{median} ({first} to {last})"


def config_hash(config: Any) -> str:
    """The hash of a dataclass of settings, eight hexadecimal digits; see `settings`."""
    return digest(settings(config))


def record(name: str, config: Any, results: dict[str, Any], seconds: float, *, complete: bool = True) -> dict[str, Any]:
    """A record: the settings of a run, its provenance, its duration and its results.

    ``complete`` is False for a record that is written before all results are there.
    """
    return {
        "name": name,
        "hash": config_hash(config),
        "complete": complete,
        "config": settings(config),
        "provenance": provenance(),
        "seconds": round(seconds, 1),
        "results": _plain(results),
    }


def provenance() -> dict[str, Any]:
    """Versions, device, dtype, commit, command and time of this run."""
    device = jax.devices()[0]
    versions = {package: importlib.metadata.version(package) for package in PACKAGES if _installed(package)}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
            "cpus": os.cpu_count(),
            "processor": processor(),
        },
        "float": str(jnp.result_type(float)),
        "matmul_precision": str(getattr(jax.config, "jax_default_matmul_precision", None)),
        "commit": _commit(),
        "command": shlex.join([*_program(), *_flags(sys.argv[1:])]),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The name of the CPU and its widest vector instructions on Linux; elsewhere the name that Python reports."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    widest = next((words for flag, words in VECTORS.items() if re.search(rf"\b{flag}\b", text)), None)
    return ", ".join(filter(None, (name[1] if name else platform.machine(), widest)))


def origin(entry: dict[str, Any]) -> str:
    """Device, dtype, versions and commit of a record in one line."""
    made = entry["provenance"]
    device, versions = made["device"], made["versions"]
    return (
        f"{device['kind']} x {device['count']}, {device['cpus']} CPU cores{_named(device)}, {made['float']}, "
        f"Python {versions['python']}, jax {versions['jax']}, flax {versions['flax']}, commit {made['commit']}"
    )


def _named(device: dict[str, Any]) -> str:
    """The processor in brackets, if the record contains it."""
    return f" ({device['processor']})" if device.get("processor") else ""


def machine(entry: dict[str, Any]) -> str:
    """The machine of a record in a few words: "2 CPU cores", or the kind of accelerator."""
    device = entry["provenance"]["device"]
    return f"{device['cpus']} CPU cores" if device["platform"] == "cpu" else device["kind"]


def load(folder: Path, config: Any) -> dict[str, Any] | None:
    """The record of these settings in a folder, complete or not; None if no readable record exists."""
    try:
        return json.loads((folder / f"{config_hash(config)}.json").read_text())
    except (OSError, ValueError):
        return None


def footer(entry: dict[str, Any]) -> str:
    """The origin of a record, its duration and the command that made it."""
    return f"{origin(entry)}, {entry['seconds']:.0f} s.\nCommand: `{entry['provenance']['command']}`"


def write(path: Path, text: str) -> None:
    """Writes a file atomically: after a crash the old file is still there."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # otherwise a power cut could leave an empty file under the new name
        except OSError:
            os.unlink(file.name)
            raise
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def save(folder: Path, entry: dict[str, Any]) -> Path:
    """Writes a record to ``<folder>/<hash>.json``; NaN and infinities become null."""
    path = folder / f"{entry['hash']}.json"
    write(path, json.dumps(entry, indent=1, allow_nan=False) + "\n")
    return path


def check_folder(folder: Path) -> Path:
    """Creates the folder (``~`` is the home folder); raises ValueError if it is not writable."""
    folder = expanded(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"cannot write to the output folder {str(folder)!r} ({error.strerror}); allowed: a folder that can be made "
            "and written to. Give another one with --out."
        ) from error
    return folder


def listed(names: Sequence[str], last: str = "and") -> str:
    """Joins names as ``a, b and c``."""
    *first, end = names
    return f"{', '.join(first)} {last} {end}" if first else end


def markdown_table(rows: Sequence[dict[str, str]]) -> str:
    """Formats rows with equal keys as a Markdown table, padded so that it is readable as plain text too."""
    if not rows:
        return "(no rows)\n"
    columns = list(rows[0])
    widths = [max(len(column), *(len(row[column]) for row in rows)) for column in columns]
    lines = [columns, ["-" * width for width in widths], *([row[column] for column in columns] for row in rows)]
    cells = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def _plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | jax.Array):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _commit() -> str:
    """The commit of the code that ran, with a plus if the code was modified; "unknown" outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        status = [*git, "status", "--porcelain", "-uno", "--", ":/recurrax/*.py", ":/experiments/*.py"]
        dirty = subprocess.run(status, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _flags(words: Sequence[str]) -> list[str]:
    """All flags but ``--out`` and ``--record``, which name a folder of one machine and do not affect results."""
    pairs = [pair for pair in zip(["", *words], words, strict=False) if pair[1] != "--record"]
    return [word for before, word in pairs if "--out" not in (before, word) and not word.startswith("--out=")]


def _program() -> list[str]:
    """The command that starts this program: a module, a script, or an installed command."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        name = spec.name.removesuffix(".__main__")
        return ["recurrax"] if name == "recurrax" else ["python", "-m", name]
    name = Path(sys.argv[0]).name
    return [name] if name == "recurrax" else ["python", name]
