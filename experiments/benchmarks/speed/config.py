"""The settings of the speed benchmark, and what it compares."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from experiments import lab
from recurrax.timing import Shape

Name = Literal["RNN", "GRU", "LSTM"]
Measurement = Literal["training", "forward", "streaming"]
Implementation = Literal["recurrax", "flax.nnx", "flax.linen", "haiku", "equinox", "keras", "torch"]
Part = Literal["peers", "scaling", "memory", "parallel", "start"]
Scaled = Literal["GRU", "MinGRU", "MinLSTM", "DiagonalRNN", "LRU"]
DType = Literal["float32", "bfloat16"]
CELLS: tuple[Name, ...] = get_args(Name)
DTYPES: tuple[DType, ...] = get_args(DType)
WITH_IPYTHON = "recurrax with IPython"  # an import of it


def check_shapes(config: lab.Settings, *names: str) -> None:
    """Raises ValueError if a shape of one of these settings has a zero."""
    for name in names:
        if min(map(min, getattr(config, name))) < 1:
            config.refuse(name, "B T D H, all >= 1")


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Sizes of the curves, of the memory of engines and of what is parallel over time; no sizes: no curve."""

    cells: tuple[Scaled, ...] = get_args(Scaled)
    """Cells of the curves."""
    lengths: tuple[int, ...] = (100, 1000, 10_000, 100_000)
    """Steps T of the curve over T, at B = 1."""
    hidden: tuple[int, ...] = (64, 256, 1024)
    """Units H of the curve over H."""
    batches: tuple[int, ...] = (1, 16, 256)
    """Sequences B of the curve over B."""
    seeds: tuple[int, ...] = (1, 8, 32)
    """Runs in one program, of the curve over runs."""
    base: Shape = (32, 100, 32, 32)
    """B T D H of every curve but for what it varies."""
    memory_lengths: tuple[int, ...] = (1000, 10_000, 100_000)
    """Steps T of the memory curve, which compiles and runs nothing."""
    memory_shape: Shape = (16, 10_000, 32, 256)
    """B T D H of the LSTM's training step whose memory every engine states; compiled, not run."""
    parallel_length: int = 16_384
    """Steps T at which Associative is compared with Scan, at H = 32."""
    newton_lengths: tuple[int, ...] = (100, 1000)
    """Steps T at which Newton is compared with Scan, at H = 16."""
    gains: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    """Factors of the recurrent weights at which Newton is tried."""

    def __post_init__(self) -> None:
        """Raises ValueError for sizes of zero; no size at all leaves a curve out."""
        for name, value in vars(self).items():
            sizes = value if isinstance(value, tuple) else (value,)
            if name != "cells" and any(size <= 0 for size in sizes):
                flag = f"--scaling.{name.replace('_', '-')}"
                raise ValueError(f"scaling.{name}={value}; allowed: numbers > 0. Change {flag}.")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Times and memory of recurrax's engines and of their peers; the defaults take an hour on two CPU cores."""

    shapes: tuple[Shape, ...] = (
        (32, 100, 2, 32), (32, 100, 2, 128), (64, 784, 1, 128), (20, 35, 650, 650), (16, 1024, 768, 768),
        (1, 1000, 32, 64), (128, 256, 64, 256),
    )  # fmt: skip
    """Shapes (B, T, D, H) of the training step: batch, steps, inputs, units."""
    inference_shapes: tuple[Shape, ...] = ((32, 100, 2, 128), (20, 35, 650, 650), (1, 1000, 32, 64))
    """Shapes of forward pass and streaming step, which are fewer to save time."""
    cells: tuple[Name, ...] = CELLS
    """Cells to time."""
    measurements: tuple[Measurement, ...] = get_args(Measurement)
    """Measurements to make."""
    implementations: tuple[Implementation, ...] = get_args(Implementation)
    """Libraries to time; one that is not installed is a row that says so."""
    engines: tuple[str, ...] = ("scan", "adjoint", "auto")
    """Engines of recurrax, by name; one that refuses a cell is a row that says why."""
    dtypes: tuple[DType, ...] = ("float32",)
    """Dtype of parameters, inputs and state."""
    precision: Literal["default", "highest"] = "default"
    """Matrix products of float32: default lets JAX and PyTorch use TF32 where the device has it, highest neither."""
    parts: tuple[Part, ...] = get_args(Part)
    """Measurements to make; "start" is import and first call."""
    rounds: int = 31
    """Most samples of an implementation in a case, one of each in turn."""
    seconds_per_case: float = 450.0
    """Samples are taken until this is spent, but at least three."""
    scaling: Scaling = Scaling()
    """Sizes of the other parts."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        check_shapes(self, "shapes", "inference_shapes")


SMOKE = Config(
    shapes=((2, 5, 2, 4),), inference_shapes=((2, 5, 2, 4),), cells=("LSTM",), engines=("scan", "adjoint"),
    implementations=("recurrax", "flax.nnx", "torch"), rounds=2, seconds_per_case=0.5,
    scaling=Scaling(cells=("GRU", "MinGRU"), lengths=(5,), hidden=(), batches=(), seeds=(2,), base=(2, 5, 2, 4),
                    memory_lengths=(), memory_shape=(2, 8, 2, 4), parallel_length=8, newton_lengths=(6,), gains=(1.0,)),
)  # fmt: skip

ACCELERATOR = Config(
    shapes=(*Config().shapes, (256, 1024, 256, 1024), (64, 4096, 64, 512), (64, 256, 2048, 2048)),
    inference_shapes=(*Config().inference_shapes, (256, 1024, 256, 1024)), dtypes=DTYPES, seconds_per_case=45.0,
    scaling=Scaling(hidden=(32, 128, 512, 1024, 2048), batches=(1, 8, 64, 512, 4096), seeds=(1, 4, 16, 64, 256)),
)  # fmt: skip

# A few minutes: where one kernel runs all steps, where it does not fit, and where the products count. Inference is not
# measured; its shapes are those that the committed records carry in their settings.
GPU = Config(
    shapes=((64, 784, 1, 64), (64, 784, 1, 128), (64, 256, 256, 256), (64, 256, 768, 768)), cells=("GRU", "LSTM"),
    measurements=("training",), implementations=("recurrax", "flax.nnx", "torch"), engines=("auto", "pallas"),
    dtypes=DTYPES, parts=("peers",), inference_shapes=Config().inference_shapes[:2], rounds=11, seconds_per_case=3,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "gpu": GPU, "accelerator": ACCELERATOR}
