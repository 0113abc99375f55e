"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

RESULTS = Path(__file__).parents[1] / "results" / "speed"
CELLS = ("RNN", "GRU", "LSTM")
MEASUREMENTS = ("training", "forward", "streaming")
WITH_IPYTHON = "recurrax with IPython"  # an import of it
IMPLEMENTATIONS = ("recurrax", "flax.nnx", "flax.linen", "haiku", "equinox", "keras", "torch")
PARTS = ("peers", "scaling", "memory", "parallel", "start")
SCALED = ("GRU", "MinGRU", "MinLSTM", "DiagonalRNN", "LRU")
DTYPES = ("float32", "bfloat16")

Shape = tuple[int, int, int, int]


def check_names(name: str, values: tuple[Any, ...], allowed: tuple[str, ...] | None) -> None:
    """Refuses an empty list, one that names something twice, and what is not among ``allowed``."""
    if not values or len(set(values)) < len(values) or (allowed and not set(values) <= set(allowed)):
        choice = f", of {', '.join(allowed)}" if allowed else ""
        example = allowed[0] if allowed else {"engines": "scan"}.get(name, "LSTM")
        raise ValueError(f"{name}={values}; allowed: one or more, all different{choice}. Try --{name} {example}.")


def check_shapes(name: str, shapes: tuple[Shape, ...]) -> None:
    """Refuses shapes of which one has a zero or stands twice."""
    if not shapes or min(min(shape) for shape in shapes) < 1 or len(set(shapes)) < len(shapes):
        flag = name.replace("_", "-")
        raise ValueError(f"{name}={shapes}; allowed: B T D H, all >= 1, no shape twice. Try --{flag} 32 100 2 128.")


def check_sampling(rounds: int, seconds: float) -> None:
    """Refuses to take no samples."""
    if rounds < 1:
        raise ValueError(f"rounds={rounds}; allowed: an int >= 1. Try --rounds 7.")
    if not 0 < seconds < 1e6:
        raise ValueError(f"seconds_per_case={seconds}; allowed: > 0. Try --seconds-per-case 45.")


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Sizes of the curves, of the memory of engines and of what is parallel over time; no sizes: no curve."""

    cells: tuple[str, ...] = SCALED
    """Cells of the curves, of GRU, MinGRU, MinLSTM, DiagonalRNN and LRU."""
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
        """Refuses sizes of zero, and cells that have no curve."""
        check_names("scaling.cells", self.cells, SCALED)
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            if not min(value if isinstance(value, tuple) else (value,), default=1) > 0:
                flag = f"--scaling.{field.name.replace('_', '-')}"
                raise ValueError(f"scaling.{field.name}={value}; allowed: numbers > 0. Try {flag} 100.")


@dataclasses.dataclass(frozen=True)
class Config:
    """Times and memory of recurrax's engines and of their peers; the defaults take an hour on two CPU cores."""

    shapes: tuple[Shape, ...] = (
        (32, 100, 2, 32), (32, 100, 2, 128), (64, 784, 1, 128), (20, 35, 650, 650), (16, 1024, 768, 768),
        (1, 1000, 32, 64), (128, 256, 64, 256),
    )  # fmt: skip
    """Shapes (B, T, D, H) of the training step: batch, steps, inputs, units."""
    inference_shapes: tuple[Shape, ...] = ((32, 100, 2, 128), (20, 35, 650, 650), (1, 1000, 32, 64))
    """Shapes of forward pass and streaming step, which are fewer to save time."""
    cells: tuple[str, ...] = CELLS
    """Cells to time, of RNN, GRU and LSTM."""
    measurements: tuple[str, ...] = MEASUREMENTS
    """What to time, of training, forward and streaming."""
    implementations: tuple[str, ...] = IMPLEMENTATIONS
    """Of recurrax, flax.nnx, flax.linen, haiku, equinox, keras and torch; one that is not installed is a row."""
    engines: tuple[str, ...] = ("scan", "adjoint", "auto")
    """Engines of recurrax, by name; one that refuses a cell is a row that says why."""
    dtypes: tuple[str, ...] = ("float32",)
    """Of parameters, inputs and state: float32, bfloat16."""
    precision: Literal["default", "highest"] = "default"
    """Matrix products of float32: default lets JAX and PyTorch use TF32 where the device has it, highest neither."""
    parts: tuple[str, ...] = PARTS
    """Of peers, scaling, memory, parallel and start (import and first call)."""
    rounds: int = 31
    """Most samples of an implementation in a case, one of each in turn."""
    seconds_per_case: float = 450.0
    """Samples are taken until this is spent, but at least three."""
    scaling: Scaling = Scaling()
    """Sizes of the other parts."""
    out: Path = RESULTS
    """Folder of the record, the table and the figure."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        check_names("cells", self.cells, CELLS)
        check_names("measurements", self.measurements, MEASUREMENTS)
        check_names("implementations", self.implementations, IMPLEMENTATIONS)
        check_names("dtypes", self.dtypes, DTYPES)
        check_names("parts", self.parts, PARTS)
        check_names("engines", self.engines, None)
        check_sampling(self.rounds, self.seconds_per_case)
        check_shapes("shapes", self.shapes)
        check_shapes("inference_shapes", self.inference_shapes)


@dataclasses.dataclass(frozen=True)
class Tune:
    """Measures the engines and their options for one shape on this device; prints them and the line to write."""

    tune: Shape
    """B T D H: batch, steps, inputs, units."""
    cells: tuple[str, ...] = ("LSTM",)
    """Cells to tune for: RNN, GRU, LSTM or another cell of recurrax, by its name without "Cell"."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of parameters, inputs and state."""
    rounds: int = 15
    """Most samples of an engine."""
    seconds: float = 15.0
    """Samples are taken until this is spent, but at least three; compilation comes on top."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run."""
        if min(self.tune) < 1:
            raise ValueError(f"tune={self.tune}; allowed: B T D H, all >= 1. Try --tune 32 100 2 128.")
        if self.rounds < 1 or not self.seconds > 0:
            raise ValueError(f"rounds={self.rounds}, seconds={self.seconds}; allowed: >= 1 and > 0. Try --rounds 7.")
        check_names("cells", self.cells, None)


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
