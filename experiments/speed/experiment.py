"""Measures every case as a part of its own, and writes the record, its tables and its figure."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

import recurrax
from experiments import parts
from experiments.speed import figure, machine, parallel, peers, pytorch, scaling, start, tables, timing
from experiments.speed.config import Config, Shape
from recurrax import report

NAME = "speed"
READING = ("evidence.py", "figure.py", "findings.py", "tables.py")  # of this package: they measure nothing
PACKAGES = ("jax", "jaxlib", "flax", "dm-haiku", "equinox", "keras", "torch", "numpy")
VARIABLES = ("XLA_FLAGS", "OMP_NUM_THREADS", "GLIBC_TUNABLES", "LD_PRELOAD")
STEPS = 50  # streaming steps of a sample, at least


def prepare(config: Config) -> None:
    """Finds an output folder that cannot be written before the first measurement."""
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures, prints the tables, and writes record, table and figure; gives the record."""
    here = environment(config)
    forget(config, here)
    pytorch.allow_tf32(config.precision)
    timing.keep_memory()
    with timing.conditions(config.precision):
        record = parts.measure(NAME, config, with_estimate({"origin": lambda: here} | measured(config)))
    print(render(record, config.out))
    return record


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the tables and the figure of a record beside it; gives the tables."""
    return parts.publish(record, folder, tables.document, figure.draw)


def measured(config: Config) -> dict[str, Callable[[], Any]]:
    """What is to be measured, by name."""
    cases = {
        f"{measurement} {cell} {','.join(map(str, shape))} {dtype}": functools.partial(
            case, config, measurement, cell, shape, dtype
        )
        for measurement in config.measurements
        for dtype in config.dtypes
        for shape in (config.shapes if measurement == "training" else config.inference_shapes)
        for cell in config.cells
    }
    every = {
        "peers": cases,
        "scaling": scaling.measured(config),
        "memory": {"memory": functools.partial(scaling.engines_memory, config)},
        "parallel": parallel.measured(config),
        "start": start.measured(config),
    }
    return {name: run for part in every if part in config.parts for name, run in every[part].items()}


def case(config: Config, measurement: str, cell: str, shape: Shape, dtype: str) -> dict[str, Any]:
    """Every implementation of one measurement at one shape, in turn."""
    warm_up(tuple(names(config)))
    began = time.perf_counter()
    programs = {
        name: timing.attempt(functools.partial(program, name, measurement, cell, shape, dtype))
        for name in names(config)
    }
    parts.say(f"    {len(programs)} programs ready in {time.perf_counter() - began:.0f} s; timing")
    calls = STEPS if measurement == "streaming" else 1
    rows = timing.sample(programs, config.rounds, config.seconds_per_case, calls)
    # JAX keeps this peak for the process as a whole, so it only ever grows; a CPU has none.
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "measurement": measurement, "cell": cell, "shape": shape, "dtype": dtype, "rows": rows,
        "process_peak_bytes": peak, "clocks": machine.clocks(),
    }  # fmt: skip


@functools.cache
def warm_up(names: tuple[str, ...]) -> None:
    """Imports every peer and runs a program of each: what is compiled before the others were imported is slower."""
    for name in names:
        found = timing.attempt(functools.partial(program, name, "training", "LSTM", (2, 3, 2, 4)))
        if isinstance(found, timing.Program):
            found.call()


def names(config: Config) -> Iterator[str]:
    """Of the rows of a case: every engine of recurrax, then the peers."""
    for name in config.implementations:
        if name == "recurrax":
            yield from (f"recurrax {engine}" for engine in config.engines)
        else:
            yield name


def program(name: str, measurement: str, cell: str, shape: Shape, dtype: str = "float32") -> timing.Program:
    """What is timed: ``training`` step, ``forward`` pass or ``streaming`` step of an implementation, compiled.

    Raises:
        Refused: it is not installed, has no such cell or engine, or cannot use this device.
    """
    if name == "torch":
        return pytorch.program(measurement, cell, shape, dtype)
    B, T, D, _ = shape
    layer = peers.layer(name, cell, shape, dtype)
    xs = jax.random.normal(jax.random.key(1), (B, T, D)).astype(dtype)
    if measurement == "streaming":
        return timing.stream(layer.step, layer.parameters, layer.carry, xs[:, 0])
    if measurement == "forward":
        return timing.compiled(layer.run, layer.parameters, xs)
    return timing.compiled(jax.value_and_grad(functools.partial(peers.loss, layer.run)), layer.parameters, xs)


def environment(config: Config) -> dict[str, Any]:
    """All that times depend on besides the settings: a run goes on only where it is the same."""
    threads = pytorch.threads()
    found = {
        "versions": {package: version for package in PACKAGES if (version := installed(package))},
        "missing": [package for package in PACKAGES if not installed(package)],
        "platform": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": machine.processor(),
        "gpu": machine.gpu(),
        "torch_threads": threads,
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


def code() -> str:
    """A digest of the library's sources and of those here that measure."""
    files = sorted(Path(recurrax.__file__).parent.rglob("*.py"))
    files += [path for path in sorted(Path(__file__).parent.glob("*.py")) if path.name not in READING]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


def forget(config: Config, here: dict[str, Any]) -> None:
    """Deletes a half-done record that other code, versions or another device have made."""
    before = report.load(config.out, config)
    if before is None or before.get("complete", True) or before["results"].get("origin") == here:
        return
    (config.out / f"{report.config_hash(config)}.json").unlink()
    parts.say("an interrupted run of other code, versions or device was found and dropped: all is measured anew")


def with_estimate(measured: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """The same parts; each says how long the rest will take if it goes on like this."""
    began = time.perf_counter()
    done: list[str] = []
    order = list(measured)

    def run(name: str) -> Any:
        found = measured[name]()
        done.append(name)
        left = len(order) - 1 - order.index(name)
        each = (time.perf_counter() - began) / len(done)
        if left:
            parts.say(f"    about {each * left / 60:.1f} min left for {left} more, if they take as long each")
        return found

    return {name: functools.partial(run, name) for name in order}
