"""Rules from measurements that choose the options of `Adjoint` for "auto".

``python -m experiments.benchmarks.engine_options`` compares the cost of all options; ``recurrax tune`` does so for one
shape.

On a CPU, matrix products and the first access to memory take the time. If the arrays of a program do not fit into 32
MiB, the operating system provides fresh memory at every call, which costs as much as a product.

- Inputs are projected for all steps at once, unless D is small: then one product of inputs and state in the loop is
  cheaper than storing the projection.
- Pre-activations are stored, unless sequences are long, so that memory matters, and H is small: recomputing one costs 2
  H operations. For a single sequence with a small state they are recomputed too.
- With few rows, large recurrent kernels are the first factor of the forward loop's products; as the second factor they
  would be copied at every step.
- Time is cut into chunks if an array of all steps has more than 4 MB; the array of a chunk then has 2 MB.

On an NVIDIA GPU a step is a product and one or two kernels, each shorter than its launch. So loop bodies of many steps,
which XLA launches as one graph, are faster. Few inputs are multiplied in the loop here too, and storing pre-activations
saves no time. Other devices have not been measured. They get the rules for large arrays, but no chunks, which serve the
memory of a CPU.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax

from recurrax.cell import Carry, Cell
from recurrax.cells.affine import AffineCell
from recurrax.engines.chunks import divisor
from recurrax.kernels import STEP_ROWS, RecurrentKernel

CHOICES = {
    "keep": ("states", "preactivations"),
    "projection": ("hoisted", "joint"),
}
WHOLE = 4 * 2**20  # bytes of an array of all steps; up to this size there is one chunk
CHUNK = 2 * 2**20  # bytes of an array of one chunk
WIDE = 192  # the least H for which pre-activations of long sequences are stored
SHORT = 96  # the largest H for which the pre-activations of a single sequence are recomputed
FEW_INPUTS, MANY = 8, 16  # the largest D and the least B for one product of inputs and state
UNROLLED = 16  # steps in a loop body on a GPU
HEAVY, REPAYS = 3 * 2**17, 16  # least G H H and T for kernels as first factors on a CPU, up to STEP_ROWS rows


class Tuning(NamedTuple):
    """The chosen options of `Adjoint`."""

    keep: str
    projection: str
    chunk: int | None
    unroll: int
    leading: bool

    @property
    def joint(self) -> bool:
        """Whether state and inputs are multiplied in one product."""
        return self.projection == "joint"


def tune(options: Any, cell: Cell, carry: Carry, xs: jax.Array) -> Tuning:
    """Chooses every option that is "auto", for ``xs: [T, *batch, D]``."""
    state, T = jax.tree.leaves(carry)[-1], xs.shape[0]
    H, step = state.shape[-1], math.prod(state.shape) * state.dtype.itemsize
    B, D, gates = math.prod(state.shape[:-1]), xs.shape[-1], _gates(cell)
    cpu, gpu = (jax.default_backend() == platform for platform in ("cpu", "gpu"))
    long = cpu and T * step > WHOLE
    single = cpu and B == 1 and gates > 1 and H <= SHORT
    few = D <= FEW_INPUTS and (gpu or (cpu and B >= MANY))
    auto = {
        "keep": "states" if gpu or (long and H < WIDE) or single else "preactivations",
        "projection": "joint" if few else "hoisted",
        "chunk": max(1, CHUNK // step) if long else None,
        "unroll": UNROLLED if gpu else 1,
    }
    given = {name: getattr(options, name) for name in auto}
    chosen = auto | {name: value for name, value in given.items() if value != "auto"}
    chosen["chunk"] = divisor(T, chosen["chunk"])
    if not _is_affine(cell):
        chosen["projection"] = "hoisted"
    return Tuning(**chosen, leading=cpu and gates * H * H >= HEAVY and B <= STEP_ROWS and T >= REPAYS)


def _is_affine(cell: Cell) -> bool:
    """Whether the cell uses the pre-activations of `AffineCell` unchanged."""
    kind = type(cell)
    return isinstance(cell, AffineCell) and (kind.project, kind.mix) == (AffineCell.project, AffineCell.mix)


def _gates(cell: Cell) -> int:
    """G of the first recurrent kernel; 1 without one."""
    kernels = jax.tree.leaves(cell, is_leaf=lambda node: isinstance(node, RecurrentKernel))
    return next((kernel.shape[0] for kernel in kernels if isinstance(kernel, RecurrentKernel)), 1)
