"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results" / "temporal_order"
STARTS = ("sigmoid", "basic tanh", "smart tanh")
NETWORKS = (*STARTS, "LSTM", "GRU")
METHODS = ("SGD", "SGD-C", "SGD-CR", "Adam")


@dataclasses.dataclass(frozen=True)
class Config:
    """Networks, methods and lengths; the defaults take some twenty minutes on two CPU cores."""

    networks: tuple[str, ...] = NETWORKS
    """Networks, of sigmoid, basic tanh, smart tanh (the paper's three initialisations), LSTM and GRU."""
    methods: tuple[str, ...] = METHODS
    """Ways of training, of SGD, SGD-C (clipped), SGD-CR (with Omega) and Adam (clipped). LSTM and GRU are trained by
    SGD-C and Adam alone."""
    lengths: tuple[int, ...] = (10, 20, 30)
    """Sequence lengths T, rising."""
    symbols: int = 2
    """Symbols whose order is asked for, 2 or 3."""
    hidden: int = 50
    """Units of every network (H)."""
    learning_rate: float = 0.01
    """Of the three kinds of SGD, constant."""
    adam_rate: float = 1e-3
    """Of Adam."""
    clip_norm: float = 1.0
    """Largest norm of the gradient where it is clipped."""
    omega_weight: float = 4.0
    """Weight of Omega in SGD-CR: 4 in the paper, 2 in the code's defaults."""
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Seeds, which chose no setting; each of them is reported."""
    steps: int = 10_000
    """Updates at most, the same for every run."""
    batch_size: int = 20
    """Fresh examples of an update."""
    chunk: int = 500
    """Updates between evaluations; updates to success are known to this precision."""
    held_out: int = 10_000
    """Examples of an evaluation, and of the test."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        for name, allowed in (("networks", NETWORKS), ("methods", METHODS)):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(allowed):
                raise ValueError(
                    f"{name}={chosen}; allowed: one or more of {', '.join(allowed)}. Try --{name} '{allowed[-1]}'."
                )
        if not self.lengths or list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"lengths={self.lengths}; allowed: one or more, rising. Try --lengths 20 30.")
        if self.hidden < 15:
            raise ValueError(f"hidden={self.hidden}; allowed: at least 15, smart tanh's inputs. Try --hidden 50.")
        if not self.omega_weight > 0:
            raise ValueError(f"omega_weight={self.omega_weight}; allowed: a number > 0. Try --omega-weight 4.")


SMOKE = Config(
    networks=("smart tanh",), methods=("SGD", "SGD-CR"), lengths=(10,), hidden=15, seeds=(10, 11), steps=4,
    batch_size=2, chunk=2, held_out=8,
)  # fmt: skip

LONG = Config(lengths=(10, 20, 30, 40, 50), steps=50_000)

ACCELERATOR = Config(lengths=(20, 50, 100, 150, 200, 250), steps=200_000, chunk=2000)

PRESETS = {"default": Config(), "smoke": SMOKE, "long": LONG, "accelerator": ACCELERATOR}
