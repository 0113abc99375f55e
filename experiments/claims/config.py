"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results" / "claims"


@dataclasses.dataclass(frozen=True)
class Config:
    """Every claim of the textbook comparison; the defaults take three to four minutes on two CPU cores."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds, which chose no setting; each of them is reported."""
    hidden: int = 32
    """Units of every trained cell (H)."""
    lengths: tuple[int, ...] = (10, 30, 100)
    """Sequence lengths T of the adding problem, the shortest first."""
    steps: int = 500
    """Updates at most, the same for every cell and length."""
    learning_rate: tuple[float, ...] = (5e-3, 2e-2)
    """Adam's learning rates, the same grid for every cell; the better one counts."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 25
    """Updates between evaluations; steps to criterion are known to this precision."""
    stability_rates: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    """Learning rates of the stability test, the same for every cell."""
    stability_steps: int = 150
    """Updates of the stability test."""
    init_length: int = 200
    """Sequence length T of the measurements at initialisation."""
    init_seeds: int = 32
    """Random initialisations there, each with an input sequence of its own."""
    cost_hidden: tuple[int, ...] = (32, 128, 512)
    """Units of the timed cells."""
    cost_rounds: int = 9
    """Timed calls of each, one of each in turn."""
    examples: int = 64
    """Held-out sequences on which the sensitivity of trained models is measured."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        for name in ("hidden", "stability_steps", "init_seeds", "cost_rounds", "examples"):
            _at_least(name, getattr(self, name), 1)
        _at_least("init_length", self.init_length, 20)
        for name in ("lengths", "cost_hidden"):
            values = getattr(self, name)
            if not values or list(values) != sorted(set(values)):
                flag = name.replace("_", "-")
                raise ValueError(f"{name}={values}; allowed: one or more, rising. Try --{flag} 10 30 100.")
        for name in ("learning_rate", "stability_rates"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; allowed: one or more numbers > 0. Try --learning-rate 5e-3 2e-2.")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(
            f"{name}={value}; allowed: an int >= {least}. Try --{name.replace('_', '-')} {max(least, 32)}."
        )


SMOKE = Config(
    seeds=(10, 11), hidden=4, lengths=(4,), steps=4, learning_rate=(1e-2,), batch_size=4, chunk=2,
    stability_rates=(1e-2,), stability_steps=2, init_length=20, init_seeds=2, cost_hidden=(4,), cost_rounds=2,
    examples=4,
)  # fmt: skip

ACCELERATOR = Config(
    seeds=tuple(range(10, 20)), hidden=128, lengths=(10, 30, 100, 300, 1000), steps=5000,
    learning_rate=(3e-4, 1e-3, 3e-3, 1e-2), batch_size=128, chunk=100, stability_steps=1000,
    cost_hidden=(32, 128, 512, 1024),
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
