"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

CELLS = ("LSTM", "NoForgetGate", "NoInputGate", "NoOutputGate", "CIFG", "GRU")
RESULTS = Path(__file__).parents[1] / "results" / "gates"


@dataclasses.dataclass(frozen=True)
class Config:
    """Gates of trained cells and their ablations; the defaults take three to four minutes on two CPU cores."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds, which chose no setting; each of them is reported."""
    cells: tuple[str, ...] = CELLS
    """Cells to train, of LSTM, NoForgetGate, NoInputGate, NoOutputGate, CIFG and GRU."""
    hidden: int = 32
    """Units of every cell (H)."""
    adding_length: int = 50
    """Sequence length T of adding."""
    adding_steps: int = 400
    """Updates at most on adding, for every cell."""
    copy_delay: int = 2
    """Delay of copy memory: blanks between the ten symbols and their recall."""
    copy_steps: int = 500
    """Updates on copy, for every cell."""
    learning_rate: tuple[float, ...] = (5e-3, 2e-2)
    """Adam's learning rates, the same grid for every cell; the better one counts."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 25
    """Updates between evaluations; steps to criterion are known to this precision."""
    examples: int = 32
    """Held-out sequences on which the gates are read."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        unknown = [cell for cell in self.cells if cell not in CELLS]
        if unknown or not self.cells:
            raise ValueError(f"cells={self.cells}; allowed: one or more of {', '.join(CELLS)}. Try --cells LSTM.")
        for name in ("hidden", "adding_steps", "copy_steps", "examples"):
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise ValueError(f"{name}={getattr(self, name)}; allowed: an int >= 1. Try --{flag} 32.")
        if not self.learning_rate:
            raise ValueError("learning_rate is empty; allowed: one or more numbers > 0. Try --learning-rate 2e-2.")


SMOKE = Config(
    seeds=(10, 11), cells=("LSTM",), hidden=4, adding_length=4, adding_steps=4, copy_delay=1, copy_steps=4,
    learning_rate=(1e-2,), batch_size=4, chunk=2, examples=4,
)  # fmt: skip

ACCELERATOR = Config(
    seeds=tuple(range(10, 20)), hidden=128, adding_length=200, adding_steps=5000, copy_delay=50, copy_steps=20_000,
    learning_rate=(3e-4, 1e-3, 3e-3), batch_size=128, chunk=250,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
