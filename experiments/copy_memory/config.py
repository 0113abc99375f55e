"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experiments.protocol import Protocol

RESULTS = Path(__file__).parents[1] / "results" / "copy_memory"


@dataclasses.dataclass(frozen=True)
class Config(Protocol):
    """Cells and initialisations on the copy task; the defaults take some half an hour on two CPU cores."""

    delays: tuple[int, ...] = (10, 30, 50)
    """Blank steps T between the symbols and their recall; a sequence has T + 20 steps."""
    variant: str = "arjovsky2016"
    """Its published definition."""
    share: float = 0.5
    """Criterion: the held-out cross entropy is below this share of what a network without memory reaches."""
    hidden: int = 64
    """Units of every cell (H)."""
    steps: int = 3000
    """Updates of each reported seed at most, the same for every cell."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if not self.delays:
            raise ValueError("delays is empty; allowed: one or more numbers of steps. Try --delays 30.")
        if not 0 < self.share < 1:
            raise ValueError(f"share={self.share}; allowed: above 0 and below 1. Try --share 0.5.")


SMOKE = Config(
    cells=("RNN", "LSTM-chrono"), hidden=4, delays=(2,), share=0.99, learning_rate=(1e-3, 1e-2), grid_steps=10,
    seeds=(10, 11), steps=20, batch_size=4, chunk=10, held_out=16,
)  # fmt: skip

TALLEC = Config(
    cells=("LSTM-fb1", "LSTM-chrono"), hidden=128, delays=(500,), learning_rate=(1e-3, 3e-3), steps=20_000,
    grid_steps=2000,
)  # fmt: skip

LEZCANO = Config(
    cells=("RNN", "IRNN", "GRU", "LSTM-chrono"), hidden=190, delays=(1000,), share=0.1,
    learning_rate=(2e-4, 1e-3, 3e-3), steps=4000, batch_size=128, held_out=256,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": TALLEC, "tallec2018": TALLEC, "lezcano2019": LEZCANO}
