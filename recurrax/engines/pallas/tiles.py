"""How arrays lie in the kernels of `Pallas`: cut to a device's tiles, and on a GPU in the order of its threads."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

ROWS, PAIR = 8, 2  # of a result of the tensor cores, per thread: see `Tiles`
WARPS, THREADS = 8, 32  # warps of a block, at most, and threads of a warp


@dataclasses.dataclass(frozen=True)
class Tiles:
    """How arrays are cut, sequences in a block and H padded to the device's tiles, and how float32 is multiplied.

    With ``gpu`` the kernel is written for one. It reads its matrices before the loop and each step's streams one step
    ahead: a reference points to the device's memory, and what is read stays in registers and shared memory (on a TPU
    the blocks are on the chip already). As many matrices as fit into ``registers`` of each thread, of 32 bits, lie in
    memory as threads hold a factor ``[16, 8]`` of the tensor cores (``[16, 16]`` of 16 bits), and never move again;
    the others are read from shared memory at every step. Sequences are columns, ``[H, B]``, so that a matrix multiplies
    8 of them at once and not 16. A step of a stream lies in memory as the tensor cores leave a product ``[H, 8]``: of
    16 rows each of 32 threads holds two neighbours in row r and two in row r + 8. What a thread reads of u it then adds
    to what it holds of v, and no step waits for threads to trade numbers but for those of the state.

    Source: NVIDIA, "Parallel thread execution ISA", matrix fragments of mma.m16n8k8 and, of 16 bits, mma.m16n8k16.
    """

    platform: str
    block: int
    units: int
    precision: Any = jax.lax.Precision.HIGHEST
    gpu: bool = False
    registers: int = 0
    fallback: bool = False  # whether the same kernel is interpreted where the program runs on no GPU

    def interpreted(self) -> Tiles:
        """The same tiles where the kernel is run step by step as plain JAX."""
        return dataclasses.replace(self, platform="interpret", precision=jax.lax.Precision.HIGHEST, fallback=False)

    @property
    def warps(self) -> int:
        """Of a block on CUDA: each multiplies 16 rows of a matrix, or as many times as many."""
        return min(WARPS, self.units // (2 * ROWS))

    def matrices_in_registers(self, dtype: Any) -> int:
        """How many matrices of the dtype fit."""
        return 4 * self.registers * THREADS * self.warps // (self.units**2 * jnp.dtype(dtype).itemsize)

    def pad(self, a: Any) -> Any:
        """``a: [..., B, H]`` with zeros up to whole tiles."""
        return pad(a, multiple(a.shape[-2], self.block), self.units)

    def to_device(self, a: Any) -> Any:
        """Rows ``[B, H]`` or a stream ``[T, B, H]``, padded, as the kernel has it."""
        if not self.gpu:
            return a
        if a.ndim == 2:
            return a.T
        T, B, H = a.shape
        a = a.reshape(T, B // self.block, self.block // PAIR, PAIR, H // (2 * ROWS), 2, ROWS)
        return a.transpose(0, 1, 4, 6, 2, 5, 3).reshape(T, B // self.block, self.block * H)

    def from_device(self, a: Any) -> Any:
        """The inverse of `to_device`."""
        if not self.gpu:
            return a
        if a.ndim == 2:
            return a.T
        T, blocks, _ = a.shape
        a = a.reshape(T, blocks, -1, ROWS, self.block // PAIR, 2, PAIR).transpose(0, 1, 4, 6, 2, 5, 3)
        return a.reshape(T, blocks * self.block, -1)

    def weights_to_device(self, weights: Any) -> Any:
        """Matrices ``[N, N]``, those for registers as ``[N N]`` in the order of warps, threads and registers."""
        leaves, tree = jax.tree.flatten(weights)
        count = self.matrices_in_registers(leaves[0].dtype) if leaves else 0
        return jax.tree.unflatten(tree, [*map(self._to_threads, leaves[:count]), *leaves[count:]])

    def _to_threads(self, U: jax.Array) -> jax.Array:
        held = PAIR if U.dtype.itemsize == 2 else 1  # numbers in a register
        a = U.reshape(-1, self.warps, 2, ROWS, self.units // (8 * held), 2, 4, held)
        return a.transpose(0, 4, 1, 3, 6, 5, 2, 7).reshape(-1)

    def matrices(self, weights: Any) -> Any:
        """The matrices ``[N, N]`` of references to what `weights_to_device` gives."""
        return jax.tree.map(lambda ref: ref[...] if ref.ndim == 2 else self._from_threads(ref[...]), weights)

    def _from_threads(self, a: jax.Array) -> jax.Array:
        held = PAIR if a.dtype.itemsize == 2 else 1
        a = a.reshape(-1, self.units // (8 * held), self.warps, ROWS, 4, 2, 2, held)
        return a.transpose(0, 2, 6, 3, 1, 5, 4, 7).reshape(self.units, self.units)

    def read(self, streams: Any, t: Any) -> Any:
        """Step t of every stream, ``[H, B]`` on a GPU, ``[B, H]`` elsewhere."""

        def read(ref: Any) -> jax.Array:
            if not self.gpu:
                return ref[t]
            step = ref[t].reshape(-1, ROWS, self.block // PAIR, 2, PAIR)
            return step.transpose(0, 3, 1, 2, 4).reshape(-1, self.block)

        return jax.tree.map(read, streams)

    def write(self, streams: Any, steps: Any, t: Any) -> None:
        """The inverse of `read`."""
        for ref, step in zip(jax.tree.leaves(streams), jax.tree.leaves(steps), strict=True):
            step = step.astype(ref.dtype)
            if self.gpu:
                step = step.reshape(-1, 2, ROWS, self.block // PAIR, PAIR).transpose(0, 2, 3, 1, 4).reshape(-1)
            ref[t] = step


def multiple(size: int, of: int) -> int:
    """The smallest multiple of ``of`` that is at least ``size``."""
    return -(-size // of) * of


def pad(a: Any, rows: int, columns: int) -> Any:
    """Zeros after the last two axes."""
    return jnp.pad(a, [(0, 0)] * (a.ndim - 2) + [(0, rows - a.shape[-2]), (0, columns - a.shape[-1])])
