"""The settings, and the runs of the committed records."""

from __future__ import annotations

import dataclasses

from experiments import lab
from experiments.hochreiter1997.published import NAMES

DEFAULT = ("6a", "4", "4-half-linear", "4-logistic", "2a", "2a-20", "2a-10", "2a-simple", "3a-3-guess")
LONGEST = ("2c-1000-1000", "2c-1000-50", "2c-1000-1000-inputs", "5-whole")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Rows of the paper; the defaults take a quarter of an hour on one busy CPU core."""

    rows: tuple[str, ...] = DEFAULT
    """Rows to run, by the paper's number; those of `published.PUBLISHED` and `published.GUESSING`."""
    seed: int = 1997
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
        rows=("6a", "2a-10", "2a-shifted", "3a-1", "1-276", "1-264-wide", "4-logistic", "3a-1-guess"),
        trials=2, cap=20, length=20, test=30,
    ),
    "random-lags": Config(rows=("2c-50-inputs", "2c-100-inputs", "2c-200-inputs")),
    "reber": Config(
        rows=("1-264-steps", "1-276-steps", "1-264-wide", "1-276-wide", "1-276-wide-0.2", "1-276-wide-0.5")
    ),
    "reber-0.5": Config(rows=("1-264-0.5", "1-264-wide-0.5")),
    "as-printed": Config(rows=("1-264", "1-276", "2c-50", "2c-100", "2c-200", "5", "6b")),
    "multiplication": Config(rows=("5-whole",)),
    "shifted": Config(rows=("2a-shifted", "2a-shifted-direct", "2b-shifted", "2b-shifted-direct", "2b")),
    "orders": Config(rows=("6b-inputs", "6b-direct")),
    "two-sequence": Config(rows=("3a-3", "3a-1", "3b-3", "3b-1", "3c-3", "3c-1", "3a-1-guess")),
    "longest-lag": Config(rows=("2c-1000-1000-inputs",)),
    "long": Config(rows=tuple(row for row in NAMES if row not in LONGEST)),
    "accelerator": Config(rows=NAMES, trials=100),
}  # fmt: skip
