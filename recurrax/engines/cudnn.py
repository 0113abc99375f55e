"""NVIDIA's own LSTM kernels, through `jax.experimental.rnn`, and its flat vector of weights.

cuDNN orders the gates i, f, c~, o and adds two biases; here the first is ours and the second is zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental import rnn
from jax.experimental.layout import Layout, with_layout_constraint

from recurrax.cell import Carry, Cell
from recurrax.cells.gated import LSTM
from recurrax.engines.engine import Engine, hold, where
from recurrax.initializers import zeros

ORDER = (1, 0, 2, 3)  # f, i, c~, o to cuDNN's i, f, c~, o; and back


@dataclasses.dataclass(frozen=True)
class Cudnn(Engine):
    """cuDNN's LSTM on a CUDA device: `recurrax.LSTM` with tanh and sigmoid, in float32.

    To run weights through cuDNN, not to be fast: JAX asks cuDNN for its standard algorithm, which took longer than
    `Adjoint`, and than cuDNN as PyTorch calls it, at every size measured on an H200 (experiments/results/speed).

    Any mask: the steps that exist are moved together to the front and cuDNN gets their number as the length. No resets,
    no `jax.vmap` (JAX has no rule for it); first derivatives in reverse mode only.

    Args:
        allow_tf32: products with inputs rounded to 10 bits of mantissa, several times faster and no longer equal to
            `Scan` in float32.

    Raises:
        ValueError: in the call: another cell, activation or dtype, resets, or no CUDA device.

    Source: Chetlur et al. (2014), "cuDNN"; its recurrent layers: Appleyard, Kočiský & Blunsom (2016).
    """

    allow_tf32: bool = False

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        check_cell(cell)
        if resets is not None:
            raise ValueError(
                "Cudnn got resets; allowed: None, as cuDNN cannot start anew within a sequence. Use 'auto'."
            )
        check_device()
        T, *batch, D = xs.shape
        flat = xs.reshape(T, -1, D)
        keep = jnp.ones(flat.shape[:2], bool) if mask is None else mask.reshape(T, -1)
        if mask is not None:
            order = jnp.argsort(~keep, axis=0, stable=True)
            flat = jnp.take_along_axis(flat, order[..., None], axis=0)
        rows = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), carry)
        (last,), ys = _lstm([cell], [rows], jnp.swapaxes(flat, 0, 1), keep.sum(0), self.allow_tf32)
        ys = jnp.swapaxes(ys, 0, 1)
        if mask is not None:
            place = jnp.maximum(jnp.cumsum(keep, axis=0) - 1, 0)
            ys = where(keep, jnp.take_along_axis(ys, place[..., None], axis=0), jnp.zeros_like(ys))
        return jax.tree.map(lambda leaf: leaf.reshape(*batch, -1), last), ys.reshape(T, *batch, -1)


def bidirectional(
    forward: LSTM,
    backward: LSTM,
    inputs: jax.Array,
    *,
    initial_carry: tuple[Carry, Carry] | None = None,
    seq_lengths: jax.Array | None = None,
    allow_tf32: bool = False,
) -> tuple[tuple[Carry, Carry], jax.Array]:
    """Both directions in one call of cuDNN: ``inputs: [*batch, T, D]`` to ``((carry, carry), ys: [*batch, T, 2H])``.

    Equals `recurrax.Bidirectional` with ``return_carry=True``.

    Args:
        forward: LSTM of the first H outputs.
        backward: LSTM of the last H outputs, which runs from the length to the first step.
        inputs: ``[*batch, T, D]``.
        initial_carry: of both directions, ``(C, h)`` each, ``[*batch, H]``; zeros by default.
        seq_lengths: int ``[*batch]``, 0 to T; what stands beyond has no effect, outputs there are 0.
        allow_tf32: see `Cudnn`.

    Raises:
        ValueError: a cell that cuDNN does not run, cells of two sizes, or no CUDA device.
        TypeError: inputs of another dtype than float32.

    Source: see `Cudnn`.
    """
    for cell in (forward, backward):
        check_cell(cell)
        cell.check_features(inputs)
    check_device()
    *batch, T, D = inputs.shape
    if initial_carry is None:
        initial_carry = (forward.initialize_carry((*batch, D)), backward.initialize_carry((*batch, D)))
    lengths = jnp.full(batch, T) if seq_lengths is None else jnp.clip(jnp.asarray(seq_lengths), 0, T)
    inputs = where(jnp.arange(T) < lengths[..., None], inputs, jnp.zeros_like(inputs))
    rows = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), list(initial_carry))
    carries, ys = _lstm([forward, backward], rows, inputs.reshape(-1, T, D), lengths.reshape(-1), allow_tf32)
    first, second = jax.tree.map(lambda leaf: leaf.reshape(*batch, -1), carries)
    return (first, second), ys.reshape(*batch, T, -1)


def pack(cells: Sequence[LSTM]) -> jax.Array:
    """Flat weights for cuDNN: ``(W, U)`` of every cell and then ``(b, 0)`` of every cell.

    Args:
        cells: layers from the lowest, for two directions forward before backward in each layer; all of one H.

    Raises:
        ValueError: a cell that cuDNN does not run, or cells of two sizes H.
    """
    for cell in cells:
        check_cell(cell)
    if len({cell.hidden_features for cell in cells}) != 1:
        raise ValueError(
            f"cells have hidden_features {[cell.hidden_features for cell in cells]}; allowed: one size, and at least "
            "one cell. Run layers of different sizes one by one, backend=Cudnn()."
        )
    order = jnp.array(ORDER)
    matrices, biases = [], []
    for cell in cells:
        matrices += [jnp.swapaxes(W[...][order], 1, 2).ravel() for W in (cell.kernel, cell.recurrent_kernel)]
        b = cell.bias[...][order].ravel()
        biases += [b, jnp.zeros_like(b)]
    return jnp.concatenate(matrices + biases)


def unpack(
    weights: jax.Array, in_features: int, hidden_features: int, *, layers: int = 1, directions: int = 1
) -> list[LSTM]:
    """The cells of cuDNN's flat weights, in the order of `pack`; the two biases are added.

    Raises:
        ValueError: weights of another size than that of such cells.
    """
    sizes = in_features, hidden_features, layers, directions == 2
    count = rnn.get_num_params_in_lstm(*sizes)
    if weights.shape != (count,):
        raise ValueError(
            f"weights have shape {weights.shape}; allowed: ({count},) for in_features={in_features}, "
            f"hidden_features={hidden_features}, {layers} layers, {directions} directions. Check these numbers."
        )
    order, cells = jnp.array(ORDER), []
    for W, U, b, b_too in zip(*(tree.values() for tree in rnn.unpack_lstm_weights(weights, *sizes)), strict=True):
        D, H = W.shape[-1], hidden_features
        cell: Any = LSTM(D, H, kernel_init=zeros, recurrent_kernel_init=zeros, dtype=weights.dtype, rngs=nnx.Rngs(0))
        W, U = (jnp.swapaxes(matrix.reshape(4, H, -1)[order], 1, 2) for matrix in (W, U))
        cell.kernel, cell.recurrent_kernel = cell.kernel.replace(W), cell.recurrent_kernel.replace(U)
        cell.bias = cell.bias.replace((b + b_too).reshape(4, H)[order])
        cells.append(cell)
    return cells


def check_cell(cell: Cell) -> None:
    """Raises ValueError where cuDNN does not run the cell."""
    if not isinstance(cell, LSTM):
        raise ValueError(f"cuDNN got {type(cell).__name__}; allowed: recurrax.LSTM. Use backend='auto' for others.")
    tanh, sigmoid = (jnp.tanh, jax.nn.tanh, jax.lax.tanh), (jax.nn.sigmoid, jax.lax.logistic)
    if cell.activation not in tanh or cell.gate not in sigmoid:
        names = (getattr(function, "__name__", function) for function in (cell.activation, cell.gate))
        raise ValueError(
            "cuDNN got an LSTM with activation {} and gate {}; allowed: jnp.tanh and jax.nn.sigmoid. "
            "Use backend='auto' for others.".format(*names)
        )
    if cell.dtype != jnp.float32:
        raise ValueError(f"cuDNN got an LSTM of {cell.dtype}; allowed: float32. Use backend='auto' for others.")


def check_device() -> None:
    """Raises ValueError where there is no CUDA device; `jax.experimental.rnn` cannot even be traced then."""
    device = jax.devices()[0]
    if device.platform != "gpu":
        raise ValueError(f"cuDNN found a {device.platform}; allowed: a CUDA device. Use backend='auto' or Adjoint().")


def _lstm(
    cells: list[Any], carries: list[Any], xs: jax.Array, lengths: jax.Array, allow_tf32: bool
) -> tuple[list[Carry], jax.Array]:
    """One layer of one or two directions: ``xs: [B, T, D], lengths: [B]`` to the last carries and ``[B, T, n H]``."""
    c, h = (jnp.stack(leaves) for leaves in zip(*carries, strict=True))
    exists = jnp.arange(xs.shape[1]) < lengths[:, None]
    out: Any = rnn.lstm(
        *map(_row_major, (xs, h, c, pack(cells))),
        jnp.maximum(lengths, 1).astype(jnp.int32),  # a sequence without steps runs one, which is dropped
        xs.shape[-1],
        cells[0].hidden_features,
        1,
        0.0,
        len(cells) == 2,
        jax.lax.Precision.HIGH if allow_tf32 else jax.lax.Precision.HIGHEST,
    )
    ys, h_last, c_last = map(_row_major, out)
    last = [hold(lengths > 0, (new_c, new_h), old) for new_c, new_h, old in zip(c_last, h_last, carries, strict=True)]
    return last, where(exists, ys, jnp.zeros_like(ys))


def _row_major(a: jax.Array) -> jax.Array:
    """The array, and its cotangent, in memory as they are written.

    XLA makes a transpose a change of layout where it may, and JAX does not tell it that cuDNN reads and writes rows
    (jax issue 19177): without this, numbers come out wrong and nothing is raised.
    """
    return with_layout_constraint(a, Layout(major_to_minor=tuple(range(a.ndim))))
