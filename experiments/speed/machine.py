"""What times depend on and JAX does not tell: the CPU's vectors, the GPU's driver and clocks."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}  # the widest first


def processor() -> str:
    """The CPU's name and its widest vectors, on Linux; elsewhere what Python knows of it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    widest = next((words for flag, words in VECTORS.items() if re.search(rf"\b{flag}\b", text)), None)
    return ", ".join(filter(None, (name[1] if name else platform.machine(), widest)))


def gpu() -> dict[str, str]:
    """Driver, highest clock and power limit of the first NVIDIA GPU; nothing where there is none."""
    return _query("driver_version", "clocks.max.sm", "power.limit")


def clocks() -> dict[str, str]:
    """Clocks of the first NVIDIA GPU at this moment, as found: nothing here sets them."""
    return _query("clocks.sm", "clocks.mem")


def _query(*names: str) -> dict[str, str]:
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(names, map(str.strip, line.strip().split(",")), strict=False))
