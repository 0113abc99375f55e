"""The settings, and the initialisations compared: recurrent kernels and biases that keep, of each cell."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from experiments import lab
from experiments.models import IRNN
from recurrax import Cell, GRUCell, LSTMCell, RNNCell, cells
from recurrax.initializers import Chrono, glorot_uniform, identity, normal, orthogonal

EVERY = tuple(cell.short for cell in cells.ALL)
Name = Literal["RNN", "IRNN", "GRU", "LSTM"]
CELLS: dict[str, Callable[..., Cell]] = {"RNN": RNNCell, "IRNN": IRNN, "GRU": GRUCell, "LSTM": LSTMCell}
KEEP: dict[str, tuple[str, int]] = {"LSTM": ("forget_bias", 0), "GRU": ("update_bias", 1)}  # and which row of the bias


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Every initialisation of every cell; the defaults take six minutes on two CPU cores."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds; none of them chose a setting, and all are reported."""
    cells: tuple[Name, ...] = get_args(Name)
    """Cells to start and to train."""
    hidden: int = 32
    """Units of every cell (H)."""
    length: int = 50
    """Sequence length T of the adding problem, and the t_max of chrono."""
    steps: int = 300
    """Updates at most, the same for every cell and initialisation."""
    learning_rate: tuple[float, ...] = (5e-3, 2e-2)
    """Adam's learning rates, the same grid for every cell and initialisation; the better one counts."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 25
    """Updates between evaluations; steps to criterion are known to this precision."""
    lag: int = 30
    """Steps of the Jacobian in (a)."""
    init_length: int = 200
    """Sequence length T of the slopes in (b) and (d)."""
    init_seeds: int = 32
    """Random initialisations in (a), (b) and (d), each with an input sequence of its own."""
    every_cell: tuple[Literal[*EVERY], ...] = dataclasses.field(  # type: ignore[valid-type]
        default=EVERY, metadata={"setting": False}
    )
    """Cells whose slope is measured with their defaults in (d); a record stays valid when a cell is added."""

    def __post_init__(self) -> None:
        """Refuses also what is too small to be measured."""
        super().__post_init__()
        for name, least in (("hidden", 2), ("length", 3), ("init_length", 20)):
            if getattr(self, name) < least:
                self.refuse(name, f"an int >= {least}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        seeds=(10, 11), cells=("GRU",), hidden=5, length=6, steps=4, learning_rate=(1e-2,), batch_size=4, chunk=2,
        lag=4, init_length=20, init_seeds=2, every_cell=("LSTM", "mLSTM", "S5"),
    ),
    "accelerator": Config(
        seeds=tuple(range(10, 20)), hidden=128, length=400, steps=5000, learning_rate=(1e-3, 3e-3, 1e-2),
        batch_size=128, chunk=100,
    ),
}  # fmt: skip


class Start(NamedTuple):
    """One initialisation.

    Attributes:
        options: of the cell.
        fused: the recurrent kernel is an orthogonal draw of [H, G H], split into its G gates.
    """

    options: dict[str, Any]
    fused: bool = False


def starts(cell: str, hidden: int, t_max: float) -> dict[str, Start]:
    """The initialisations of a cell by name; all else is its default, and drawn from the same key."""
    chrono = Chrono(t_max)
    gaussian = normal(hidden**-0.5)
    kernels = {"Glorot": glorot_uniform(), "identity": identity(), "Gaussian": gaussian}
    if cell == "IRNN":
        return {"identity": Start({})}
    if cell == "RNN":
        return {
            name: Start({"recurrent_kernel_init": init})
            for name, init in {"orthogonal": orthogonal(), **kernels}.items()
        }
    bias, _ = KEEP[cell]
    default, biases = (1.0, (0.0, 1.0, 5.0)) if cell == "LSTM" else (0.0, (0.0, 1.0))
    usual = f"bias {default:g}"
    names = ("Glorot", "identity") if cell == "LSTM" else ("Glorot",)
    return {
        **{f"bias {value:g}": Start({bias: value}) for value in biases},
        f"chrono {t_max:g}": Start({bias: chrono}),
        f"{usual}, fused": Start({bias: default}, fused=True),
        **{f"{usual}, {name}": Start({bias: default, "recurrent_kernel_init": kernels[name]}) for name in names},
    }


def build(cell: str, start: Start, key: jax.Array, in_features: int, hidden: int) -> Cell:
    """The cell, started so."""
    one: Any = CELLS[cell](in_features, hidden, rngs=nnx.Rngs(key), **start.options)
    if start.fused:
        U = fused_orthogonal(jax.random.fold_in(key, 1), *one.recurrent_kernel.shape[:2])
        one.recurrent_kernel = one.recurrent_kernel.replace(jnp.swapaxes(U, 1, 2))  # a row an output
    return one


def fused_orthogonal(key: jax.Array, gates: int, hidden: int) -> jax.Array:
    """Orthogonal rows of one ``[H, G H]`` kernel, split into its gates ``[G, H, H]``: none of them is orthogonal.

    The G blocks satisfy ``sum_g U_g U_g^T = I``, so each has mean square singular value 1 / G in place of 1.
    """
    return jnp.stack(jnp.split(orthogonal()(key, (hidden, gates * hidden)), gates, axis=1))


def any_start(cell: str, key: jax.Array, in_features: int, hidden: int, t_max: float) -> Callable[..., Cell]:
    """``index -> cell`` with the initialisation of that number, which may be traced: one program trains them all."""
    make = functools.partial(build, cell, key=key, in_features=in_features, hidden=hidden)
    cells = [make(start=start) for start in starts(cell, hidden, t_max).values()]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cells)
    return lambda index: jax.tree.map(lambda leaf: leaf[index], stacked)
