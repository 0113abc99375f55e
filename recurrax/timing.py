"""Compiles programs and measures their time and memory; compared programs take turns, and every call is waited for."""

from __future__ import annotations

import ctypes
import dataclasses
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import jax

BLOCK = 0.02  # seconds per sample; short calls are repeated so that the program that ran before has no influence
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # constants of mallopt(3)
LEAST = 3  # samples are taken even if they exceed the time
Shape = tuple[int, int, int, int]  # sizes of a layer: B T D H

FAILURES = (ValueError, TypeError, ImportError, NotImplementedError, AttributeError, RuntimeError)  # caught


def keep_memory() -> None:
    """Makes glibc's malloc keep freed memory, in blocks of up to 32 MiB, for all implementations alike.

    By default malloc returns memory to the system or not, depending on other freed blocks. Then chance decides which
    program gets fresh pages at every call, which can double its time.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
            library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class Refused(Exception):
    """The reason why an implementation cannot run a program."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A call that waits for its results, its compile time in seconds and its memory in bytes (None if unknown)."""

    call: Callable[[], Any]
    compile_seconds: float | None = None
    memory: dict[str, int] | None = None


def compiled(function: Callable[..., Any], *arguments: Any) -> Program:
    """Compiles the jitted function for these arguments."""
    program, seconds = _compile(function, arguments)
    return Program(lambda: jax.block_until_ready(program(*arguments)), seconds, memory(program))


def stream(step: Callable[..., Any], parameters: Any, carry: Any, x: jax.Array) -> Program:
    """The jitted step ``(parameters, carry, x) -> (carry, y)``; each call continues from the carry of the last one."""
    program, seconds = _compile(step, (parameters, carry, x))
    state = [carry]

    def call() -> Any:
        state[0], y = jax.block_until_ready(program(parameters, state[0], x))
        return y

    return Program(call, seconds, memory(program))


def memory(program: Any) -> dict[str, int] | None:
    """Bytes of a compiled program: temporaries, outputs, arguments."""
    try:
        sizes = program.memory_analysis()
    except (NotImplementedError, RuntimeError):
        return None
    if sizes is None:
        return None
    return {
        "temporary": sizes.temp_size_in_bytes,
        "output": sizes.output_size_in_bytes,
        "argument": sizes.argument_size_in_bytes,
    }


def attempt(build: Callable[[], Any]) -> Any:
    """The result of ``build()``, or ``{"refused": reason}``."""
    try:
        return build()
    except (Refused, *FAILURES) as error:
        return {"refused": reason(error)}


def reason(error: BaseException) -> str:
    """The first line of an error, in at most 160 characters."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 160 else f"{text[:157]}..."


def sample(
    programs: Mapping[str, Program | dict[str, Any]],
    rounds: int,
    seconds: float,
    calls: int = 1,
    rest: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, dict[str, Any]]:
    """Milliseconds per call in every sample of every program; programs take turns, and refused ones are passed on.

    A sample is the mean over successive calls, at least ``calls``, that take `BLOCK` seconds together. Rounds continue
    until ``seconds`` have passed; there are at least `LEAST` and at most ``rounds``. Each round has another order,
    because a program is faster after a similar one than after one that leaves the cores idle. ``rest`` gives the
    seconds of a pause after each sample of a program on a CPU, for programs whose threads keep spinning and slow the
    next one.
    """
    rows: dict[str, dict[str, Any]] = {}
    ready: dict[str, tuple[Program, int]] = {}
    cost = 0.0
    for name, program in programs.items():
        found = attempt(lambda program=program: _row(program, calls)) if isinstance(program, Program) else program
        rows[name] = found
        if isinstance(program, Program) and "refused" not in found:
            ready[name] = program, found["calls"]
            cost += found.pop("estimate") * found["calls"]
    count = min(rounds, max(LEAST, int(seconds / cost))) if cost else 0
    names = list(ready)
    orders = random.Random(0)
    for _ in range(count):
        for name in orders.sample(names, len(names)):
            program, times = ready[name]
            rows[name]["milliseconds"].append(1e3 * _time(program.call, times))
            time.sleep(rest.get(name, 0.0) if jax.default_backend() == "cpu" else 0.0)
    return rows


def _row(program: Program, calls: int) -> dict[str, Any]:
    """Makes the first calls as a warm-up, and finds the number of calls in a sample."""
    estimate = _time(program.call, 1)
    if estimate < BLOCK:  # the first call is slower than the second
        estimate = max(_time(program.call, 2), 1e-7)
    return {
        "milliseconds": [],
        "calls": max(calls, math.ceil(BLOCK / estimate)),
        "estimate": estimate,
        "compile_seconds": program.compile_seconds,
        "memory": program.memory,
    }


def _time(call: Callable[[], Any], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def _compile(function: Callable[..., Any], arguments: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    return program, time.perf_counter() - began


@contextmanager
def conditions(precision: str) -> Iterator[None]:
    """Compiles every program again, without the cache on disk, and with this precision of matrix products."""
    options = {
        "jax_enable_compilation_cache": False,
        "jax_default_matmul_precision": None if precision == "default" else precision,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def needed(row: dict[str, Any]) -> int | None:
    """Bytes of a program's temporaries and outputs; None if they are not known."""
    memory = row.get("memory")
    return memory["temporary"] + memory["output"] if memory else None


def digits(value: float) -> str:
    """Formats a number with three significant digits and without an exponent."""
    places = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 4
    return f"{value:.{places}f}"


def size(bytes_: float | None) -> str:
    """Formats bytes in MiB or GiB."""
    if bytes_ is None:
        return "not measured"
    mib = bytes_ / 2**20
    return f"{digits(mib / 1024)} GiB" if mib >= 1024 else f"{digits(mib)} MiB" if mib >= 0.1 else f"{bytes_} B"
