"""The reference engine: `jax.lax.scan`, differentiated by JAX."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure
from recurrax.engines.chunks import check_sizes, chunk_sizes, in_chunks
from recurrax.engines.engine import Engine, advance, hold, where


@dataclasses.dataclass(frozen=True)
class Scan(Engine):
    """The reference engine: one `jax.lax.scan` over time. Every other engine must equal it.

    Args:
        unroll: steps in the body of the compiled loop; 1 was fastest on a CPU.
        checkpoint_every: K keeps only every K-th carry and recomputes the others in the backward pass: memory O(T/K +
            K) instead of O(T), for about one more forward pass; "sqrt" is K = sqrt(T), which needs the least memory.
            Several sizes, each a multiple of the next one, are nested: with (K, k) a chunk of K steps is itself
            recomputed in chunks of k steps. "log" nests chunks of ..., 256, 16: memory O(log T), one more forward pass
            for each size.
        truncate_every: K cuts the gradient of the carry at steps K, 2K, ...: truncated backpropagation through time
            over windows of K steps. Values do not change; no gradient crosses from one window to the one before it,
            and the initial carry gets its gradient from the first window only.
        clip_cotangents: c clips every entry of the gradient with respect to the carry to [-c, c] at every step of the
            backward pass; the gradients of the outputs are added afterwards. A masked step clips nothing. Values do not
            change; infinity becomes c, and NaN stays NaN. Forward mode raises JAX's TypeError for a `custom_vjp`.
            `Adjoint` has no such option because its backward pass is linear, and neither has backend="auto": pass the
            engine, ``backend=Scan(clip_cotangents=1.0)``.

    Raises:
        ValueError: an option is not a positive int (or None, for the second and third), or c is not positive.

    Source: truncation: Williams & Peng (1990); recomputation: Chen et al. (2016), nested: Griewank (1992); clipped
    cotangents: Graves (2013), "Generating sequences with recurrent neural networks", section 2.1.
    """

    unroll: int = 1
    checkpoint_every: int | tuple[int, ...] | str | None = None
    truncate_every: int | None = None
    clip_cotangents: float | None = None

    def __post_init__(self) -> None:
        clip = self.clip_cotangents
        if clip is not None and (
            isinstance(clip, bool) or not isinstance(clip, int | float) or not 0 < clip < math.inf
        ):
            raise ValueError(
                f"Scan got clip_cotangents={clip!r}; allowed: a finite number > 0 or None. Try clip_cotangents=1.0."
            )
        check_sizes(self.checkpoint_every)
        for name, allowed in (("unroll", "an int >= 1"), ("truncate_every", "an int >= 1 or None")):
            value = getattr(self, name)
            if value is None and allowed.endswith("None"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Scan got {name}={value!r}; allowed: {allowed}. Try {name}=1 or leave it out.")

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        T = jax.tree.leaves(xs)[0].shape[0]
        cuts = None
        if self.truncate_every is not None:
            steps = jnp.arange(T)
            cuts = (steps > 0) & (steps % self.truncate_every == 0)

        initial = carry

        def run(carry: Carry, inputs: Any) -> tuple[Carry, Any]:
            return self._loop(cell, carry, initial, inputs)

        inputs = (xs, mask, resets, cuts)
        for size in reversed(chunk_sizes(self.checkpoint_every, T)):
            run = _recomputed(run, size)
        return run(carry, inputs)

    def _loop(self, cell: Cell, carry: Carry, initial: Carry, inputs: Any) -> tuple[Carry, Any]:
        xs, mask, resets, cuts = inputs
        split, clip = cell.structure is not Structure.GENERAL, self.clip_cotangents
        at_once = split and cell.structure is not Structure.MATRIX  # storing all states would need T matrices

        def step(carry: Carry, inputs: Any) -> tuple[Carry, Any]:
            u, x, keep, reset, cut = inputs
            carry = where(cut, jax.lax.stop_gradient(carry), carry)
            carry = where(reset, initial, carry)
            # Clip inside the hold, so that a masked step passes its gradient on unchanged.
            before = carry if clip is None else jax.tree.map(lambda leaf: _clip_cotangent(clip, leaf), carry)
            if split:
                carry = hold(keep, advance(cell, before, initial, u, None, None), carry)
                return carry, carry if at_once else cell.readout(carry, x)
            new, y = cell(before, u)
            return hold(keep, new, carry), y

        us = cell.project(xs) if split else xs  # the projection needs no carry, so it runs for all steps at once
        inputs = (us, xs if split and not at_once else None, mask, resets, cuts)
        carry, ys = jax.lax.scan(step, carry, inputs, unroll=self.unroll)
        return carry, cell.readout(ys, xs) if at_once else ys


def _recomputed(run: Any, size: int) -> Any:
    """Runs ``run`` over chunks of ``size`` steps; the backward pass recomputes each chunk from its first carry."""
    return functools.partial(in_chunks, jax.checkpoint(run, prevent_cse=False), size=size)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _clip_cotangent(limit: float, leaf: jax.Array) -> jax.Array:
    """Returns the array unchanged and clips its gradient to ``[-limit, limit]``, real and imaginary part separately."""
    del limit
    return leaf


def _clip_forward(limit: float, leaf: jax.Array) -> tuple[jax.Array, None]:
    del limit
    return leaf, None


def _clip_backward(limit: float, _: None, cotangent: jax.Array) -> tuple[jax.Array]:
    if cotangent.dtype == jax.dtypes.float0:  # the cotangent of a counter in the carry
        return (cotangent,)
    if jnp.iscomplexobj(cotangent):
        real, imaginary = (jnp.clip(part, -limit, limit) for part in (cotangent.real, cotangent.imag))
        return (jax.lax.complex(real, imaginary),)
    return (jnp.clip(cotangent, -limit, limit),)


_clip_cotangent.defvjp(_clip_forward, _clip_backward)
