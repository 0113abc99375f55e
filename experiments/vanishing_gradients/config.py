"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

CELLS = ("RNN", "GRU", "LSTM")
RESULTS = Path(__file__).parents[1] / "results" / "vanishing_gradients"


@dataclasses.dataclass(frozen=True)
class Config:
    """Gradient flow and learning of RNN, GRU and LSTM; the defaults take a minute or two on two CPU cores."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Training seeds, all in one compiled program; each of them is reported."""
    cells: tuple[str, ...] = CELLS
    """Cells to train, of RNN, GRU and LSTM."""
    hidden: int = 32
    """Units of every cell (H)."""
    adding_lengths: tuple[int, ...] = (25, 50, 100)
    """Sequence lengths T of the adding problem."""
    adding_variant: str = "arjovsky2016"
    """Published definition of the adding problem."""
    adding_steps: int = 500
    """Updates at most on adding, for every cell; a cell stops when all its seeds have solved the task."""
    copy_delay: int = 10
    """Delay of copy memory: blanks between the symbols and their recall."""
    copy_variant: str = "arjovsky2016"
    """Published definition of copy memory."""
    copy_steps: int = 300
    """Updates on copy, for every cell."""
    learning_rate: float = 2e-2
    """Adam's learning rate, the same for every cell and task."""
    clip_norm: float = 1.0
    """Largest norm of the gradient, the same for every cell and task."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 50
    """Updates between evaluations; steps to criterion are known to this precision."""
    init_length: int = 200
    """Sequence length T of the measurements at initialisation."""
    init_seeds: int = 32
    """Random initialisations there, each with an input sequence of its own."""
    profile_examples: int = 16
    """Held-out sequences of each trained model for its gradient profile and gates."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        sizes = ("hidden", "adding_steps", "copy_steps", "batch_size", "chunk", "init_seeds", "profile_examples")
        for name in sizes:
            _at_least(name, getattr(self, name), 1)
        _at_least("init_length", self.init_length, 20)
        unknown = [cell for cell in self.cells if cell not in CELLS]
        if unknown or not self.cells:
            raise ValueError(f"cells={self.cells}; allowed: one or more of {', '.join(CELLS)}. Try --cells LSTM.")
        if not self.adding_lengths:
            raise ValueError("adding_lengths is empty; allowed: one or more lengths. Try --adding-lengths 25 50.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={self.seeds}; allowed: one or more, all different. Try --seeds 0 1 2 3 4.")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(
            f"{name}={value}; allowed: an int >= {least}. Try --{name.replace('_', '-')} {max(least, 32)}."
        )


SMOKE = Config(
    seeds=(0, 1), hidden=8, adding_lengths=(10,), adding_steps=20, copy_delay=2, copy_steps=10, chunk=10,
    init_length=40, init_seeds=3, profile_examples=3,
)  # fmt: skip

ACCELERATOR = Config(
    seeds=tuple(range(10)), hidden=128, adding_lengths=(100, 200, 400, 750), adding_steps=10_000, copy_delay=100,
    copy_steps=20_000, learning_rate=2e-3, batch_size=128, chunk=250,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
