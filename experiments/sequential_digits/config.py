"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experiments.protocol import STARTS, check_at_least

DATA = ("digits", "mnist", "cifar10")
ORDERS = ("pixels", "permuted", "rows")
RESULTS = Path(__file__).parents[1] / "results" / "sequential_digits"


@dataclasses.dataclass(frozen=True)
class Config:
    """Classification of images read as sequences; the defaults take about five minutes on two CPU cores."""

    data: str = "digits"
    """Data set: digits (bundled with scikit-learn), mnist or cifar10."""
    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where the data lie, see `python -m recurrax.datasets get --help`; TFDS's own folder by default."""
    orders: tuple[str, ...] = ORDERS
    """Orders of reading: pixels, permuted, rows."""
    cells: tuple[str, ...] = ("RNN", "IRNN", "GRU", "LSTM-fb1", "LSTM-chrono", "LRU", "MinGRU", "MinLSTM")
    """Cells with their initialisation, one after another."""
    hidden: int = 32
    """Units of every cell (H)."""
    learning_rate: tuple[float, ...] = (2e-3, 8e-3, 3e-2)
    """Adam's learning rates, the same grid for every cell; the validation split chooses."""
    clip_norm: float = 1.0
    """Largest norm of the gradient, the same for every cell."""
    seeds: tuple[int, ...] = (20, 21, 22, 23, 24)
    """Seeds at each learning rate, which chose no other setting; at the rate of a row all of them are reported."""
    steps: int = 1000
    """Updates of each run, the same for every cell."""
    batch_size: int = 16
    """Training examples of an update, drawn with replacement."""
    chunk: int = 100
    """Updates between evaluations on the validation split."""
    held_out: int = 500
    """Examples evaluated at once; an evaluation is of the whole validation split, the test of the whole test split."""
    penalties: tuple[float, ...] = (1.0, 0.1, 0.01)
    """L2 penalties of the linear classifier, its own grid (1 / C of scikit-learn)."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        if self.data not in DATA:
            raise ValueError(f"data={self.data!r}; allowed: {', '.join(DATA)}. Try --data digits.")
        for name, allowed in (("orders", ORDERS), ("cells", tuple(STARTS))):
            given = getattr(self, name)
            if not given or not set(given) <= set(allowed) or len(set(given)) < len(given):
                raise ValueError(
                    f"{name}={given}; allowed: one or more of {', '.join(allowed)}. Try --{name} {allowed[-1]}."
                )
        check_at_least("hidden", self.hidden, 1)
        if not self.learning_rate:
            raise ValueError("learning_rate is empty; allowed: one or more numbers > 0. Try --learning-rate 1e-2.")
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError(f"penalties={self.penalties}; allowed: one or more numbers > 0. Try --penalties 1 0.1.")


SMOKE = Config(
    seeds=(20, 21), cells=("GRU",), orders=("rows",), hidden=4, learning_rate=(1e-2,), steps=4, batch_size=4, chunk=2,
    penalties=(1.0,),
)  # fmt: skip

# MNIST by rows, a quarter of an hour on two CPU cores; more images ask for a stronger penalty of the linear classifier.
MNIST = Config(
    data="mnist", orders=("rows",), steps=2000, batch_size=64, chunk=200, penalties=(1000.0, 100.0, 10.0),
)  # fmt: skip

# The sizes and the budget of Bai et al. (2018): 130 units, ten epochs of 64 images, rate 1e-3, norm clipped at 1.
ACCELERATOR = Config(
    data="mnist", orders=("pixels", "permuted"), cells=("RNN", "IRNN", "GRU", "LSTM-fb1", "LSTM-chrono"), hidden=130,
    learning_rate=(1e-3,), seeds=(20, 21, 22), steps=8600, batch_size=64, chunk=430, penalties=(1000.0, 100.0, 10.0),
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "mnist": MNIST, "accelerator": ACCELERATOR}
