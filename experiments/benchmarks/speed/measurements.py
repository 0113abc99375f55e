"""Every case as a part of its own, and all that its times depend on."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

import recurrax
from experiments import lab
from experiments.benchmarks import peers, pytorch
from experiments.benchmarks.speed import curves
from experiments.benchmarks.speed.config import Config
from recurrax import report, timing
from recurrax.timing import Shape

READING = ("figure.py", "findings.py", "page.py")  # files of this package without measurements
PACKAGES = ("jax", "jaxlib", "flax", "dm-haiku", "equinox", "keras", "torch", "numpy")
VARIABLES = ("XLA_FLAGS", "OMP_NUM_THREADS", "GLIBC_TUNABLES", "LD_PRELOAD")
STEPS = 50  # streaming steps of a sample, at least


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """The measurements by name; each part reports an estimate of the remaining time.

    A half-done record is deleted first if other code, other versions or another device have made it.
    """
    here = environment(config)
    forget(config, here)
    pytorch.allow_tf32(config.precision)
    timing.keep_memory()
    measured = {"origin": lambda: here} | cases(config)
    began, order, done = time.perf_counter(), list(measured), []

    def run(name: str) -> Any:
        with timing.conditions(config.precision):
            found = measured[name]()
        done.append(name)
        left, each = len(order) - 1 - order.index(name), (time.perf_counter() - began) / len(done)
        if left:
            lab.say(f"    about {each * left / 60:.1f} min left for {left} more, if they take as long each")
        return found

    return {name: functools.partial(run, name) for name in order}


def cases(config: Config) -> dict[str, Callable[[], Any]]:
    """The measurements of the chosen parts, by name."""
    compared = {
        f"{measurement} {cell} {','.join(map(str, shape))} {dtype}": functools.partial(
            case, config, measurement, cell, shape, dtype
        )
        for measurement in config.measurements
        for dtype in config.dtypes
        for shape in (config.shapes if measurement == "training" else config.inference_shapes)
        for cell in config.cells
    }
    every = {"peers": compared, **curves.measured(config)}
    return {name: run for part in every if part in config.parts for name, run in every[part].items()}


def case(config: Config, measurement: str, cell: str, shape: Shape, dtype: str) -> dict[str, Any]:
    """Every implementation of one measurement at one shape, in turn."""
    warm_up(tuple(names(config)))
    began = time.perf_counter()
    programs = {
        name: timing.attempt(functools.partial(program, name, measurement, cell, shape, dtype))
        for name in names(config)
    }
    lab.say(f"    {len(programs)} programs ready in {time.perf_counter() - began:.0f} s; timing")
    calls = STEPS if measurement == "streaming" else 1
    rows = timing.sample(programs, config.rounds, config.seconds_per_case, calls, pytorch.REST)
    # JAX keeps this peak for the process as a whole, so it only ever grows; a CPU has none.
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    clocks = nvidia("clocks.sm", "clocks.mem")  # at this moment, as found: nothing here sets them
    return {
        "measurement": measurement, "cell": cell, "shape": shape, "dtype": dtype, "rows": rows,
        "process_peak_bytes": peak, "clocks": clocks,
    }  # fmt: skip


@functools.cache
def warm_up(names: tuple[str, ...]) -> None:
    """Imports every peer and runs a program of each: what is compiled before the others were imported is slower."""
    for name in names:
        found = timing.attempt(functools.partial(program, name, "training", "LSTM", (2, 3, 2, 4)))
        if isinstance(found, timing.Program):
            found.call()


def names(config: Config) -> Iterator[str]:
    """The names of a case's rows: every engine of recurrax, then the peers."""
    for name in config.implementations:
        if name == "recurrax":
            yield from (f"recurrax {engine}" for engine in config.engines)
        else:
            yield name


def program(name: str, measurement: str, cell: str, shape: Shape, dtype: str = "float32") -> timing.Program:
    """The timed program: ``training`` step, ``forward`` pass or ``streaming`` step of an implementation, compiled.

    Raises:
        Refused: it is not installed, has no such cell or engine, or cannot use this device.
    """
    if name == "torch":
        return pytorch.program(measurement, cell, shape, dtype)
    layer = peers.layer(name, cell, shape, dtype)
    step, parameters, xs = peers.step(layer, shape)
    xs = xs.astype(dtype)
    if measurement == "streaming":
        return timing.stream(layer.step, parameters, layer.carry, xs[:, 0])
    return timing.compiled(layer.run if measurement == "forward" else step, parameters, xs)


def environment(config: Config) -> dict[str, Any]:
    """All that times depend on besides the settings: a run goes on only where it is the same."""
    found = {
        "versions": {package: version for package in PACKAGES if (version := installed(package))},
        "missing": [package for package in PACKAGES if not installed(package)],
        "platform": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": report.processor(),
        "gpu": nvidia("driver_version", "clocks.max.sm", "power.limit"),
        "torch_threads": pytorch.threads(),
        "precision": config.precision,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "code": code(),
    }
    return json.loads(json.dumps(found))


def installed(package: str) -> str | None:
    """Its version, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def nvidia(*names: str) -> dict[str, str]:
    """These properties of the first NVIDIA GPU; nothing where there is none."""
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(names, map(str.strip, line.strip().split(",")), strict=False))


def code() -> str:
    """A digest of the library's sources and of those here that measure."""
    files = sorted(Path(recurrax.__file__).parent.rglob("*.py"))
    files += sorted(Path(__file__).parents[1].glob("*.py"))
    files += [path for path in sorted(Path(__file__).parent.glob("*.py")) if path.name not in READING]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


def forget(config: Config, here: dict[str, Any]) -> None:
    """Deletes a half-done record that other code, other versions or another device have made."""
    before = report.load(lab.folder(config), config)
    if before is None or before.get("complete", True) or before["results"].get("origin") == here:
        return
    (lab.folder(config) / f"{report.config_hash(config)}.json").unlink()
    lab.say("an interrupted run of other code, versions or device was found and dropped: all is measured anew")
