"""What "auto" means for the options of `Adjoint`: rules from measurements.

``python -m experiments.benchmarks.engine_options`` shows what each option costs beside every other,
``recurrax tune`` does so for one shape.

On a CPU time goes to matrix products, and to memory that is touched for the first time: a program whose arrays do not
fit into 32 MiB gets all of them fresh from the operating system at every call, which costs as much as a product.

- Inputs are projected for all steps at once, unless D is small: it is then cheaper to multiply them in the loop, in one
  product with the state, than to store the product.
- Pre-activations are kept, unless memory is what counts (long sequences) and H is small: to recompute one costs 2 H
  operations. A single short state is so cheap to multiply that they are recomputed, too.
- Large recurrent kernels are the first factor of the forward loop's products with few rows: as the second one they
  would be copied at every step.
- Time is cut into chunks as soon as an array of all steps has more than 4 MB; each then has 2 MB.

On an NVIDIA GPU a step is a product and a kernel or two, each shorter than its launch. So bodies of many steps, which
XLA launches as one graph, are faster; few inputs are multiplied in the loop, too; to keep pre-activations
saves no time. Other devices are not measured; they get what holds for large arrays, without chunks, which are for the
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
WHOLE = 4 * 2**20  # bytes of an array of all steps up to which they are run as one chunk
CHUNK = 2 * 2**20  # bytes of an array of the steps of one chunk
WIDE = 192  # H from which pre-activations are kept for long sequences too
SHORT = 96  # H up to which the pre-activations of a single sequence are recomputed
FEW_INPUTS, MANY = 8, 16  # D up to which, B from which inputs and state are multiplied in one product
UNROLLED = 16  # steps in the body of a loop on a GPU
HEAVY, REPAYS = 3 * 2**17, 16  # G H H, T from which kernels come first in products of up to STEP_ROWS rows on a CPU


class Tuning(NamedTuple):
    """The options of `Adjoint`, decided."""

    keep: str
    projection: str
    chunk: int | None
    unroll: int
    leading: bool

    @property
    def joint(self) -> bool:
        """State and inputs are multiplied in one product."""
        return self.projection == "joint"


def tune(options: Any, cell: Cell, carry: Carry, xs: jax.Array) -> Tuning:
    """Fills in every option that is "auto", for ``xs: [T, *batch, D]``."""
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
    """Whether the pre-activations are those of `AffineCell`, and its alone."""
    kind = type(cell)
    return isinstance(cell, AffineCell) and (kind.project, kind.mix) == (AffineCell.project, AffineCell.mix)


def _gates(cell: Cell) -> int:
    """G, of the first recurrent kernel; 1 without one."""
    kernels = jax.tree.leaves(cell, is_leaf=lambda node: isinstance(node, RecurrentKernel))
    return next((kernel.shape[0] for kernel in kernels if isinstance(kernel, RecurrentKernel)), 1)
