"""Does backend="auto" choose the fastest engine, and what does each option of an engine cost?

    python -m experiments.benchmarks.engine_options              # 2 CPU cores, about a quarter of an hour
    python -m experiments.benchmarks.engine_options --help

For every cell and shape of the speed benchmark we time the training step under "auto", under every engine that runs
there, and under every engine with one option changed, in turn in one process. A program that computes another loss is
named and does not count. "auto" is the engine `Adjoint` with the options that `recurrax.engines.tuning` decides on;
`Adjoint()` is the same program a second time, so that the difference between the two is noise.

Expected: "auto" lies within a few per cent of the fastest; computing pre-activations again, and one product of inputs
and state inside the loop, each lose somewhere; chunks pay where an array of all steps is large.
"""

from __future__ import annotations

import dataclasses
import functools
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import recurrax as rx
from experiments import lab, plots
from experiments.benchmarks import peers
from experiments.benchmarks.cases import SLOWER, Case, Record, geometric, interval, label, median, timed
from experiments.benchmarks.speed import PRESETS as SPEED
from experiments.benchmarks.speed.config import CELLS, DTYPES, DType, check_shapes
from experiments.benchmarks.tricks import TRICKS, without
from recurrax import timing
from recurrax.cli.tune import Tune, measured, wrong
from recurrax.engines import Adjoint, tuning
from recurrax.report import listed, markdown_table
from recurrax.timing import digits, needed, size

KEEP_PROGRAMS = False  # it measures how long compilation takes
AUTO = '"auto"'
FASTER = 1 / SLOWER
WITHOUT = "auto without "  # "auto" with one trick of its inside left out
LIMIT = 1.0  # largest log2 of the ratio on the colour scale


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Training steps under every engine and option; the defaults take a quarter of an hour on two CPU cores."""

    shapes: tuple[timing.Shape, ...] = SPEED["default"].shapes
    """Shapes (B, T, D, H): batch, steps, inputs, units."""
    cells: tuple[str, ...] = CELLS
    """Cells to time: RNN, GRU, LSTM or other cells of recurrax, by their names without "Cell"."""
    dtypes: tuple[DType, ...] = ("float32",)
    """Dtype of parameters, inputs and state."""
    rounds: int = 11
    """Most samples of an engine in a case, one of each in turn."""
    seconds_per_case: float = 12.0
    """Samples are taken until this is spent, but at least three; compilation comes on top."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        check_shapes(self, "shapes")
        if not set(self.cells) <= set(peers.CELLS):
            self.refuse("cells", f"one or more of {', '.join(peers.CELLS)}")


PRESETS = {
    "default": Config(),
    "smoke": Config(shapes=((2, 5, 2, 4),), cells=("LSTM",), rounds=2, seconds_per_case=0.5),
    "accelerator": Config(shapes=SPEED["accelerator"].shapes, dtypes=DTYPES, rounds=30),
}


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """Every cell at every shape."""
    timing.keep_memory()
    return {
        f"{cell} {','.join(map(str, shape))} {dtype}": functools.partial(case, config, cell, shape, dtype)
        for dtype in config.dtypes
        for shape in config.shapes
        for cell in config.cells
    }


def case(config: Config, cell: str, shape: timing.Shape, dtype: str) -> dict[str, Any]:
    """Every engine and option at one shape, in turn, and what "auto" decides there."""
    question = Tune(shape, (cell,), dtype, config.rounds, config.seconds_per_case)  # type: ignore[arg-type]
    with timing.conditions("default"):
        rows = measured(question, cell, {f"{WITHOUT}{trick}": without(trick) for trick in TRICKS})
    return {"cell": cell, "shape": shape, "dtype": dtype, "auto": decided(cell, shape, dtype), "rows": rows}


def decided(cell: str, shape: timing.Shape, dtype: str) -> dict[str, Any]:
    """The options of `Adjoint` that `recurrax.engines.tuning` decides on."""
    B, T, D, H = shape
    module = peers.CELLS[cell](D, H, dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(dtype), rngs=nnx.Rngs(0))
    found = tuning.tune(Adjoint(), module, module.initialize_carry((B, D)), jnp.zeros((T, B, D), dtype))
    return {name: getattr(found, name) for name in (*tuning.CHOICES, "chunk", "unroll")}


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    config = record["config"]
    method = (
        "We time the training step (value and gradient of the mean square of the outputs), every program in turn: at "
        f"most {config['rounds']} samples of each, in about {config['seconds_per_case']:g} s a case; the table shows "
        'medians. One option is changed at a time. "auto" is `Adjoint` with the options in its column. Brackets hold '
        "the 95% bootstrap interval of the ratio, rounds in pairs, from five rounds on. The fastest of many is also "
        "the luckiest of many, so its lead must be compared with the differences among equal programs: "
        '"auto", `Adjoint()`, and `Adjoint` with an option that "auto" chooses too. Those stand in the tables and do '
        "not count as others."
    )
    options = [
        f"### {cell}, {dtype}\n\n{markdown_table(option_rows(record, cell, dtype))}"
        for dtype in config["dtypes"]
        for cell in config["cells"]
    ]
    return [
        'Does backend="auto" choose the fastest engine?',
        list(findings(record)),
        "## The choice",
        textwrap.fill(method, 120),
        markdown_table(choice_rows(record)),
        '## Every option, time over that of "auto"',
        *options,
    ]


def findings(record: Record) -> Iterator[str]:
    """The findings of the figure, as sentences."""
    every = {label(case): case for case in record["results"].values()}
    leads = {name: median(case, AUTO) / median(case, fastest(case)) for name, case in every.items()}
    rest = sorted((name for name in leads if leads[name] > SLOWER), key=lambda name: -leads[name])
    names = "; ".join(f"{name}: `{plain(fastest(every[name]))}` by {leads[name]:.2f}" for name in rest)
    yield (
        f'"auto" is within {SLOWER - 1:.0%} of the fastest of all engines and options in {len(leads) - len(rest)} of '
        f"{len(leads)} cases, and takes {geometric(leads.values()):.2f} times as long over all (geometric mean)."
        + (f" In the others something is faster: {names}." if rest else "")
    )
    again = [
        median(case, option) / median(case, AUTO)
        for case in record["results"].values()
        for option in options(record)
        if option != AUTO and same(case, option) and timed(case, option)
    ]
    if again:
        low, middle, high = np.quantile(again, [0.05, 0.5, 0.95])
        yield (
            f"The same program timed again takes {middle:.2f} times as long ({low:.2f} to {high:.2f} in nine of ten of "
            f"{len(again)} pairs): differences of this size are noise."
        )
    for option in options(record):
        if found := ratios(record, option, changed=True):
            yield sentence(option, found)
    if removed := [f"`{plain(option)}`" for option in options(record) if not exists(option)]:
        yield f"The record is older than the library, which no longer has {listed(removed, 'or')}."


def sentence(option: str, found: dict[str, float]) -> str:
    """Time over that of "auto" with an option, and where it gains; without a trick, and where the trick gains."""
    trick = option.startswith(WITHOUT)
    ordered = sorted(found.items(), key=lambda item: item[1], reverse=trick)
    named = ", ".join(f"{name} {value:.2f}" for name, value in ordered if (value > SLOWER if trick else value < FASTER))
    if trick:
        text = f"the trick gains more than 5% {f'at {named}' if named else 'nowhere'}"
    else:
        text = f"it is more than 5% faster at {named}" if named else "it is nowhere more than 5% faster"
    return (
        f'{option if trick else f"`{plain(option)}`"} takes {geometric(found.values()):.2f} times as long as "auto" '
        f"({min(found.values()):.2f} to {max(found.values()):.2f} in {len(found)} case{'s' * (len(found) > 1)}); "
        f"{text}."
    )


def choice_rows(record: Record) -> list[dict[str, str]]:
    """For each case what "auto" decides, its time and memory, and the fastest of all."""
    rows = []
    for case in record["results"].values():
        best = fastest(case)
        between = interval(case, AUTO, best) if best != AUTO else None
        spread = f" [{between[0]:.2f}, {between[1]:.2f}]" if between else ""
        decided = case["auto"]
        rows.append({
            "cell": case["cell"],
            "B, T, D, H": ", ".join(map(str, case["shape"])),
            **{name: decided[name] for name in ("gates",) if name in decided},  # an option of older records
            "keep": decided["keep"],
            "projection": decided["projection"],
            "chunk": str(decided["chunk"]),
            "unroll": str(decided.get("unroll", 1)),  # older records have no such option
            "auto (ms)": digits(median(case, AUTO)),
            "memory": size(needed(case["rows"][AUTO])),
            "fastest": f"`{plain(best)}`",
            "its time (ms)": digits(median(case, best)),
            "auto / fastest": f"{median(case, AUTO) / median(case, best):.2f}{spread}",
        })  # fmt: skip
    return rows


def option_rows(record: Record, cell: str, dtype: str) -> list[dict[str, str]]:
    """For each engine and option its time over that of "auto" at every shape, or why there is none."""
    found = [case for case in record["results"].values() if (case["cell"], case["dtype"]) == (cell, dtype)]
    mine = {",".join(map(str, case["shape"])): case for case in found}
    return [
        {"engine": f"`{plain(option)}`"} | {shape: ratio_text(case, option) for shape, case in mine.items()}
        for option in options(record)
        if option != AUTO
    ]


def ratio_text(case: Case, option: str) -> str:
    """The ratio, or why there is none: refused, another loss, not applicable."""
    if not timed(case, option):
        return "refused" if option in case["rows"] else "-"
    text = f"{median(case, option) / median(case, AUTO):.2f}"
    return f"{text} (another loss)" if option in wrong(case["rows"]) else text


def options(record: Record) -> list[str]:
    """Every engine with its options that some case tried, the choice first; options of an engine beside each other."""
    found = list(dict.fromkeys(option for case in record["results"].values() for option in case["rows"]))
    engines = list(dict.fromkeys(option.partition("(")[0] for option in found))
    return sorted(found, key=lambda option: engines.index(option.partition("(")[0]))


def exists(option: str) -> bool:
    """Whether the library still has an engine with these options, which a record may be older than."""
    try:
        return "(" not in option or bool(eval(option, {"rx": rx}))
    except (AttributeError, TypeError, ValueError):
        return False


def same(case: Case, option: str) -> bool:
    """Whether an option makes the program that "auto" makes."""
    chosen = {f"rx.Adjoint({name}={value!r})" for name, value in case["auto"].items()}
    return option in {AUTO, "rx.Adjoint()"} | chosen


def ratios(record: Record, option: str, changed: bool = False) -> dict[str, float]:
    """Time over that of "auto", by case, where it was timed and computes the same; of other programs alone."""
    return {
        label(case): median(case, option) / median(case, AUTO)
        for case in record["results"].values()
        if timed(case, option) and option not in wrong(case["rows"]) and not (changed and same(case, option))
    }


def fastest(case: Case) -> str:
    """The engine with the lowest median of "auto" and of those that compute the same in another program."""
    others = [name for name in case["rows"] if timed(case, name) and not same(case, name)]
    fair = [name for name in others if not name.startswith(WITHOUT) and name not in wrong(case["rows"])]
    return min([AUTO, *fair], key=lambda name: median(case, name))


def plain(option: str) -> str:
    """An engine's code without its package."""
    return option.removeprefix("rx.").removeprefix("engines.")


def draw(record: Record) -> Figure:
    """For each cell a map of times over that of "auto": engines and options down, shapes across."""
    config = record["config"]
    names = [option for option in options(record) if option != AUTO and ratios(record, option)]
    maps = [(cell, dtype) for dtype in config["dtypes"] for cell in config["cells"]]
    across, down = len(config["shapes"]), len(names)
    figure, axes = plots.panels(1, len(maps), 0.5 * across + 2.6 / len(maps), 1.9 + 0.21 * down, sharey=True)
    for panel, (cell, dtype) in zip(axes[0], maps, strict=True):
        image = times(panel, record, names, cell, dtype)
    axes[0, 0].set_yticks(range(down), [plain(name) for name in names])
    bar = figure.colorbar(image, ax=list(axes[0]), shrink=0.6, ticks=[-1, 0, 1], extend="both")
    bar.ax.set_yticklabels(["0.5", "1", "2"])
    bar.set_label('time over that of "auto"')
    close = sum(median(case, AUTO) <= SLOWER * median(case, fastest(case)) for case in record["results"].values())
    plots.takeaway(figure, f'"auto" is within 5% of the fastest in {close} of {len(record["results"])} cases')
    return figure


def times(axes: Axes, record: Record, names: list[str], cell: str, dtype: str) -> Any:
    """One cell; every ratio is written into its square, so that the colours are not needed."""
    mine = [case for case in record["results"].values() if (case["cell"], case["dtype"]) == (cell, dtype)]
    values = np.array([[ratios(record, name).get(label(case), np.nan) for case in mine] for name in names])
    image = axes.imshow(np.log2(values), cmap="PuOr_r", vmin=-LIMIT, vmax=LIMIT, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = "" if np.isnan(value) else f"{value:.2f}" if value < 9.995 else f"{value:.0f}"
        dark = not np.isnan(value) and abs(np.log2(value)) > 0.7 * LIMIT
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color="w" if dark else "k")
    axes.set_xticks(range(len(mine)), [",".join(map(str, case["shape"])) for case in mine], rotation=60, ha="right")
    axes.set(title=cell if dtype == "float32" else f"{cell}, {dtype}", xlabel="B,T,D,H")
    return image


if __name__ == "__main__":
    lab.run(__name__)
