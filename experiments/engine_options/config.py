"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experiments.speed import config as speed
from experiments.speed.config import Shape

RESULTS = Path(__file__).parents[1] / "results" / "engine_options"


@dataclasses.dataclass(frozen=True)
class Config:
    """Training steps under every engine and option; the defaults take a quarter of an hour on two CPU cores."""

    shapes: tuple[Shape, ...] = speed.Config().shapes
    """Shapes (B, T, D, H): batch, steps, inputs, units."""
    cells: tuple[str, ...] = speed.CELLS
    """Cells to time: RNN, GRU, LSTM or other cells of recurrax, by their names without "Cell"."""
    dtypes: tuple[str, ...] = ("float32",)
    """Of parameters, inputs and state: float32, bfloat16."""
    rounds: int = 11
    """Most samples of an engine in a case, one of each in turn."""
    seconds_per_case: float = 12.0
    """Samples are taken until this is spent, but at least three; compilation comes on top."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        speed.check_names("cells", self.cells, None)
        speed.check_names("dtypes", self.dtypes, speed.DTYPES)
        speed.check_shapes("shapes", self.shapes)
        speed.check_sampling(self.rounds, self.seconds_per_case)


SMOKE = Config(shapes=((2, 5, 2, 4),), cells=("LSTM",), rounds=2, seconds_per_case=0.5)
ACCELERATOR = Config(shapes=speed.ACCELERATOR.shapes, dtypes=speed.DTYPES, rounds=30)

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
