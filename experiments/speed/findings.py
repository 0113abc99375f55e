"""What was found, in sentences made from the numbers of the record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.speed.config import WITH_IPYTHON
from experiments.speed.evidence import (
    FASTER,
    PEERS,
    SLOWER,
    WIDE,
    Evidence,
    digits,
    fastest,
    geometric,
    interval,
    median,
    needed,
    size,
    timed,
)  # fmt: skip

CLOSE = 1e-3  # outputs that count as the same
TIMES = 5  # as fast as flax.nnx.RNN, on an accelerator
ACCELERATORS = {"cpu": "GPU and TPU", "gpu": "TPU", "cuda": "TPU", "tpu": "GPU"}


def findings(e: Evidence) -> list[str]:
    """At most ten lines; those of parts that were not run are left out."""
    lines = [
        training(e), wide(e), pytorch(e), nnx(e), inference(e), memory(e), lengths(e), newton(e), begin(e),
        not_measured(e),
    ]  # fmt: skip
    return [line for line in lines if line]


def training(e: Evidence) -> str:
    """Against the fastest JAX peer of each case."""
    if not (ratios := e.ratios("training", e.main() or "")):
        return ""
    slower = {case: ratio for case, ratio in ratios.items() if ratio > SLOWER}
    others = [name for name in e.ours() if name != e.main()]
    means = ", ".join(f"{short(name)} {geometric(e.ratios('training', name).values()):.2f}" for name in others)
    return (
        f"Training step, {short(e.main())} over the fastest JAX peer of each case: {spread(ratios.values())}; slower "
        f"than {SLOWER} times at {len(slower)} of {len(ratios)}{listed(slower)}{surely(e)}."
        + (f" Other engines, geometric means: {means}." if means else "")
        + noise(e)
    )


def surely(e: Evidence) -> str:
    """At how many cases the whole interval is slower."""
    every = [(case, fastest(case)) for case in e.cases("training") if timed(case, e.main() or "")]
    found = [interval(case, e.main() or "", best) for case, best in every if best]
    known = [between for between in found if between]
    clear = sum(low > SLOWER for low, _ in known)
    return f", with the whole 95% interval at {clear} of the {len(known)} that have one" if known else ""


def noise(e: Evidence) -> str:
    """How far two rows of one program are apart: "auto" is `Adjoint`."""
    both = e.ratios("training", "recurrax auto", "recurrax adjoint").values()
    if not both:
        return ""
    apart = [max(ratio, 1 / ratio) - 1 for ratio in both]
    return (
        f" `adjoint` and `auto` are one program, timed twice: {np.median(apart):.0%} apart in the median, at most "
        f"{max(apart):.0%}."
    )


def wide(e: Evidence) -> str:
    """The same at H >= `WIDE`."""
    if not (ratios := e.ratios("training", e.main() or "", wide=True)):
        return ""
    clear = sum(ratio <= FASTER for ratio in ratios.values())
    return (
        f"Training step at H >= {WIDE}: {spread(ratios.values())}; at least 1.25 times as fast as the fastest JAX peer "
        f"at {clear} of {len(ratios)}."
    )


def pytorch(e: Evidence) -> str:
    """Against PyTorch: "auto", and on an accelerator every engine."""
    said = []
    for name in e.ours() if e.accelerated() else [e.main() or ""]:
        if ratios := e.ratios("training", name, "torch"):
            slower = {case: ratio for case, ratio in ratios.items() if ratio > 1}
            text = f"{spread(ratios.values())}, slower at {len(slower)} of {len(ratios)}{listed(slower)}"
            said.append(f"{short(name)} {text}" if e.accelerated() else text)
    return f"Training step over PyTorch's: {'; '.join(said)}." if said else ""


def nnx(e: Evidence) -> str:
    """How much longer flax.nnx.RNN takes than each engine, on an accelerator."""
    said = []
    for name in e.ours() if e.accelerated() else ():
        if ratios := e.ratios("training", "flax.nnx", name):
            clear = sum(ratio >= TIMES for ratio in ratios.values())
            said.append(f"{short(name)} {spread(ratios.values())}, at least {TIMES} at {clear} of {len(ratios)}")
    return f"Training step, times as fast as flax.nnx.RNN: {'; '.join(said)}." if said else ""


def inference(e: Evidence) -> str:
    """Forward pass and streaming step."""
    said = []
    for measurement, words in {"forward": "forward pass", "streaming": "one streaming step"}.items():
        if ratios := e.ratios(measurement, e.main() or ""):
            slower = sum(ratio > SLOWER for ratio in ratios.values())
            text = f"{words} {spread(ratios.values())}, slower than {SLOWER} times at {slower} of {len(ratios)}"
            torch = e.ratios(measurement, e.main() or "", "torch")
            said.append(text + (f" (over PyTorch's {geometric(torch.values()):.2f})" if torch else ""))
    return f"Over the fastest JAX peer: {'; '.join(said)}." if said else ""


def memory(e: Evidence) -> str:
    """Memory of the training step over that of flax.nnx.RNN, and that of every engine for a long LSTM."""
    said = []
    ratios = []
    for case in e.cases("training"):
        ours, theirs = (needed(case["rows"].get(name, {})) for name in (e.main() or "", "flax.nnx"))
        if ours and theirs:
            ratios.append(ours / theirs)
    if ratios:
        said.append(f"training step, {short(e.main())} over flax.nnx.RNN: {spread(ratios)}")
    if part := e.results.get("memory"):
        B, T, _, H = part["shape"]
        sizes = ", ".join(
            f"{name.removeprefix('LSTM ')} {size(needed(row))}" for name, row in part["rows"].items() if needed(row)
        )
        said.append(f"LSTM at B = {B}, T = {T:,}, H = {H}: {sizes}")
    return f"Memory ({'; '.join(said)})." if said else ""


def lengths(e: Evidence) -> str:
    """Time at the greatest T, and Associative against Scan."""
    said = []
    if curve := e.results.get("scaling T"):
        point = curve[-1]
        row = ", ".join(f"{name} {digits(median(point, name))} ms" for name in point["rows"] if timed(point, name))
        said.append(f"Training step at B = 1, T = {point['x']:,}, H = {point['shape'][3]}: {row}")
    part = e.results.get("parallel associative")
    if part and timed(part, "Scan()") and timed(part, "Associative()"):
        ratio = median(part, "Associative()") / median(part, "Scan()")
        deviation = part["rows"]["Associative()"]["deviation"]
        said.append(
            f"Associative over Scan, {part['cell']} at T = {part['shape'][1]:,}: {ratio:.2f} of the time, outputs at "
            f"most {deviation:.1e} apart"
        )
    return "; ".join(said) + "." if said else ""


def newton(e: Evidence) -> str:
    """Where Newton's method converges, and whether to Scan's values: where a cell is chaotic rounding parts them."""
    rows = [row for row in e.results.get("parallel newton", {}).get("rows", ()) if "refused" not in row]
    said = []
    for cell in dict.fromkeys(row["cell"] for row in rows):
        mine = [row for row in rows if row["cell"] == cell]
        good = [row for row in mine if row["converged"]]
        same = [row for row in good if row["deviation"] is not None and row["deviation"] <= CLOSE]
        counts = [row["iterations"] for row in good]
        text = f"{cell} at {len(good)} of {len(mine)}"
        text += f" ({min(counts)} to {max(counts)} iterations)" if counts else ""
        text += f", within {CLOSE:g} of Scan's outputs at {len(same)}"
        bad = [f"{row['gain']:g} at T = {row['T']:,}" for row in mine if row not in good]
        said.append(text + (f", not at gain {', '.join(bad)}" if bad else ""))
    return f"Newton converges, by T and gain of the recurrent weights: {'; '.join(said)}." if said else ""


def begin(e: Evidence) -> str:
    """Import and first call."""
    said = []
    if part := e.results.get("import"):
        base, nnx, own = (np.median(part[name]) for name in ("base", "flax.nnx", "recurrax"))
        more = part.get(WITH_IPYTHON)
        said.append(
            f"`import recurrax` adds {own:.2f} s to the {base:.2f} s of jax, flax and optax, flax.nnx by itself "
            f"{nnx:.2f} s"
            + (f"; {np.median(more):.2f} s where it finds IPython, which flax.nnx imports" if more else "")
        )
    if part := e.results.get("first call"):
        seconds = {
            name: np.median(np.add(row["trace"], row["compile"])) for name, row in part["rows"].items()
        }  # fmt: skip
        text = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
        said.append(f"tracing and compiling an LSTM's training step takes {text}")
    return "; ".join(said) + "." if said else ""


def not_measured(e: Evidence) -> str:
    """What the record cannot say."""
    platform = e.results["origin"]["platform"]
    missing = [
        name
        for name in PEERS
        if any("not installed" in case["rows"].get(name, {}).get("refused", "") for case in e.cases("training"))
    ]
    text = f"{ACCELERATORS.get(platform, 'other devices')}: not measured here"
    return f"{text}{'; not installed: ' + ', '.join(missing) if missing else ''}."


def spread(values: Iterable[float]) -> str:
    """Geometric mean and range."""
    values = list(values)
    return f"{geometric(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def short(name: str | None) -> str:
    """The engine's name."""
    return f"`{(name or '').removeprefix('recurrax ')}`"


def listed(ratios: dict[str, float], most: int = 4) -> str:
    """The worst of some cases, in brackets."""
    worst = sorted(ratios.items(), key=lambda item: -item[1])
    text = ", ".join(f"{case}: {ratio:.2f}" for case, ratio in worst[:most])
    return f" ({text}{', ...' if len(worst) > most else ''})" if worst else ""


def refused_rows(rows: dict[str, Any]) -> list[tuple[str, str]]:
    """Implementations that have no times, with the reason."""
    return [(name, row["refused"]) for name, row in rows.items() if "refused" in row]
