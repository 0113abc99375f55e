"""What it costs to begin: importing the package, and the first call of a training step."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax

from experiments.speed import peers, scaling
from experiments.speed.config import WITH_IPYTHON, Config

SHAPE = (64, 784, 1, 128)
IMPORTS = """
import sys, time
sys.modules.update({hidden})
began = time.perf_counter(); import jax, flax, optax
between = time.perf_counter(); import {package}
print(between - began, time.perf_counter() - between)
"""


def measured(config: Config) -> dict[str, Callable[[], Any]]:
    """Both, by name."""
    small = config.shapes[0] if max(max(shape) for shape in config.shapes) < 64 else SHAPE
    return {
        "import": functools.partial(imports, min(11, config.rounds)),
        "first call": functools.partial(first_call, small, min(7, config.rounds)),
    }


def imports(repeats: int) -> dict[str, list[float]]:
    """Seconds of ``import jax, flax, optax``, and of recurrax or flax.nnx after it, each in a new process.

    As in a plain installation: flax.nnx imports IPython where that is found, so it is hidden, and counted apart where
    there is one. All from bytecode, as pip installs them: a source tree has none where Python is told not to write it.
    """
    packages = ("recurrax", "flax.nnx", *((WITH_IPYTHON,) if importlib.util.find_spec("IPython") else ()))
    rows: dict[str, list[float]] = {"base": [], **{package: [] for package in packages}}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as bytecode:
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for repeat, package in itertools.product(range(repeats + 1), packages):
            hidden = {} if package == WITH_IPYTHON else {"IPython": None}
            code = IMPORTS.format(package=package.split()[0], hidden=hidden)
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            if repeat:  # the first one writes bytecode
                for name, seconds in zip(("base", package), done.stdout.split(), strict=True):
                    rows[name].append(float(seconds))
    return rows


def first_call(shape: tuple[int, int, int, int], repeats: int) -> dict[str, Any]:
    """Seconds to trace and to compile an LSTM's training step, each time from nothing, in turn."""
    names = ("recurrax auto", "recurrax scan", "flax.nnx")
    rows: dict[str, dict[str, list[float]]] = {name: {"trace": [], "compile": []} for name in names}
    for _ in range(repeats):
        for name in names:
            layer = peers.layer(name, "LSTM", shape)
            run, *arguments = scaling.step(layer, shape)
            jax.clear_caches()
            began = time.perf_counter()
            lowered = jax.jit(run).lower(*arguments)
            between = time.perf_counter()
            lowered.compile()
            rows[name]["trace"].append(between - began)
            rows[name]["compile"].append(time.perf_counter() - between)
    return {"shape": shape, "rows": rows}
