"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experiments.protocol import Protocol

RESULTS = Path(__file__).parents[1] / "results" / "adding_problem"


@dataclasses.dataclass(frozen=True)
class Config(Protocol):
    """Cells and initialisations on the adding problem; the defaults take four to five minutes on two CPU cores."""

    lengths: tuple[int, ...] = (100,)
    """Sequence lengths T."""
    variant: str = "arjovsky2016"
    """Its published definition."""
    loss: float = 1e-3
    """Criterion: the held-out mean squared error is below it."""
    steps: int = 5000
    """Updates of each reported seed at most, the same for every cell."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if not self.lengths:
            raise ValueError("lengths is empty; allowed: one or more sequence lengths. Try --lengths 100.")


SMOKE = Config(
    cells=("RNN", "LSTM-chrono"), hidden=4, lengths=(8,), loss=0.1, learning_rate=(1e-3, 1e-2), grid_steps=10,
    seeds=(10, 11), steps=20, batch_size=4, chunk=10, held_out=16,
)  # fmt: skip

BAI = Config(
    cells=("RNN", "GRU", "GRU-chrono", "LSTM-fb1", "LSTM-chrono"), lengths=(600,), variant="bai2018",
    parameters=70_000, learning_rate=(1e-3, 2e-3, 4e-3), steps=4000, grid_steps=1000,
)  # fmt: skip

KELLER = Config(
    cells=("IRNN",), hidden=100, lengths=(100, 200), loss=0.05, learning_rate=(1e-4, 3e-4, 1e-3), steps=44_000,
    grid_steps=5000, chunk=500,
)  # fmt: skip

CHRONO = Config(
    cells=("LSTM-chrono",), hidden=128, lengths=(400, 1000), loss=0.05, learning_rate=(1e-3, 3e-3, 1e-2), steps=3000,
)  # fmt: skip

LEM = Config(
    cells=("GRU-chrono", "LSTM-chrono"), hidden=128, lengths=(2000,), loss=0.05, learning_rate=(1e-3, 3e-3),
    seeds=(10, 11, 12), steps=4000, batch_size=50, held_out=256,
)  # fmt: skip

PRESETS = {
    "default": Config(),
    "smoke": SMOKE,
    "accelerator": BAI,
    "bai2018": BAI,
    "keller2023": KELLER,
    "keller2023-chrono": CHRONO,
    "lem2000": LEM,
}
