"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

CELLS = ("RNN", "IRNN", "GRU", "LSTM")
RESULTS = Path(__file__).parents[1] / "results" / "initialization"


@dataclasses.dataclass(frozen=True)
class Config:
    """Every initialisation of every cell; the defaults take three to four minutes on two CPU cores."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds, which chose no setting; each of them is reported."""
    cells: tuple[str, ...] = CELLS
    """Cells, of RNN, IRNN, GRU and LSTM."""
    hidden: int = 32
    """Units of every cell (H)."""
    length: int = 50
    """Sequence length T of the adding problem, and the t_max of chrono."""
    steps: int = 300
    """Updates at most, the same for every cell and initialisation."""
    learning_rate: tuple[float, ...] = (5e-3, 2e-2)
    """Adam's learning rates, the same grid for every cell and initialisation; the better one counts."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 25
    """Updates between evaluations; steps to criterion are known to this precision."""
    lag: int = 30
    """Steps of the Jacobian in (a)."""
    init_length: int = 200
    """Sequence length T of the slopes in (b)."""
    init_seeds: int = 32
    """Random initialisations in (a) and (b), each with an input sequence of its own."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        for name, least in (("hidden", 2), ("length", 3), ("lag", 1), ("init_length", 20), ("init_seeds", 1)):
            _at_least(name, getattr(self, name), least)
        unknown = [cell for cell in self.cells if cell not in CELLS]
        if unknown or not self.cells or len(set(self.cells)) < len(self.cells):
            raise ValueError(
                f"cells={self.cells}; allowed: one or more of {', '.join(CELLS)}, all different. Try --cells LSTM."
            )
        if not self.learning_rate:
            raise ValueError("learning_rate is empty; allowed: one or more numbers > 0. Try --learning-rate 5e-3 2e-2.")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(
            f"{name}={value}; allowed: an int >= {least}. Try --{name.replace('_', '-')} {max(least, 32)}."
        )


SMOKE = Config(
    seeds=(10, 11), cells=("GRU",), hidden=5, length=6, steps=4, learning_rate=(1e-2,), batch_size=4, chunk=2, lag=4,
    init_length=20, init_seeds=2,
)  # fmt: skip

ACCELERATOR = Config(
    seeds=tuple(range(10, 20)), hidden=128, length=400, steps=5000, learning_rate=(1e-3, 3e-3, 1e-2), batch_size=128,
    chunk=100,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
