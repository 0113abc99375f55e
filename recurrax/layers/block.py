"""A residual block as in modern models: norm, short convolution, recurrence, gate, residual connection and MLP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import show_signature
from recurrax.engines import Engine
from recurrax.engines.engine import where
from recurrax.kernels import check_size
from recurrax.layers.convolution import ShortConvolution
from recurrax.layers.glu import GLU
from recurrax.layers.rnn import RNN, check_read
from recurrax.layers.sequences import existing, flags_first, last
from recurrax.pickling import Picklable

NORMS = {"rms": nnx.RMSNorm, "layer": nnx.LayerNorm, None: None}


class Block(Picklable, nnx.Module):
    r"""A residual block around a recurrence: ``inputs: [*batch, T, D]`` to ``outputs: [*batch, T, D]``.

    .. math::
        u &= \mathrm{norm}(x), \qquad v = \phi(\mathrm{conv}(W_v u)), \qquad h = \mathrm{recurrence}(v) \\
        z &= x + W_o \, (\mathrm{norm}(h) \odot \phi(W_g u)) \\
        y &= z + W_2 \, (\phi(W_1 \mathrm{norm}(z)) \odot W_3 \mathrm{norm}(z))

    Each part can be left out, and no product outside the recurrence has a bias. :math:`W_v` exists only if the
    recurrence has another number of inputs than D. The convolution shows the last few inputs to a recurrence whose
    gates see the input alone; without it a matrix memory cannot bind a value to the previous key.

    A `Stack` joins several blocks. The carry of a block is ``(window, carry)``: the last k - 1 inputs of the
    convolution, ``[*batch, k - 1, C]``, and the carry of the recurrence. Without a convolution it is only the carry of
    the recurrence.

    Args:
        recurrence: a cell, or an `RNN` that runs forward.
        features: D; None uses the recurrence's number of inputs.
        norm: the norm before both halves: "rms", "layer" or None.
        conv_size: k, the number of steps that the convolution sees; None leaves out the convolution and the phi before
            the recurrence.
        norm_outputs: normalise the outputs of the recurrence, as matrix memories need.
        gate: multiply these outputs by :math:`\phi(W_g u)`.
        project: multiply the result by :math:`W_o`; otherwise the recurrence must have D outputs.
        residual: add x, and z.
        mlp_features: size of the second half's hidden layer; None leaves that half out.
        activation_fn: phi.
        time_major: inputs and outputs are ``[T, *batch, ...]``.
        return_carry: return ``(carry, outputs)``.
        backend: "auto", the name of an engine, or an engine; only for a cell, because an `RNN` has its own.
        dtype: dtype of the computation around the recurrence; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters around it.
        rngs: source of keys (``rngs.params``).

    Raises:
        TypeError: the recurrence is neither a cell nor an `RNN` (`Bidirectional` is refused because it cannot stream).
        ValueError: the recurrence runs in reverse, has image axes or unknown sizes; the sizes do not fit; or an option
            is not known.

    Source: Gu & Dao (2023), "Mamba", figure 3 (convolution, SiLU, gate); De et al. (2024), "Griffin", figure 2 (both
    halves); Yang, Wang, Zhang, Shen & Kim (2024) (norm of the outputs); Shazeer (2020), "GLU variants improve
    transformer" (the second half).
    """

    def __init__(
        self,
        recurrence: Any,
        features: int | None = None,
        *,
        norm: str | None = "rms",
        conv_size: int | None = 4,
        norm_outputs: bool = False,
        gate: bool = True,
        project: bool = True,
        residual: bool = True,
        mlp_features: int | None = None,
        activation_fn: Callable[[jax.Array], jax.Array] = jax.nn.silu,
        time_major: bool = False,
        return_carry: bool = False,
        backend: str | Engine = "auto",
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.rnn = _recurrence(recurrence, backend)
        D, C, out = _sizes(self.rnn, features, project, residual)
        if norm not in NORMS:
            raise ValueError(f"Block got norm={norm!r}; allowed: 'rms', 'layer' or None. Use 'rms'.")
        if conv_size is not None:
            check_size("Block", conv_size=conv_size)
        if mlp_features is not None:
            check_size("Block", mlp_features=mlp_features)
        self.in_features, self.out_features = D, D if project else out
        self.residual, self.activation_fn = residual, activation_fn
        self.time_major, self.return_carry = time_major, return_carry
        kinds = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}

        def linear(inputs: int, outputs: int) -> nnx.Linear:
            return nnx.Linear(inputs, outputs, use_bias=False, **kinds)

        make = NORMS[norm]
        self.norm = None if make is None else make(D, **kinds)
        self.into = None if D == C else linear(D, C)
        self.conv = None if conv_size is None else ShortConvolution(C, conv_size, **kinds)
        self.norm_outputs = nnx.RMSNorm(out, **kinds) if norm_outputs else None
        self.gate = linear(D, out) if gate else None
        self.out = linear(out, D) if project else None
        mlp = mlp_norm = None
        if mlp_features is not None:
            mlp = GLU(self.out_features, mlp_features, activation_fn=activation_fn, **kinds)
            mlp_norm = None if make is None else make(self.out_features, **kinds)
        self.mlp, self.mlp_norm = mlp, mlp_norm

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Any = None,
        seq_lengths: jax.Array | None = None,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        read: str = "every",
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Any:
        """Runs the block over ``inputs: [*batch, T, D]``; the arguments are those of `RNN`.

        The convolution skips masked steps like the recurrence, and sees no step before a reset.
        """
        return_carry, time_major = (
            own if given is None else given
            for own, given in ((self.return_carry, return_carry), (self.time_major, time_major))
        )
        check_read(read)
        xs = self._checked(inputs)
        if xs.ndim < 2:
            raise ValueError(
                f"inputs have shape {xs.shape}; allowed: a time axis, any batch axes and 1 feature axis. Add the "
                "missing axis, e.g. inputs[None]."
            )
        xs = xs if time_major else jnp.moveaxis(xs, -2, 0)
        mask, _ = existing(seq_lengths, mask, xs.shape[:-1], time_major)
        resets = flags_first("resets", resets, xs.shape[:-1], time_major)
        if mask is not None:
            xs = where(mask, xs, jnp.zeros_like(xs))
        us, (window, carry) = self._normalised(xs), self._split(initial_carry)
        window, vs = self._before(window, us, mask, resets)
        carry, hs = self.rnn(
            vs, initial_carry=carry, mask=mask, resets=resets, return_carry=True, time_major=True, read=read, rngs=rngs,
            dropout_key=dropout_key,
        )  # fmt: skip
        xs, us = (last(xs, mask), last(us, mask)) if read == "last" else (xs, us)
        ys = self._after(xs, us, hs)
        if mask is not None:
            exists = mask.any(0) if read == "last" else mask
            ys = where(exists, ys, jnp.zeros_like(ys))
        ys = ys if time_major or read == "last" else jnp.moveaxis(ys, 0, -2)
        return (self._joined(window, carry), ys) if return_carry else ys

    def step(self, carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        """One step of streaming inference: ``(carry, x: [*batch, D]) -> (carry, y: [*batch, D])``."""
        x = self._checked(x)
        u, (window, carry) = self._normalised(x), self._split(carry)
        v = u if self.into is None else self.into(u)
        if self.conv is not None:
            window, v = self.conv.step(window, v)  # type: ignore[arg-type]
            v = self.activation_fn(v)
        carry, h = self.rnn.step(carry, v)
        return self._joined(window, carry), self._after(x, u, h)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: nnx.Rngs | nnx.RngStream | None = None) -> Any:
        """The carry that `step` starts from, for inputs ``[*batch, D]``."""
        batch = tuple(input_shape[:-1])
        size = self.in_features if self.into is None else self.rnn.in_features
        carry = self.rnn.initialize_carry((*batch, size), rngs)  # type: ignore[arg-type]
        return carry if self.conv is None else (self.conv.initialize_window(batch), carry)

    @property
    def num_feature_axes(self) -> int:
        """Trailing feature axes of the inputs: 1."""
        return 1

    def _checked(self, xs: Any) -> jax.Array:
        """Inputs as a floating array; raises if they are not real ``[..., D]``."""
        xs = jnp.asarray(xs)
        if xs.shape[-1:] != (self.in_features,):
            raise ValueError(
                f"inputs have shape {xs.shape}; this Block allows a last axis of features={self.in_features}. Build it "
                f"with that size, or reshape the inputs to [..., {self.in_features}]."
            )
        if jnp.iscomplexobj(xs):
            raise TypeError(f"inputs have dtype {xs.dtype}; Block allows real numbers. Give both parts as features.")
        return xs if jnp.issubdtype(xs.dtype, jnp.floating) else xs.astype(jnp.float32)

    def _normalised(self, xs: jax.Array) -> jax.Array:
        return xs if self.norm is None else self.norm(xs)

    def _before(
        self, window: jax.Array | None, us: jax.Array, mask: Any, resets: Any
    ) -> tuple[jax.Array | None, jax.Array]:
        """The window after all steps, and the inputs of the recurrence, ``v: [T, *batch, C]``."""
        vs = us if self.into is None else self.into(us)
        if self.conv is None:
            return None, vs
        window = self.conv.initialize_window(vs.shape[1:-1]) if window is None else window
        window, vs = self.conv(window, vs, mask, resets)
        return window, self.activation_fn(vs)

    def _after(self, x: jax.Array, u: jax.Array, h: jax.Array) -> jax.Array:
        """Computes y from x, u and h (see above) at each step."""
        h = h if self.norm_outputs is None else self.norm_outputs(h)
        h = h if self.gate is None else h * self.activation_fn(self.gate(u))
        z = h if self.out is None else self.out(h)
        z = x + z if self.residual else z
        if self.mlp is None:
            return z
        y = self.mlp(z if self.mlp_norm is None else self.mlp_norm(z))
        return z + y if self.residual else y

    def _split(self, carry: Any) -> tuple[jax.Array | None, Any]:
        """Splits the carry into the window and the carry of the recurrence."""
        if self.conv is None or carry is None:
            return None, carry
        if not isinstance(carry, tuple) or len(carry) != 2:
            raise TypeError(
                f"the carry is a {type(carry).__name__}; Block allows (window, carry of the recurrence). Start from "
                "block.initialize_carry((*batch, D))."
            )
        return carry

    def _joined(self, window: jax.Array | None, carry: Any) -> Any:
        return carry if self.conv is None else (window, carry)


show_signature(Block)


def _recurrence(recurrence: Any, backend: str | Engine) -> RNN:
    """The recurrence as a layer that runs forward; raises if that is impossible."""
    if not isinstance(recurrence, RNN | nnx.RNNCellBase):
        raise TypeError(
            f"Block got {type(recurrence).__name__}; allowed: a cell, or an RNN that runs forward, as a block can "
            "stream. Give e.g. LSTMCell(32, 32, rngs=rngs); wrap other steps in Foreign."
        )
    if not isinstance(recurrence, RNN):
        return _checked(RNN(recurrence, backend=backend))
    if backend != "auto":
        raise ValueError(
            f"Block got backend={backend!r} beside an RNN; allowed: with a cell. Write RNN(cell, backend={backend!r})."
        )
    return _checked(recurrence)


def _checked(rnn: RNN) -> RNN:
    if rnn.reverse:
        raise ValueError("Block got an RNN with reverse=True; allowed: reverse=False. Flip the inputs instead.")
    if rnn.num_feature_axes != 1:
        raise ValueError(
            f"Block got {type(rnn.cell).__name__} with {rnn.num_feature_axes} feature axes; allowed: cells with one. "
            "Use RNN(cell)."
        )
    return rnn


def _sizes(rnn: RNN, features: int | None, project: bool, residual: bool) -> tuple[int, int, int]:
    """D, and the numbers of inputs and outputs of the recurrence; raises ValueError if they do not fit."""
    if features is not None:
        check_size("Block", features=features)
    D, out = features or rnn.in_features, rnn.out_features
    if D is None or out is None:
        raise ValueError(
            "the recurrence does not tell its sizes (a Foreign cell); allowed: one that does. Give the block "
            "features=D, and set foreign.hidden_features to the size of the step's output."
        )
    if not project and residual and out != D:
        raise ValueError(
            f"Block got project=False with {out} outputs of the recurrence and features={D}; allowed: the same number, "
            "as x is added. Use project=True, or residual=False."
        )
    return D, rnn.in_features or D, out
