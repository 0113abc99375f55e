"""Draws every picture of the site: ``python docs/pictures/draw.py``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # before pyplot: pictures are written, not shown

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
import drawing  # noqa: E402

PICTURES = ("unrolled", "gradient_path", "clipping", "lstm", "gru", "engines", "reading")


def main(folder: Path = FOLDER, names: tuple[str, ...] = PICTURES) -> None:
    """Writes pictures as SVG into a folder."""
    for name in names:
        with matplotlib.rc_context(drawing.STYLE):
            drawing.written(importlib.import_module(name).draw(), folder / f"{name}.svg")


if __name__ == "__main__":
    main(names=tuple(sys.argv[1:]) or PICTURES)
