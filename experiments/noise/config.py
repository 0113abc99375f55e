"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

CELLS = ("RNN", "IRNN", "NoInputGate", "LSTM", "ShutLSTM", "CIFG", "GRU")
RESULTS = Path(__file__).parents[1] / "results" / "noise"


@dataclasses.dataclass(frozen=True)
class Config:
    """Every cell at every noise level and delay; the defaults take three to four minutes on two CPU cores."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds, which chose no setting; each of them is reported."""
    cells: tuple[str, ...] = CELLS
    """Cells, of RNN, IRNN, NoInputGate, LSTM, ShutLSTM (its input gate starts shut), CIFG and GRU."""
    noise: tuple[float, ...] = (0.0, 1.0, 2.0)
    """Standard deviations of the noise at every step, in units of the bit; a model is trained for each."""
    delays: tuple[int, ...] = (10, 40)
    """Least steps between the cue and the answer."""
    hidden: int = 16
    """Units of every cell (H)."""
    steps: int = 500
    """Updates, the same for every cell, level and delay."""
    learning_rate: tuple[float, ...] = (5e-3, 2e-2)
    """Adam's learning rates, the same grid for every cell; that with the lower held-out loss counts."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 250
    """Updates between evaluations, of which the one with the lowest held-out loss counts."""
    held_out: int = 2048
    """Examples of an evaluation, and of the test after the last one."""
    examples: int = 256
    """Sequences on which gradients, share of noise and gates of each trained model are measured."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        for name in ("hidden", "steps", "batch_size", "chunk", "held_out", "examples"):
            if (value := getattr(self, name)) < 1:
                flag = name.replace("_", "-")
                raise ValueError(f"{name}={value}; allowed: an int >= 1. Try --{flag} 32.")
        _check_set("cells", self.cells, "LSTM GRU", set(self.cells) <= set(CELLS), f"of {', '.join(CELLS)}")
        _check_set(
            "noise", self.noise, "0 0.5 1", all(0 <= level < 1e6 for level in self.noise), "numbers >= 0, rising"
        )
        _check_set("noise", self.noise, "0 0.5 1", sorted(self.noise) == list(self.noise), "numbers >= 0, rising")
        _check_set("delays", self.delays, "10 30", sorted(self.delays) == list(self.delays), "ints >= 1, rising")
        _check_set("learning_rate", self.learning_rate, "1e-2", True, "numbers > 0")


def _check_set(name: str, values: tuple[Any, ...], example: str, fine: bool, allowed: str) -> None:
    if not (values and fine and len(set(values)) == len(values)):
        flag = name.replace("_", "-")
        raise ValueError(f"{name}={values}; allowed: one or more, all different, {allowed}. Try --{flag} {example}.")


SMOKE = Config(
    seeds=(10, 11), cells=("LSTM",), noise=(0.0, 1.0), delays=(3,), hidden=2, steps=4, learning_rate=(1e-2,),
    batch_size=4, chunk=2, held_out=8, examples=4,
)  # fmt: skip

ACCELERATOR = Config(
    seeds=tuple(range(10, 20)), noise=(0.0, 0.25, 0.5, 1.0, 2.0, 4.0), delays=(10, 30, 100, 300), hidden=64, steps=5000,
    learning_rate=(1e-3, 3e-3, 1e-2), batch_size=256, chunk=250, held_out=16_384, examples=1024,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
