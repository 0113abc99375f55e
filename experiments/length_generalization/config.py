"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results" / "length_generalization"
VARIANTS = {
    "temporal_order": "pascanu2013", "permutation": "pascanu2013", "adding": "pascanu2013",
    "multiplication": "pascanu2013", "parity": "deletang2023",
}  # fmt: skip
NETWORKS = {"sigmoid": "SGD-CR", "basic tanh": "SGD-CR", "smart tanh": "SGD-CR", "LSTM": "Adam", "GRU": "Adam"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Tasks, networks and lengths; the defaults take under an hour on two CPU cores."""

    tasks: tuple[str, ...] = ("temporal_order",)
    """Tasks, of temporal_order, permutation, adding, multiplication and parity."""
    networks: tuple[str, ...] = ("basic tanh", "LSTM", "GRU")
    """Networks, of sigmoid, basic tanh and smart tanh, trained by clipped SGD with Omega, and LSTM and GRU, by Adam."""
    train_lengths: tuple[int, ...] = (50, 60, 70, 80, 90, 100)
    """Lengths in training, equally likely for every example; rising."""
    test_lengths: tuple[int, ...] = (50, 100, 150, 200, 250, 500, 1000, 2000, 3000, 5000)
    """Lengths in the test, rising."""
    tested: int = 10_000
    """Fresh sequences of the test at every length."""
    hidden: int = 50
    """Units of every network (H)."""
    learning_rate: float = 0.01
    """Of SGD, constant."""
    adam_rate: float = 1e-3
    """Of Adam."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    omega_weight: float = 4.0
    """Weight of Omega."""
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Seeds, which chose no setting; each of them is reported."""
    steps: int = 20_000
    """Updates at most, the same for every run."""
    batch_size: int = 20
    """Fresh examples of an update."""
    chunk: int = 500
    """Updates between evaluations."""
    held_out: int = 2000
    """Examples of an evaluation, of the training lengths."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        for name, allowed in (("tasks", VARIANTS), ("networks", NETWORKS)):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(allowed):
                raise ValueError(
                    f"{name}={chosen}; allowed: one or more of {', '.join(allowed)}. Try --{name} '{[*allowed][-1]}'."
                )
        for name in ("train_lengths", "test_lengths"):
            lengths, flag = getattr(self, name), name.replace("_", "-")
            if not lengths or list(lengths) != sorted(set(lengths)):
                raise ValueError(f"{name}={lengths}; allowed: one or more, rising. Try --{flag} 50 100.")
        if self.tested < 1:
            raise ValueError(f"tested={self.tested}; allowed: an int >= 1. Try --tested 10000.")
        if self.hidden < 15:
            raise ValueError(f"hidden={self.hidden}; allowed: at least 15, smart tanh's inputs. Try --hidden 50.")
        if not self.omega_weight > 0:
            raise ValueError(f"omega_weight={self.omega_weight}; allowed: a number > 0. Try --omega-weight 4.")


SMOKE = Config(
    networks=("basic tanh",), train_lengths=(10, 12), test_lengths=(10, 20), tested=40, hidden=15, seeds=(10, 11),
    steps=4, batch_size=2, chunk=2, held_out=8,
)  # fmt: skip

LONG = Config(
    tasks=("temporal_order", "permutation", "adding", "multiplication"), networks=tuple(NETWORKS)[1:],
    train_lengths=tuple(range(50, 201, 10)), steps=50_000,
)  # fmt: skip

ACCELERATOR = dataclasses.replace(LONG, tasks=tuple(VARIANTS), networks=tuple(NETWORKS), steps=500_000, chunk=5000)

PRESETS = {"default": Config(), "smoke": SMOKE, "long": LONG, "accelerator": ACCELERATOR}
