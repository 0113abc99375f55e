"""Tables and findings: functions of the record and of nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.speed.evidence import SLOWER, digits, geometric, interval, label, median, needed, size, timed
from experiments.speed.tune import wrong
from recurrax import report
from recurrax.report import markdown_table

AUTO = '"auto"'
FASTER = 1 / SLOWER
WITHOUT = "auto without "  # "auto" with one trick of its inside left out

Record = dict[str, Any]
Case = dict[str, Any]


def document(record: Record) -> str:
    """The question, what was found, the figure and the tables."""
    config = record["config"]
    method = (
        "Training step (value and gradient of the mean square of the outputs), every program in turn: at most "
        f"{config['rounds']} samples of each, in about {config['seconds_per_case']:g} s a case; medians. One option is "
        'changed at a time. "auto" is `Adjoint` with the options in its column; in brackets the 95% bootstrap interval '
        "of the ratio, rounds in pairs, from five rounds on. The fastest of many is also the luckiest of many: its "
        'lead is to be held against the differences among equal programs: "auto", `Adjoint()`, and `Adjoint` '
        'with an option that "auto" chooses too, which stand in the tables and do not count as others.'
    )
    options = "\n\n".join(
        f"### {cell}, {dtype}\n\n{markdown_table(option_rows(record, cell, dtype)).strip()}"
        for dtype in config["dtypes"]
        for cell in config["cells"]
    )
    return (
        '# Does backend="auto" choose the fastest engine?\n\n'
        + "\n".join(f"- {line}" for line in findings(record))
        + f"\n\n![figure]({record['hash']}.png)\n\n## The choice\n\n{textwrap.fill(method, 120)}\n\n"
        + f'{markdown_table(choice_rows(record))}\n## Every option, time over that of "auto"\n\n{options}\n\n'
        + f"{report.footer(record)}\n"
    )


def findings(record: Record) -> Iterator[str]:
    """What the figure shows, in sentences."""
    every = {label(case): case for case in cases(record)}
    leads = {name: median(case, AUTO) / median(case, fastest(case)) for name, case in every.items()}
    close = [name for name, lead in leads.items() if lead <= SLOWER]
    rest = sorted(leads.keys() - close, key=lambda name: -leads[name])
    names = "; ".join(f"{name}: `{plain(fastest(every[name]))}` by {leads[name]:.2f}" for name in rest)
    yield (
        f'"auto" takes at most {SLOWER} times the time of the fastest of all engines and options at {len(close)} of '
        f"{len(leads)} cases{f' (faster there: {names})' if rest else ''}; geometric mean "
        f"{geometric(leads.values()):.2f}."
    )
    again = [
        median(case, option) / median(case, AUTO)
        for case in cases(record)
        for option in options(record)
        if option != AUTO and same(case, option) and timed(case, option)
    ]
    if again:
        low, middle, high = np.quantile(again, [0.05, 0.5, 0.95])
        yield (
            f"The same program timed again takes {middle:.2f} times as long ({low:.2f} to {high:.2f} in nine of ten of "
            f"{len(again)} pairs): so much is noise."
        )
    for option in options(record):
        found = ratios(record, option, changed=True)
        if found:
            yield trick(option, found) if option.startswith(WITHOUT) else sentence(option, found)


def sentence(option: str, found: dict[str, float]) -> str:
    """What an option costs over "auto", and where it gains."""
    gains = [f"{name} {value:.2f}" for name, value in sorted(found.items(), key=lambda item: item[1])]
    gains = gains[: sum(value < FASTER for value in found.values())]
    return (
        f'`{plain(option)}` over "auto": {geometric(found.values()):.2f} ({min(found.values()):.2f} to '
        f"{max(found.values()):.2f}, {len(found)} case{'s' * (len(found) > 1)}); "
        + (f"faster by more than 5% at {', '.join(gains)}." if gains else "nowhere faster by more than 5%.")
    )


def trick(option: str, found: dict[str, float]) -> str:
    """What it costs to leave a trick of the inside out, and where it earns its lines."""
    costs = [f"{name} {value:.2f}" for name, value in sorted(found.items(), key=lambda item: -item[1])]
    costs = costs[: sum(value > SLOWER for value in found.values())]
    return (
        f'{option} over "auto": {geometric(found.values()):.2f} ({min(found.values()):.2f} to '
        f"{max(found.values()):.2f}, {len(found)} case{'s' * (len(found) > 1)}); "
        + (f"the trick gains more than 5% at {', '.join(costs)}." if costs else "the trick gains 5% nowhere.")
    )


def choice_rows(record: Record) -> list[dict[str, str]]:
    """For each case what "auto" decides, its time and memory, and the fastest of all."""
    rows = []
    for case in cases(record):
        best = fastest(case)
        between = interval(case, AUTO, best) if best != AUTO else None
        spread = f" [{between[0]:.2f}, {between[1]:.2f}]" if between else ""
        decided = case["auto"]
        rows.append(
            {
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
            }
        )
    return rows


def option_rows(record: Record, cell: str, dtype: str) -> list[dict[str, str]]:
    """For each engine and option its time over that of "auto" at every shape, or why there is none."""
    mine = {
        ",".join(map(str, case["shape"])): case
        for case in cases(record)
        if (case["cell"], case["dtype"]) == (cell, dtype)
    }
    return [
        {"engine": f"`{plain(option)}`"} | {shape: ratio_text(case, option) for shape, case in mine.items()}
        for option in options(record)
        if option != AUTO
    ]


def ratio_text(case: Case, option: str) -> str:
    """The ratio, or why there is none: refused, another loss, not applicable."""
    if option not in case["rows"]:
        return "-"
    if not timed(case, option):
        return "refused"
    text = f"{median(case, option) / median(case, AUTO):.2f}"
    return f"{text} (another loss)" if option in wrong(case["rows"]) else text


def cases(record: Record) -> list[Case]:
    """In the order they were taken."""
    return list(record["results"].values())


def options(record: Record) -> list[str]:
    """Every engine with its options that some case tried, the choice first; options of an engine beside each other."""
    found = list(dict.fromkeys(option for case in cases(record) for option in case["rows"]))
    engines = list(dict.fromkeys(option.partition("(")[0] for option in found))
    return sorted(found, key=lambda option: engines.index(option.partition("(")[0]))


def same(case: Case, option: str) -> bool:
    """Whether an option makes the program that "auto" makes."""
    chosen = {f"rx.Adjoint({name}={value!r})" for name, value in case["auto"].items()}
    return option in {AUTO, "rx.Adjoint()"} | chosen


def ratios(record: Record, option: str, changed: bool = False) -> dict[str, float]:
    """Time over that of "auto", by case, where it was timed and computes the same; of other programs alone."""
    return {
        label(case): median(case, option) / median(case, AUTO)
        for case in cases(record)
        if timed(case, option) and option not in wrong(case["rows"]) and not (changed and same(case, option))
    }


def fastest(case: Case) -> str:
    """The engine with the lowest median of "auto" and of those that compute the same in another program."""
    others = [name for name in case["rows"] if timed(case, name) and not same(case, name)]
    others = [name for name in others if not name.startswith(WITHOUT)]
    names = [AUTO, *(name for name in others if name not in wrong(case["rows"]))]
    return min(names, key=lambda name: median(case, name))


def plain(option: str) -> str:
    """An engine's code without its package."""
    return option.removeprefix("rx.").removeprefix("engines.")
