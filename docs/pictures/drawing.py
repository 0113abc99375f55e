"""Common parts of the pictures: a canvas in inches, boxes, circles, arrows with round corners, and colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from recurrax.palette import look

Point = tuple[float, float]
INK, QUIET, PAPER = "#222222", "#777777", "#FFFFFF"
RNN, GRU, LSTM = (look(name)["color"] for name in ("RNN", "GRU", "LSTM"))
GATE = look("IRNN")["color"]  # the golden one: a sigmoid
STYLE: dict[str, Any] = {
    "font.size": 10, "font.family": "DejaVu Sans", "mathtext.fontset": "dejavusans", "svg.hashsalt": "recurrax",
    "svg.fonttype": "path", "savefig.facecolor": PAPER, "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure without axes to see, whose coordinates are inches from the lower left corner."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    return figure, axes


def tint(color: str, share: float = 0.15) -> tuple[float, float, float]:
    """A colour thinned with white; ``share`` is what is left of it."""
    red, green, blue = share * np.array(to_rgb(color)) + 1 - share
    return float(red), float(green), float(blue)


def box(axes: Axes, center: Point, size: Point, text: str = "", color: str = INK, **options: Any) -> None:
    """A box with round corners and a label; options: ``fill``, ``fontsize``, ``lw``, ``text_color``, ``zorder``."""
    (x, y), (width, height) = center, size
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=options.get("fill", tint(color)),
            edgecolor=color,
            lw=options.get("lw", 1.3),
            zorder=options.get("zorder", 3),
        )
    )
    label(axes, center, text, options.get("text_color", INK), fontsize=options.get("fontsize", 10))


def circle(axes: Axes, center: Point, text: str, color: str = INK, radius: float = 0.15, **options: Any) -> None:
    """A round node: an operation such as a product or a sum."""
    axes.add_patch(Circle(center, radius, facecolor=options.get("fill", PAPER), edgecolor=color, lw=1.3, zorder=3))
    label(axes, center, text, color, fontsize=options.get("fontsize", 11))


def label(axes: Axes, place: Point, text: str, color: str = INK, **options: Any) -> None:
    """A text that is centred at a point unless ``ha`` and ``va`` say otherwise."""
    options = {"ha": "center", "va": "center", "fontsize": 10, "zorder": 5, "linespacing": 1.35} | options
    axes.text(*place, text, color=color, **options)


def arrow(axes: Axes, points: Sequence[Point], color: str = INK, **options: Any) -> None:
    """A line through points with round corners and a head at the last; options: ``lw``, ``ls``, ``head``, ``alpha``."""
    axes.add_patch(
        FancyArrowPatch(
            path=rounded(points),
            arrowstyle="-|>" if options.get("head", True) else "-",
            mutation_scale=options.get("scale", 11),
            color=color,
            lw=options.get("lw", 1.4),
            ls=options.get("ls", "-"),
            alpha=options.get("alpha"),
            shrinkA=0,
            shrinkB=0,
            zorder=options.get("zorder", 2),
            joinstyle="miter",
            capstyle="butt",
        )
    )


def rounded(points: Sequence[Point], radius: float = 0.1) -> Path:
    """The path through points, its corners cut round."""
    places = [np.asarray(point, float) for point in points]
    vertices, codes = [places[0]], [Path.MOVETO]
    for before, corner, after in zip(places, places[1:], places[2:], strict=False):
        for end in (before, after):
            step = (end - corner) / np.linalg.norm(end - corner)
            vertices.append(corner + min(radius, np.linalg.norm(end - corner) / 2) * step)
            if end is before:
                codes.append(Path.LINETO)
                vertices.append(corner)
        codes += [Path.CURVE3, Path.CURVE3]
    return Path([*vertices, places[-1]], [*codes, Path.LINETO])


def written(figure: Figure, path: Any) -> None:
    """Saves a picture, which has the same bytes whenever the same Matplotlib draws it."""
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
