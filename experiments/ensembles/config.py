"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

CELLS = ("RNN", "GRU", "LSTM")
RESULTS = Path(__file__).parents[1] / "results" / "ensembles"


@dataclasses.dataclass(frozen=True)
class Config:
    """Wall times of ensembles and of the trainer."""

    cell: str = "LSTM"
    """Cell to train, of RNN, GRU and LSTM."""
    hidden: int = 32
    """Its units (H)."""
    length: int = 100
    """Sequence length T of the adding problem."""
    batch_size: int = 32
    """Fresh examples of an update."""
    seeds: int = 8
    """Runs of the first comparison."""
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Values of the second, with seeds / values seeds each."""
    steps: int = 200
    """Updates of each run in the two comparisons."""
    checkpoint_every: int = 500
    """Updates between evaluations, metrics and checkpoints in the third."""
    trainer_steps: int = 2000
    """Updates of each run there, two chunks or more; the first is not timed."""
    trainer_seeds: int = 5
    """Runs there, in one program."""
    rounds: int = 3
    """Times that each comparison is made."""
    out: Path = RESULTS
    """Folder of the record and the table."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        if self.cell not in CELLS:
            raise ValueError(f"cell={self.cell!r}; allowed: {', '.join(CELLS)}. Try --cell LSTM.")
        names = ("hidden", "seeds", "steps", "checkpoint_every", "trainer_steps", "trainer_seeds", "rounds")
        for name in names:
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise ValueError(f"{name}={getattr(self, name)}; allowed: an int >= 1. Try --{flag} 8.")
        if self.trainer_steps < 2 * self.checkpoint_every:
            raise ValueError(
                f"trainer_steps={self.trainer_steps} with checkpoint_every={self.checkpoint_every}; allowed: twice "
                f"that or more. Try --trainer-steps {4 * self.checkpoint_every}."
            )
        if not self.learning_rates or self.seeds % len(self.learning_rates):
            raise ValueError(
                f"seeds={self.seeds} with {len(self.learning_rates)} learning_rates; allowed: a multiple of their "
                "number, so that both comparisons have as many runs. Try --seeds 8 with four of them."
            )


SMOKE = Config(
    cell="RNN", hidden=4, length=8, batch_size=4, seeds=2, learning_rates=(1e-2,), steps=10, checkpoint_every=10,
    trainer_steps=20, trainer_seeds=2, rounds=1,
)  # fmt: skip
PRESETS = {"default": Config(), "smoke": SMOKE}
