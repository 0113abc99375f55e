"""What Hochreiter & Schmidhuber (1997) print, all read in the primary source, and the settings."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from experiments import lab


class Published(NamedTuple):
    """A row of the paper."""

    task: str
    weights: int
    rules: tuple[str, ...]
    sequences: tuple[int | None, ...]
    """Mean over successful trials until each rule was met; None: not met, or not printed."""
    wrong: tuple[str, ...]
    """Of the test after it, as printed."""
    note: str = ""


SHORT = "none of 256 wrong"
TIGHT = "and mean error < 0.01"
LAST = "last 2,000 within 0.04"
LAG = "100 steps"


def _two_c(q: int, p: int, weights: int, sequences: int) -> Published:
    task = f"2c: random lag > {q}, {p} distractors"
    return Published(task, weights, ("errors < 0.2 on 10,000",), (sequences,), ("",), "20/20")


PUBLISHED = {
    "1-264": Published(
        "1: embedded Reber grammar, 4 blocks", 264, ("all 512 strings right",), (39_740,), ("",), "100% of 30"
    ),
    "1-276": Published(
        "1: embedded Reber grammar, 3 blocks of 2", 276, ("all 512 strings right",), (8_440,), ("",), "100% of 30"
    ),
    "1-stepwise": Published(
        "1: the same, an update after each step", 276, ("all 512 strings right",), (8_440,), ("",), "100% of 30"
    ),
    "1-exact": Published(
        "1: the same, exact gradient", 276, ("all 512 strings right",), (None,), ("",), "not in the paper"
    ),
    "1-adam": Published(
        "1: the same, exact gradient, Adam", 276, ("all 512 strings right",), (None,), ("",), "not in the paper"
    ),
    "2a": Published(f"2a: lag {LAG}", 10_504, ("errors < 0.25 on 10,000",), (5_040,), ("",), "18/18"),
    "2a-20": Published("2a: lag 20", 504, ("errors < 0.25 on 10,000",), (None,), ("",), "not in the paper"),
    "2a-10": Published("2a: lag 10", 154, ("errors < 0.25 on 10,000",), (None,), ("",), "not in the paper"),
    "2a-simple": Published(
        "2a: lag 10, simple net", 144, ("errors < 0.25 on 10,000",), (None,), ("",), "0% by RTRL in 5,000,000"
    ),
    "2b": Published(
        f"2b: lag {LAG}, random between", 10_504, ("errors < 0.25 at the end on 10,000",), (5_680,), ("",), "18/18"
    ),
    "2b-simple": Published(
        "2b: lag 10, simple net", 144, ("errors < 0.25 at the end on 10,000",), (None,), ("",), "fails (RTRL, BPTT)"
    ),
    "2c-50": _two_c(50, 50, 364, 30_000),
    "2c-100": _two_c(100, 100, 664, 31_000),
    "2c-200": _two_c(200, 200, 1264, 33_000),
    "2c-1000-1000": _two_c(1000, 1000, 6064, 49_000),
    "2c-1000-50": _two_c(1000, 50, 364, 203_000),
    "3a-3": Published("3a: 2-sequence, 3 values", 102, (SHORT, TIGHT), (27_380, 39_850), ("", "0.000195 of them")),
    "3a-1": Published("3a: 2-sequence, 1 value", 102, (SHORT, TIGHT), (58_370, 64_330), ("", "0.000117 of them")),
    "3b-3": Published(
        "3b: noise on 3 values",
        102,
        ("< 6 of 256 wrong", "and mean error < 0.04"),
        (41_740, 43_250),
        ("", "0.00828 of them"),
    ),
    "3b-1": Published(
        "3b: noise on 1 value",
        102,
        ("< 6 of 256 wrong", "and mean error < 0.04"),
        (74_950, 78_430),
        ("", "0.015 of them"),
    ),
    "3c-3": Published(
        "3c: noisy targets, 3 values", 102, (f"{SHORT}, mean error < 0.015",), (269_650,), ("0.00558 of them",)
    ),
    "3c-1": Published(
        "3c: noisy targets, 1 value", 102, (f"{SHORT}, mean error < 0.015",), (565_640,), ("0.00441 of them",)
    ),
    "4": Published("4: adding, linear output", 93, (LAST,), (74_000,), ("1",), "the paper's output is logistic"),
    "4-logistic": Published("4: adding, logistic output", 93, (LAST,), (74_000,), ("1",)),
    "5": Published(
        "5: multiplication", 93, ("< 140 of 2,000 wrong", "< 13 of 2,000 wrong"), (482_000, 1_273_000), ("139", "14")
    ),
    "6a": Published("6a: order of two symbols", 156, ("last 2,000 within 0.3, mean error < 0.1",), (31_390,), ("1",)),
    "6a-exact": Published(
        "6a: the same, exact gradient",
        156,
        ("last 2,000 within 0.3, mean error < 0.1",),
        (None,),
        ("",),
        "not in the paper",
    ),
    "6b": Published(
        "6b: order of three symbols", 308, ("last 2,000 within 0.3, mean error < 0.1",), (571_100,), ("2",)
    ),
}
GUESSING = ("3a-3-guess", "3a-1-guess")
"""Random weight guessing: of experiment 3a the paper says that it is faster than every gradient method."""
NAMES = (*PUBLISHED, *GUESSING)
DEFAULT = ("6a", "4", "4-logistic", "2a", "2a-20", "2a-10", "2a-simple", "3a-3-guess")
LONGEST = ("2c-1000-1000", "2c-1000-50")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Rows of the paper; the defaults take some seven minutes on two CPU cores."""

    rows: tuple[str, ...] = DEFAULT
    """Rows to run, by the paper's number; those of `PUBLISHED` and `GUESSING`."""
    seed: int = 0
    """Trial k of a row draws from fold_in(key(seed), k); each trial is reported."""
    trials: int | None = None
    """Trials of each row; None: as many as in the paper."""
    cap: int | None = None
    """Sequences after which a trial is given up; None: that of the row."""
    length: int = 100
    """T of experiments 2 to 6; other lengths than the paper's 100 are for a quick look."""
    test: int = 2560
    """Fresh sequences of the test after a rule was met."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if not set(self.rows) <= set(NAMES):
            self.refuse("rows", f"one or more, all different, of {', '.join(NAMES)}")
        if self.length < 20:
            self.refuse("length", "an int >= 20")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        rows=("6a", "2a-10", "3a-1", "1-276", "4-logistic", "3a-1-guess"), trials=2, cap=20, length=20, test=30
    ),
    "long": Config(rows=tuple(row for row in NAMES if row not in LONGEST)),
    "accelerator": Config(rows=NAMES, trials=100),
}
