"""Shows a history as a figure, as a table or in one line.

Matplotlib and pandas are imported on use, so that training needs neither.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recurrax.training.history import History

SOLVED, DIVERGED = "o", "X"  # markers of the last point of a run
PANELS = 4  # the largest number of panels
NAMED = 12  # the largest number of sweep points that the legend lists; otherwise it gives their range
NOT_HELD_OUT = ("learning_rate",)  # metrics that are not measured on held-out data
LOG_RANGE = 10.0  # a metric that falls by a larger factor gets a logarithmic axis
SIZES = {1: (4.8, 3.6), 2: (8.4, 3.6), 3: (11.0, 3.6), 4: (8.4, 6.4)}  # size in inches, by number of panels


def plot(
    history: History,
    metrics: Sequence[str] | None = None,
    *,
    chance: float | Mapping[str, float] | None = None,
    criterion: float | Mapping[str, float] | None = None,
) -> Figure:
    """Draws held-out metrics against updates: thin lines for runs, thick lines for the medians of each setting.

    A circle marks where a run met the criterion, and a cross marks the last finite point of a run that diverged.
    Diverged runs are left out of the medians. A metric that falls by more than a factor of ten has a logarithmic axis.

    Args:
        history: a history with at least one evaluation.
        metrics: names from ``history.metrics``, one panel each, at most four; by default the first four.
        chance: a level to draw, e.g. ``task.chance_level()``: a number for the loss, or a mapping from metrics to
            numbers.
        criterion: the value that counts as solved, in the same form.

    Raises:
        ImportError: Matplotlib is missing.
        ValueError: nothing has been evaluated yet, a name is unknown, or there are more than four.
    """
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise ImportError(
            'plot needs Matplotlib, which is missing. Try: python -m pip install "recurrax[experiments]".'
        ) from error
    names, groups = _names(history, metrics), _groups(history)
    levels = {"chance": _by_name(history, chance, "chance"), "criterion": _by_name(history, criterion, "criterion")}
    with rc_context({"font.size": 9}):
        figure, panels = _panels(len(names))
        for axes, name in zip(panels, names, strict=True):
            values = np.where(np.isfinite(history.metrics[name]), history.metrics[name], np.nan).astype(float)
            for (label, runs), color in zip(groups.items(), _colors(len(groups)), strict=True):
                _draw_group(axes, history.steps, values[runs], label, color)
                _mark(axes, history, values, runs, color)
            for style, (level, given) in zip(("--", ":"), levels.items(), strict=True):
                if name in given:
                    axes.axhline(given[name], color="0.4", ls=style, lw=1, zorder=1, label=level)
            axes.set(xlabel="updates", ylabel=("" if name in NOT_HELD_OUT else "held-out ") + name.replace("_", " "))
            if _falls(values):
                axes.set_yscale("log")
        thick = "; thick: median" if len(groups) < len(history.seeds) else ""
        figure.suptitle(describe(history) + thick, fontsize=8, x=0.01, ha="left")
        _legend(figure, panels, list(groups))
    return figure


def to_dataframe(history: History) -> pandas.DataFrame:
    """`History.rows` as a table: one row per run and evaluation, sorted by run.

    ``train_loss`` is the mean over the updates since the previous evaluation; NaN if there were none. If a metric has
    the name of a setting, such as a swept ``learning_rate``, its column is called ``current_learning_rate``.

    Raises:
        ImportError: pandas is missing.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_dataframe needs pandas, which is missing. Try: python -m pip install pandas.") from error
    rows = ({"run": index % len(history), **row} for index, row in enumerate(history.rows()))
    return pandas.DataFrame(list(rows)).sort_values(["run", "step"], ignore_index=True)


def describe(history: History) -> str:
    """The results in one line: runs, updates, the median of the runs' lowest losses, and the number of solved runs."""
    runs, updates = len(history.seeds), int(history.steps[-1]) if len(history.steps) else 0
    words = [f"{runs} {'run' if runs == 1 else 'runs'}", f"{updates:,} {'update' if updates == 1 else 'updates'}"]
    losses = np.asarray(history.metrics.get("loss", np.zeros((runs, 0))), float)
    if losses.shape[1]:
        lowest = np.where(np.isfinite(losses), losses, np.inf).min(axis=1)
        words.append(f"lowest held-out loss {np.median(lowest):.4g}" + (" (median)" if runs > 1 else ""))
    words.append(f"{np.sum(history.solved_at >= 0)}/{runs} solved")
    diverged = int(np.sum(history.diverged_at >= 0))
    return ", ".join([*words, *([f"{diverged}/{runs} diverged"] if diverged else [])])


def _names(history: History, metrics: Sequence[str] | None) -> list[str]:
    if not len(history.steps):
        raise ValueError("history.steps is empty; allowed: one or more evaluations. Call plot after the first one.")
    names = list(history.metrics)[:PANELS] if metrics is None else [metrics] if isinstance(metrics, str) else [*metrics]
    unknown = [name for name in names if name not in history.metrics]
    if unknown or not 1 <= len(names) <= PANELS:
        known = ", ".join(history.metrics)
        raise ValueError(f"metrics={metrics!r}; allowed: one to {PANELS} of {known}. Try metrics={names[:1] or known}.")
    return names


def _by_name(history: History, level: float | Mapping[str, float] | None, what: str) -> Mapping[str, float]:
    if level is None:
        return {}
    if not isinstance(level, Mapping):
        return {"loss": float(level)}
    unknown = [name for name in level if name not in history.metrics]
    if unknown:
        raise ValueError(
            f"{what} names {unknown[0]!r}; allowed: {', '.join(history.metrics)}. Try {what}=0.1 for loss."
        )
    return level


def _groups(history: History) -> dict[str, np.ndarray]:
    """The runs of each sweep point, by the settings that differ between points."""
    varied = [name for name, values in history.settings.items() if len(np.unique(values)) > 1]
    groups: dict[str, list[int]] = {}
    for run in range(len(history.seeds)):
        label = ", ".join(f"{name.replace('_', ' ')} {history.settings[name][run]:g}" for name in varied)
        groups.setdefault(label, []).append(run)
    if list(groups) == [""]:
        groups = {"median of the runs" if len(groups[""]) > 1 else history.name(0): groups[""]}
    return {label: np.array(runs) for label, runs in groups.items()}


def _colors(count: int) -> list[Any]:
    from matplotlib import colormaps

    from recurrax.palette import COLORS

    return [*COLORS[:count]] if count <= len(COLORS) else [*colormaps["viridis"](np.linspace(0, 0.92, count))]


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure  # no pyplot: a library must not choose the backend

    from recurrax.gradflow.plots import show_in_notebooks

    show_in_notebooks()
    figure = Figure(figsize=SIZES[count], layout="constrained", dpi=150)
    panels = np.ravel(figure.subplots(*((2, 2) if count == 4 else (1, count)), squeeze=False)).tolist()
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _draw_group(axes: Axes, steps: np.ndarray, values: np.ndarray, label: str, color: Any) -> None:
    dot = {"marker": "o", "ms": 4} if len(steps) == 1 else {}
    if len(values) > 1:
        axes.plot(steps, values.T, color=color, lw=0.7, alpha=0.35, zorder=2, **dot)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)  # every run has diverged
        median = np.nanmedian(values, axis=0)
    axes.plot(steps, median, color=color, lw=2, zorder=3, label=label, **dot)


def _mark(axes: Axes, history: History, values: np.ndarray, runs: np.ndarray, color: Any) -> None:
    """Marks where a run met the criterion (filled circle), or the last finite point of a diverged run (cross)."""
    style = {"color": color, "mec": "white", "mew": 0.6, "zorder": 4}
    for run in runs:
        if history.solved_at[run] >= 0:
            at = int(np.searchsorted(history.steps, history.solved_at[run]))
            axes.plot(history.steps[at], values[run, at], SOLVED, ms=5, **style)
        finite = np.flatnonzero(np.isfinite(values[run]))
        if history.diverged_at[run] >= 0 and finite.size:
            axes.plot(history.steps[finite[-1]], values[run, finite[-1]], DIVERGED, ms=6, **style)


def _falls(values: np.ndarray) -> bool:
    """Whether all values are positive and fall by a large factor, as a loss does and an accuracy does not."""
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() <= 0 or values.shape[1] < 2:
        return False
    first, least = np.nanmedian(values[:, 0]), finite.min()
    return bool(first > LOG_RANGE * least)


def _legend(figure: Figure, panels: Sequence[Axes], groups: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    found: dict[str, Any] = {}
    for axes in panels:
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if len(groups) > NAMED:
        first, *between, last = groups
        rest = [label for label in found if label not in groups]
        found[f"{len(between)} between them"] = Line2D([], [], lw=0)
        found = {label: found[label] for label in (first, f"{len(between)} between them", last, *rest)}
    drawn = {str(line.get_marker()) for line in panels[0].lines if line.get_linestyle() == "None"}
    for marker, label in ((SOLVED, "criterion met"), (DIVERGED, "diverged")):
        if marker in drawn:
            found[label] = Line2D([], [], marker=marker, ms=6, color="0.4", lw=0, mec="white", mew=0.6)
    columns = max(1, int(figure.get_figwidth() / 1.9))
    figure.legend([*found.values()], [*found], loc="outside lower center", ncols=columns, fontsize=7, frameon=False)
