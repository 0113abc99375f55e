"""What "auto" means for the options of `Adjoint`: rules from measurements.

They were measured on a CPU (2 cores, float32); ``python -m experiments.engine_options`` shows what each costs beside
every other option, ``python -m experiments.speed --tune`` does so for one shape. On a CPU time goes to matrix products,
and to memory that is touched for the first time: a program whose arrays do not fit into 32 MiB gets all of them fresh
from the operating system at every call, which costs as much as a product.

- Gates side by side: one wide product is faster than several narrow ones.
- Inputs projected for all steps at once, but for few inputs: there the product costs less than to write its result
  and to read it again, where all that it is needed for is to be added to the other half of the pre-activations. The
  two products are then one, of the state and the inputs side by side.
- Pre-activations kept where memory is not what counts, or where H is large: to recompute one costs 2 H operations. A
  single short state is so cheap to multiply, for all steps at once, that they are recomputed.
- Recurrent kernels transposed once for the backward pass, where they are not wide: a product of few rows by a matrix
  that lies the other way takes longer. A wide one is faster as it lies.
- Large recurrent kernels first in products with few rows: as the second factor they are copied at every step, which
  takes longer than the product. The forward pass needs them transposed for that, the backward pass as they lie.
- Chunks as soon as an array of all steps has more than 4 MB, of 2 MB each.

On an NVIDIA GPU (H200; experiments/results/speed and engine_options) a step is a product and a kernel or two, each
shorter than what it takes to launch it. So bodies of many steps, which XLA launches as one graph, are faster; few
inputs are projected in the loop for every cell; to keep pre-activations saves no time.

Other devices are not measured; they get what holds for large arrays, without chunks, which are for the memory of a CPU.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax

from recurrax.cell import FEW_ROWS, Carry, Cell
from recurrax.engines.chunks import divisor
from recurrax.engines.sums import Sums, sums_of

CHOICES = {
    "gates": ("fused", "apart"),
    "keep": ("states", "preactivations"),
    "projection": ("hoisted", "inside"),
}
WHOLE = 4 * 2**20  # bytes of an array of all steps up to which they are run as one chunk
CHUNK = 2 * 2**20  # bytes of an array of the steps of one chunk
WIDE = 192  # H from which pre-activations are kept for long sequences too
SHORT = 96  # H up to which the pre-activations of a single sequence are recomputed
FEW_INPUTS, MANY = 8, 16  # D up to which, B from which inputs are projected in the loop
UNROLLED = 16  # steps in the body of a loop on a GPU
HEAVY, REPAYS = 3 * 2**17, 16  # G H H, T from which kernels come first in products of up to FEW_ROWS rows on a CPU
TRANSPOSED = 128  # H up to which the backward pass multiplies by kernels transposed in memory
TRANSPOSED_WIDTH, MANY_STEPS = 1024, 64  # on a CPU also G H up to which, T from which, but for a single sequence


class Tuning(NamedTuple):
    """The options of `Adjoint`, decided."""

    gates: str
    keep: str
    projection: str
    chunk: int | None
    unroll: int
    transpose: bool
    leading: bool
    joint: bool
    sums: Sums


def tune(options: Any, cell: Cell, carry: Carry, xs: jax.Array) -> Tuning:
    """Fills in every option that is "auto", for ``xs: [T, *batch, D]``."""
    state, T, sums = jax.tree.leaves(carry)[-1], xs.shape[0], sums_of(cell, carry, xs)
    H, step = state.shape[-1], math.prod(state.shape) * state.dtype.itemsize
    B, D, gates = math.prod(state.shape[:-1]), xs.shape[-1], len(sums.only)
    cpu, gpu = (jax.default_backend() == platform for platform in ("cpu", "gpu"))
    long = cpu and T * step > WHOLE
    single = cpu and B == 1 and gates > 1 and H <= SHORT
    few = D <= FEW_INPUTS and (gpu or (cpu and B >= MANY and all(sums.only)))
    narrow = cpu and B > 1 and T >= MANY_STEPS and gates * H <= TRANSPOSED_WIDTH
    leading = cpu and gates * H * H >= HEAVY and B <= FEW_ROWS and T >= REPAYS
    auto = {
        "gates": "fused",
        "keep": "states" if gpu or (long and H < WIDE) or single else "preactivations",
        "projection": "inside" if few else "hoisted",
        "chunk": max(1, CHUNK // step) if long else None,
        "unroll": UNROLLED if gpu else 1,
    }
    given = {name: getattr(options, name) for name in auto}
    chosen = auto | {name: value for name, value in given.items() if value != "auto"}
    chosen["chunk"] = divisor(T, chosen["chunk"])
    together = sums.together and chosen["gates"] == "fused" and chosen["projection"] == "inside"
    sums = sums._replace(together=together)
    return Tuning(
        **chosen,
        transpose=(H <= TRANSPOSED or narrow) and not leading,
        leading=leading,
        joint=together and cpu,
        sums=sums,
    )
