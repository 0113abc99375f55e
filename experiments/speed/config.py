"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results" / "speed"
CELLS = ("RNN", "GRU", "LSTM")


@dataclasses.dataclass(frozen=True)
class Config:
    """Training-step times of Scan, Adjoint and flax.nnx.RNN."""

    shapes: tuple[tuple[int, int, int, int], ...] = ((32, 100, 2, 128), (64, 784, 1, 128), (20, 35, 650, 650))
    """Shapes (B, T, D, H): batch, steps, inputs, units."""
    cells: tuple[str, ...] = CELLS
    """Cells to time, of RNN, GRU and LSTM."""
    rounds: int = 7
    """Timed calls of each implementation, one of each in turn."""
    out: Path = RESULTS
    """Folder of the record and the table."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        unknown = [cell for cell in self.cells if cell not in CELLS]
        if unknown or not self.cells:
            raise ValueError(f"cells={self.cells}; allowed: one or more of {', '.join(CELLS)}. Try --cells LSTM.")
        if self.rounds < 1:
            raise ValueError(f"rounds={self.rounds}; allowed: an int >= 1. Try --rounds 7.")
        if not self.shapes or min(min(shape) for shape in self.shapes) < 1:
            raise ValueError(f"shapes={self.shapes}; allowed: B T D H, all >= 1. Try --shapes 32 100 2 128.")


SMOKE = Config(shapes=((2, 5, 2, 4),), rounds=2)
PRESETS = {"default": Config(), "smoke": SMOKE}
