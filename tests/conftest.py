"""Settings that must stand before JAX is imported, and double precision."""

import itertools
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

# Compiled programs are kept between runs, apart for each JAX and Python, and for each process that tests share the
# cores in: JAX does not write its cache in one piece, and half a program crashes the one who reads it.
CACHE = Path(__file__).parent.parent / ".jax_cache" / f"jax-{version('jax')}-python-{platform.python_version()}"
CACHE = CACHE / os.environ.get("PYTEST_XDIST_WORKER", "alone")
SETTINGS = {
    "JAX_COMPILATION_CACHE_DIR": str(CACHE),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_PLATFORMS": "cpu",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # processes share a GPU
    "MPLBACKEND": "agg",
    "JAX_NUM_CPU_DEVICES": "8",  # to test meshes; everything else runs on the first
}
for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)

MAPS = Path("/proc/self/maps")  # Linux; one line for each piece of memory that the process has mapped
MOST_MAPS = 30_000  # of the 65,530 that Linux allows: every program takes some, and the first one too many crashes
finished = itertools.count(1)


def pytest_runtest_teardown():
    """Lets figures go, and compiled programs when they are many; those that are needed again come from the cache."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    if next(finished) % 50 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        import jax

        jax.clear_caches()


@pytest.fixture
def x64():
    """The test runs in double precision; the switch moved to the top of JAX after 0.7."""
    import jax

    enable = getattr(jax, "enable_x64", None)
    if enable is None:
        from jax.experimental import enable_x64 as enable
    with enable(True):
        yield


@pytest.fixture
def exact():
    """Products of float32 are float32's; on an accelerator their factors are rounded by default."""
    import jax

    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def quick():
    """Programs that run for a moment compile without XLA's optimisations, which are nearly all of their cost."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
