"""How every figure looks: small type, no frame, titles at the left."""

from __future__ import annotations

from typing import Any

STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 9, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "legend.fontsize": 7, "legend.frameon": False,
}  # fmt: skip
