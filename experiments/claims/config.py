"""The settings of the claims: what is trained, for how long, with which seeds."""

from __future__ import annotations

import dataclasses

from experiments import lab

COMPARED = ("RNN", "GRU", "LSTM")
TRAINED = ("RNN", "identity RNN", "GRU", "LSTM")
LINEAR = "linear"  # one linear map of all inputs: the simplest model of a short sequence
SHUT = "LSTM, forget bias 0"
SIMPLER = (LINEAR, "RNN")  # than the LSTM
BRIEF = 20  # steps up to which a sequence counts as short
PIXELS = 64  # pixels of a digit, read in T steps of PIXELS / T each


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Every claim of the textbook comparison; the defaults take a few minutes, and the preset "table" half an hour."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds; none of them chose a setting, and all are reported."""
    grid_seeds: tuple[int, ...] = (0,)
    """Seeds that choose the learning rates, and that are not reported."""
    learning_rate: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Adam's learning rates, the same grid for every cell."""
    hidden: int = 16
    """Units of every trained cell (H), but for the learning curves."""
    lengths: tuple[int, ...] = (2, 10, 30)
    """Sequence lengths T of the adding problem, the shortest first."""
    steps: int = 600
    """Updates at most, the same for every cell and length."""
    batch_size: int = 32
    """Examples of an update."""
    chunk: int = 25
    """Updates between evaluations; steps to criterion are known to this precision."""
    digit_steps: tuple[int, ...] = (8,)
    """Steps T in which a digit of 64 pixels is read, a divisor of 64 each."""
    sequences: tuple[int, ...] = (100, 1000)
    """Training sequences of the learning curves; of the digits no more than there are."""
    data_lengths: tuple[int, ...] = (10,)
    """Sequence lengths T of the adding problem there."""
    data_steps: int = 400
    """Updates there, the same for every cell and number of sequences."""
    weights: int = 1250
    """Weights of every cell there, with its linear head: each has as many units as come closest."""
    stability_rates: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    """Learning rates of the stability test, the same for every cell."""
    stability_steps: int = 150
    """Updates of the stability test."""
    init_length: int = 200
    """Sequence length T of the measurements at initialisation."""
    init_seeds: int = 32
    """Random initialisations there, each with an input sequence of its own."""
    cost_hidden: tuple[int, ...] = (32, 128)
    """Units of the timed cells."""
    cost_rounds: int = 12
    """Timed calls of each, one of each in turn."""
    examples: int = 64
    """Held-out sequences on which the sensitivity of trained models is measured."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if self.init_length < 20:
            self.refuse("init_length", "an int >= 20")
        for name in ("lengths", "cost_hidden", "sequences", "data_lengths"):
            if list(getattr(self, name)) != sorted(getattr(self, name)):
                self.refuse(name, "one or more, rising")
        if any(PIXELS % steps for steps in self.digit_steps):
            self.refuse("digit_steps", f"divisors of {PIXELS}")
        if set(self.seeds) & set(self.grid_seeds):
            self.refuse("grid_seeds", "seeds that are not among --seeds")


PRESETS = {
    "default": Config(),
    "table": Config(
        seeds=tuple(range(10, 30)), grid_seeds=(0, 1, 2, 3, 4), lengths=(2, 5, 10, 20, 50), steps=800,
        digit_steps=(2, 8, 16), sequences=(100, 300, 1000, 3000, 10_000), data_lengths=(10, 30), data_steps=600,
        stability_rates=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0), cost_hidden=(32, 128, 512),
        cost_rounds=15,
    ),
    "smoke": Config(
        seeds=(10, 11), hidden=4, lengths=(4,), steps=4, learning_rate=(1e-2,), batch_size=4, chunk=2,
        sequences=(4,), data_lengths=(4,), data_steps=4, weights=100, stability_rates=(1e-2,), stability_steps=2,
        init_length=20, init_seeds=2, cost_hidden=(4,), cost_rounds=2, examples=4,
    ),
    "accelerator": Config(
        seeds=tuple(range(10, 30)), grid_seeds=(0, 1, 2, 3, 4), hidden=128, lengths=(2, 5, 10, 20, 100, 300, 1000),
        steps=5000, batch_size=128, chunk=100, digit_steps=(2, 4, 8, 16), sequences=(100, 300, 1000, 3000, 10_000),
        data_lengths=(10, 30), data_steps=5000, weights=50_000, stability_steps=1000,
        cost_hidden=(32, 128, 512, 1024),
    ),
}  # fmt: skip
