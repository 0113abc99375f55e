"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experiments.hochreiter1997.published import NAMES

RESULTS = Path(__file__).parents[1] / "results" / "hochreiter1997"
DEFAULT = ("6a", "4", "4-logistic", "2a", "2a-20", "2a-10", "2a-simple", "3a-3-guess")
LONGEST = ("2c-1000-1000", "2c-1000-50")


@dataclasses.dataclass(frozen=True)
class Config:
    """Rows of the paper; the defaults take some seven minutes on two CPU cores."""

    rows: tuple[str, ...] = DEFAULT
    """Rows to run, by the paper's number; those of the table in `published.py`."""
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
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        unknown = [row for row in self.rows if row not in NAMES]
        if unknown or not self.rows or len(set(self.rows)) < len(self.rows):
            allowed = ", ".join(NAMES)
            raise ValueError(f"rows={self.rows}; allowed: one or more, all different, of {allowed}. Try --rows 6a.")
        for name, least in (("trials", 1), ("cap", 1), ("length", 20), ("test", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value}; allowed: an int >= {least}. Try --{name} {max(least, 10)}.")


SMOKE = Config(rows=("6a", "2a-10", "3a-1", "1-276", "4-logistic", "3a-1-guess"), trials=2, cap=20, length=20, test=30)
LONG = Config(rows=tuple(row for row in NAMES if row not in LONGEST))
ACCELERATOR = Config(rows=NAMES, trials=100)

PRESETS = {"default": Config(), "smoke": SMOKE, "long": LONG, "accelerator": ACCELERATOR}
