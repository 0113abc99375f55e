"""The memory layout of arrays in the kernels of `Pallas`: tiles of the device, and the order of a GPU's threads."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

ROWS, PAIR = 8, 2  # rows and neighbouring columns of a tensor-core result per thread, see `Tiles`
WARPS, THREADS = 8, 32  # the most warps of a block, and the threads of a warp


@dataclasses.dataclass(frozen=True)
class Tiles:
    """The sizes of tiles (sequences of a block, H padded to the device's tiles), and the precision of float32 products.

    With ``gpu`` the kernel is written for a GPU. There a reference points to device memory, so the kernel reads its
    matrices before the loop and each step's streams one step ahead, and keeps them in registers and shared memory (on a
    TPU the blocks are on the chip already). As many matrices as fit into ``registers`` of each thread (of 32 bits) are
    laid out as threads hold a factor ``[16, 8]`` of the tensor cores (``[16, 16]`` for 16 bits), and they stay in
    registers. The others are read from shared memory at every step. Sequences are columns, ``[H, B]``, so that a matrix
    multiplies 8 sequences at once instead of 16. A step of a stream is laid out as the tensor cores return a product
    ``[H, 8]``: each of 32 threads holds two neighbours in row r and two in row r + 8 of 16 rows. So each thread adds
    its part of u to its part of v, and threads exchange only the numbers of the state.

    Source: NVIDIA, "Parallel thread execution ISA", matrix fragments of mma.m16n8k8 and, of 16 bits, mma.m16n8k16.
    """

    platform: str
    block: int
    units: int
    precision: Any = jax.lax.Precision.HIGHEST
    gpu: bool = False
    registers: int = 0
    fallback: bool = False  # whether the kernel is interpreted if the program runs without a GPU

    def interpreted(self) -> Tiles:
        """The same tiles for a kernel that runs step by step as plain JAX."""
        return dataclasses.replace(self, platform="interpret", precision=jax.lax.Precision.HIGHEST, fallback=False)

    @property
    def warps(self) -> int:
        """The number of warps of a CUDA block; each multiplies 16 rows of a matrix or a multiple of 16."""
        return min(WARPS, self.units // (2 * ROWS))

    def matrices_in_registers(self, dtype: Any) -> int:
        """The number of matrices of the dtype that fit into registers."""
        return 4 * self.registers * THREADS * self.warps // (self.units**2 * jnp.dtype(dtype).itemsize)

    def pad(self, a: Any) -> Any:
        """Pads ``a: [..., B, H]`` with zeros to whole tiles."""
        return pad(a, multiple(a.shape[-2], self.block), self.units)

    def to_device(self, a: Any) -> Any:
        """Pads rows ``[B, H]`` or a stream ``[T, B, H]`` and converts them to the kernel's layout."""
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
        """Matrices ``[N, N]``; the ones for registers become ``[N N]`` in the order of warps, threads and registers."""
        leaves, tree = jax.tree.flatten(weights)
        count = self.matrices_in_registers(leaves[0].dtype) if leaves else 0
        return jax.tree.unflatten(tree, [*map(self._to_threads, leaves[:count]), *leaves[count:]])

    def _to_threads(self, U: jax.Array) -> jax.Array:
        held = PAIR if U.dtype.itemsize == 2 else 1  # numbers in a register
        a = U.reshape(-1, self.warps, 2, ROWS, self.units // (8 * held), 2, 4, held)
        return a.transpose(0, 4, 1, 3, 6, 5, 2, 7).reshape(-1)

    def matrices(self, weights: Any) -> Any:
        """Reads matrices ``[N, N]`` from references to the result of `weights_to_device`."""
        return jax.tree.map(lambda ref: ref[...] if ref.ndim == 2 else self._from_threads(ref[...]), weights)

    def _from_threads(self, a: jax.Array) -> jax.Array:
        held = PAIR if a.dtype.itemsize == 2 else 1
        a = a.reshape(-1, self.units // (8 * held), self.warps, ROWS, 4, 2, 2, held)
        return a.transpose(0, 2, 6, 3, 1, 5, 4, 7).reshape(self.units, self.units)

    def read(self, streams: Any, t: Any) -> Any:
        """Reads step t of every stream, ``[H, B]`` on a GPU, ``[B, H]`` elsewhere."""

        def read(ref: Any) -> jax.Array:
            if not self.gpu:
                return ref[t]
            step = ref[t].reshape(-1, ROWS, self.block // PAIR, 2, PAIR)
            return step.transpose(0, 3, 1, 2, 4).reshape(-1, self.block)

        return jax.tree.map(read, streams)

    def write(self, streams: Any, steps: Any, t: Any) -> None:
        """Writes step t of every stream, the inverse of `read`."""
        for ref, step in zip(jax.tree.leaves(streams), jax.tree.leaves(steps), strict=True):
            step = step.astype(ref.dtype)
            if self.gpu:
                step = step.reshape(-1, 2, ROWS, self.block // PAIR, PAIR).transpose(0, 2, 3, 1, 4).reshape(-1)
            ref[t] = step


def multiple(size: int, of: int) -> int:
    """The smallest multiple of ``of`` that is at least ``size``."""
    return -(-size // of) * of


def pad(a: Any, rows: int, columns: int) -> Any:
    """Pads the last two axes with zeros."""
    return jnp.pad(a, [(0, 0)] * (a.ndim - 2) + [(0, rows - a.shape[-2]), (0, columns - a.shape[-1])])
