"""The findings as sentences made from the record, and the numbers for page and figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np

from experiments.benchmarks.cases import SLOWER, Case, Record, geometric, interval, label, median, timed
from experiments.benchmarks.speed.config import WITH_IPYTHON
from recurrax.timing import digits, needed, size

JAX_PEERS = ("flax.nnx", "flax.linen", "haiku", "equinox", "keras")
PEERS = (*JAX_PEERS, "torch")
OTHER_FUNCTION = {("RNN", "haiku"): "ReLU in place of tanh"}  # timed and shown, but no measure for ours
FASTER = 1 / 1.25  # a ratio of times that counts as clearly faster
WIDE = 512  # units from which a cell counts as wide
CLOSE = 1e-3  # outputs that count as the same
TIMES = 5  # as fast as flax.nnx.RNN, on an accelerator
ACCELERATORS = {"cpu": "a GPU or TPU", "gpu": "a TPU", "cuda": "a TPU", "tpu": "a GPU"}


class Evidence:
    """A record of the experiment, by measurement and case."""

    def __init__(self, record: Record):
        self.record, self.config, self.results = record, record["config"], record["results"]
        self.accelerated = self.results["origin"]["platform"] != "cpu"

    def cases(self, measurement: str) -> list[Case]:
        """The cases of a measurement, in the order they were taken."""
        return [case for case in self.results.values() if is_case(case) and case["measurement"] == measurement]

    def names(self) -> list[str]:
        """Every implementation, ours first."""
        return list(dict.fromkeys(name for case in self.results.values() if is_case(case) for name in case["rows"]))

    def ours(self) -> list[str]:
        """The engines of recurrax that were timed somewhere."""
        cases = [case for case in self.results.values() if is_case(case)]
        names = [name for name in self.names() if name.startswith("recurrax ")]
        return [name for name in names if any(timed(case, name) for case in cases)]

    def main(self) -> str:
        """The engine that findings are about: "auto" where it was timed; empty where none was."""
        ours = self.ours()
        return "recurrax auto" if "recurrax auto" in ours else (ours[-1] if ours else "")

    def ratios(self, measurement: str, name: str, base: str | None = None, wide: bool = False) -> dict[str, float]:
        """Time over that of ``base``, the fastest JAX peer by default, by case; of cells of `WIDE` units alone."""
        found = {}
        for case in self.cases(measurement):
            other = base or fastest(case)
            if other and timed(case, name) and timed(case, other) and (not wide or case["shape"][3] >= WIDE):
                found[label(case)] = median(case, name) / median(case, other)
        return found


def is_case(part: Any) -> TypeGuard[Case]:
    """Whether a part of the results compares implementations."""
    return isinstance(part, dict) and "measurement" in part


def fastest(case: Case) -> str | None:
    """The JAX peer with the lowest median of those that compute the same; None where no such peer was timed."""
    names = [name for name in JAX_PEERS if timed(case, name) and (case["cell"], name) not in OTHER_FUNCTION]
    return min(names, key=lambda name: median(case, name), default=None)


def findings(e: Evidence) -> list[str]:
    """At most ten lines; those of parts that were not run are left out."""
    lines = [training(e), wide(e), pytorch(e), nnx(e), inference(e), memory(e), lengths(e), newton(e), begin(e),
             not_measured(e)]  # fmt: skip
    return [line for line in lines if line]


def training(e: Evidence) -> str:
    """Against the fastest JAX peer of each case."""
    if not (ratios := e.ratios("training", e.main())):
        return ""
    slower = {case: ratio for case, ratio in ratios.items() if ratio > SLOWER}
    others = [name for name in e.ours() if name != e.main()]
    means = [f"{geometric(e.ratios('training', name).values()):.2f} with {short(name)}" for name in others]
    return (
        f"A training step with {short(e.main())} takes {spread(ratios.values())} times as long as with the fastest JAX "
        f"peer of each case. It is more than 5% slower in {of(slower, ratios)}{listed(slower)}{surely(e)}."
        + (f" The geometric mean is {', '.join(means)}." if means else "")
        + noise(e)
    )


def surely(e: Evidence) -> str:
    """In how many cases the whole interval is slower."""
    every = [(case, fastest(case)) for case in e.cases("training") if timed(case, e.main())]
    found = [interval(case, e.main(), best) for case, best in every if best]
    known = [between for between in found if between]
    clear = [low for low, _ in known if low > SLOWER]
    return f", and the whole 95% interval says so in {of(clear, known)} that have one" if known and clear else ""


def noise(e: Evidence) -> str:
    """The difference between two timings of one program: "auto" is `Adjoint`."""
    both = e.ratios("training", "recurrax auto", "recurrax adjoint").values()
    if not both:
        return ""
    apart = [max(ratio, 1 / ratio) - 1 for ratio in both]
    return (
        " `adjoint` and `auto` are one program, timed twice: the two times differ by "
        f"{np.median(apart):.0%} in the median case and by at most {max(apart):.0%}."
    )


def wide(e: Evidence) -> str:
    """The same at H >= `WIDE`."""
    if not (ratios := e.ratios("training", e.main(), wide=True)):
        return ""
    clear = [ratio for ratio in ratios.values() if ratio <= FASTER]
    return (
        f"With {WIDE} units or more it takes {spread(ratios.values())} times as long; it is at least 1.25 times as "
        f"fast as the fastest JAX peer in {of(clear, ratios)}."
    )


def pytorch(e: Evidence) -> str:
    """Against PyTorch: "auto", and on an accelerator every engine."""
    said = []
    for name in e.ours() if e.accelerated else [e.main()]:
        if ratios := e.ratios("training", name, "torch"):
            slower = {case: ratio for case, ratio in ratios.items() if ratio > 1}
            said.append(f"{short(name)} {spread(ratios.values())}, slower in {of(slower, ratios)}{listed(slower)}")
    return f"Time of a training step relative to PyTorch's: {'; '.join(said)}." if said else ""


def nnx(e: Evidence) -> str:
    """The time of flax.nnx.RNN over that of each engine, on an accelerator."""
    said = []
    for name in e.ours() if e.accelerated else ():
        if ratios := e.ratios("training", "flax.nnx", name):
            clear = [ratio for ratio in ratios.values() if ratio >= TIMES]
            said.append(f"{short(name)} {spread(ratios.values())}, at least {TIMES} in {of(clear, ratios)}")
    return f"Speed of a training step relative to flax.nnx.RNN's: {'; '.join(said)}." if said else ""


def inference(e: Evidence) -> str:
    """Forward pass and streaming step."""
    said = []
    for measurement, words in {"forward": "a forward pass", "streaming": "one streaming step"}.items():
        if ratios := e.ratios(measurement, e.main()):
            slower = [ratio for ratio in ratios.values() if ratio > SLOWER]
            text = f"{words} {spread(ratios.values())}, more than 5% slower in {of(slower, ratios)}"
            torch = e.ratios(measurement, e.main(), "torch")
            said.append(text + (f" ({geometric(torch.values()):.2f} relative to PyTorch)" if torch else ""))
    return f"Time relative to the fastest JAX peer: {'; '.join(said)}." if said else ""


def memory(e: Evidence) -> str:
    """Memory of the training step over that of flax.nnx.RNN, and that of every engine for a long LSTM."""
    both = [[needed(case["rows"].get(name, {})) for name in (e.main(), "flax.nnx")] for case in e.cases("training")]
    ratios = [ours / theirs for ours, theirs in both if ours and theirs]
    said = [f"A training step needs {spread(ratios)} times the memory of flax.nnx.RNN's."] if ratios else []
    if part := e.results.get("memory"):
        B, T, _, H = part["shape"]
        rows = {name.removeprefix("LSTM "): needed(row) for name, row in part["rows"].items()}
        sizes = ", ".join(f"{size(bytes_)} with {name}" for name, bytes_ in rows.items() if bytes_)
        said.append(f"For an LSTM with B = {B}, T = {T:,} and H = {H} that is {sizes}.")
    return " ".join(said)


def lengths(e: Evidence) -> str:
    """Time at the greatest T, and Associative against Scan."""
    said = []
    if curve := e.results.get("scaling T"):
        point = curve[-1]
        row = ", ".join(f"{name} {digits(median(point, name))} ms" for name in point["rows"] if timed(point, name))
        said.append(f"A training step at B = 1, T = {point['x']:,} and H = {point['shape'][3]} takes: {row}.")
    part = e.results.get("parallel associative")
    if part and timed(part, "Scan()") and timed(part, "Associative()"):
        said.append(
            f"At T = {part['shape'][1]:,} `Associative` takes "
            f"{median(part, 'Associative()') / median(part, 'Scan()'):.2f} of the time of `Scan` for a {part['cell']}; "
            f"the outputs differ by at most {part['rows']['Associative()']['deviation']:.1e}."
        )
    return " ".join(said)


def newton(e: Evidence) -> str:
    """Where Newton's method converges, and whether to Scan's values: where a cell is chaotic rounding parts them."""
    rows = [row for row in e.results.get("parallel newton", {}).get("rows", ()) if "refused" not in row]
    said = []
    for cell in dict.fromkeys(row["cell"] for row in rows):
        mine = [row for row in rows if row["cell"] == cell]
        good = [row for row in mine if row["converged"]]
        same = [row for row in good if row["deviation"] is not None and row["deviation"] <= CLOSE]
        counts = [row["iterations"] for row in good]
        text = f"{cell} in {of(good, mine)}" + (f" ({min(counts)} to {max(counts)} iterations)" if counts else "")
        bad = [f"{row['gain']:g} at T = {row['T']:,}" for row in mine if row not in good]
        text += f", {len(same)} of them within {CLOSE:g} of Scan's outputs"
        said.append(text + (f", but not with gain {', '.join(bad)}" if bad else ""))
    return f"Newton's method converges, by T and gain of the recurrent weights: {'; '.join(said)}." if said else ""


def begin(e: Evidence) -> str:
    """Import and first call."""
    said = []
    if part := e.results.get("import"):
        base, nnx, own = (np.median(part[name]) for name in ("base", "flax.nnx", "recurrax"))
        more = f" ({np.median(part[WITH_IPYTHON]):.2f} s with IPython)" if WITH_IPYTHON in part else ""
        said.append(
            f"Importing jax, flax and optax takes {base:.2f} s; recurrax adds {own:.2f} s{more}, flax.nnx alone "
            f"{nnx:.2f} s."
        )
    if part := e.results.get("first call"):
        seconds = {name: np.median(np.add(row["trace"], row["compile"])) for name, row in part["rows"].items()}
        text = ", ".join(f"{value:.2f} s with {name}" for name, value in seconds.items())
        said.append(f"Tracing and compiling an LSTM's training step takes {text}.")
    return " ".join(said)


def not_measured(e: Evidence) -> str:
    """The measurements that are missing in the record."""
    rows = [case["rows"] for case in e.cases("training")]
    missing = [who for who in PEERS if any("not installed" in row.get(who, {}).get("refused", "") for row in rows)]
    others = ACCELERATORS.get(e.results["origin"]["platform"], "any other device")
    return f"This run did not measure on {others}." + (f" Not installed: {', '.join(missing)}." if missing else "")


def of(some: Any, every: Any) -> str:
    """A count as words: "none of the 21 cases"."""
    return f"all {len(every)} cases" if len(some) == len(every) else f"{len(some) or 'none'} of the {len(every)} cases"


def spread(values: Iterable[float]) -> str:
    """Geometric mean and range."""
    values = list(values)
    return f"{geometric(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def short(name: str) -> str:
    """The engine's name."""
    return f"`{name.removeprefix('recurrax ')}`"


def listed(ratios: dict[str, float], most: int = 4) -> str:
    """The worst of some cases, in brackets."""
    worst = sorted(ratios.items(), key=lambda item: -item[1])
    text = ", ".join(f"{case}: {ratio:.2f}" for case, ratio in worst[:most])
    return f" ({text}{', ...' if len(worst) > most else ''})" if worst else ""
