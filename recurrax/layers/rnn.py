"""The layer `RNN`, which runs a cell over a batch of sequences with lengths, masks and resets."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.errors import TraceContextError

from recurrax.cell import Carry, Cell, data, show_signature
from recurrax.engines import Adjoint, Engine, Scan, unroll
from recurrax.engines.checks import check_inputs
from recurrax.engines.unroll import choose
from recurrax.foreign import Foreign
from recurrax.layers.sequences import existing, flags_first, flip, flip_resets, flip_sequences, last, restarting
from recurrax.pickling import Picklable

READS = ("every", "last")


class RNN(Picklable, nnx.Module):
    """Runs a cell over sequences: from ``inputs: [*batch, T, D]`` to ``outputs: [*batch, T, O]``.

    Args:
        cell: a `Cell`; any other Flax nnx cell is wrapped by `Foreign`.
        time_major: inputs and outputs are ``[T, *batch, ...]``.
        return_carry: return ``(carry, outputs)`` instead of outputs.
        reverse: run from the last step to the first.
        keep_order: with ``reverse``, True puts each output at its own step, and False keeps the order of computation,
            the first output at index 0.
        unroll: steps in the body of the compiled loop, with backend "auto", "scan" or "adjoint"; None uses the engine's
            default.
        learn_initial_carry: make the initial carry a parameter (initially zero), shared by all sequences.
        backend: "auto", the name of an engine, or an engine.
        broadcast_rngs: for a Flax cell with random streams (recurrent dropout): a filter for the streams that get new
            keys in every call and keep them for all its steps.
        state_axes: must be None; Flax's option for cells with state outside the carry is not supported.
        rngs: None, True or False; a layer keeps no keys, so give an `nnx.Rngs` to the call.

    Raises:
        TypeError: ``cell`` is not a cell.
        ValueError: the backend is not known, an option is not supported, or ``unroll`` is not an int >= 1 or is given
            with an engine that has its own options.
    """

    def __new__(cls, *args: Any, **options: Any) -> RNN:
        """Refuses sizes instead of a cell with a helpful message; Python's own error would only count arguments."""
        if args and isinstance(args[0], int):
            raise TypeError(
                f"RNN got cell={args[0]!r}; allowed: a recurrax cell or a Flax nnx cell, as RNN is the layer that runs "
                "one. Write rx.SimpleRNN(2, 32, rngs=rngs) for the plain network, rx.LSTM or rx.GRU with the same "
                "arguments, or rx.RNN(rx.RNNCell(2, 32, rngs=rngs))."
            )
        return super().__new__(cls)

    def __init__(
        self,
        cell: Any,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = False,
        unroll: int | None = None,
        learn_initial_carry: bool = False,
        backend: str | Engine = "auto",
        broadcast_rngs: Any = None,
        state_axes: Any = None,
        rngs: bool | None = None,
    ):
        if isinstance(cell, type) or not (isinstance(cell, nnx.RNNCellBase) or hasattr(cell, "initialize_carry")):
            raise TypeError(
                f"RNN got cell={cell!r}; allowed: a recurrax cell or a Flax nnx cell. RNN is the layer that runs one, "
                "e.g. RNN(LSTMCell(2, 32, rngs=rngs)); wrap other steps in Foreign."
            )
        if state_axes is not None:
            raise ValueError(
                f"RNN got state_axes={state_axes!r}; allowed: None, as the only state of a cell is its carry. "
                "Put what changes from step to step into the carry, or use nnx.RNN."
            )
        if rngs not in (None, True, False):
            raise ValueError(
                "RNN got rngs, but a layer keeps no random keys; allowed: None. Give them to the call: "
                "layer(inputs, rngs=nnx.Rngs(carry=0))."
            )
        self.cell = cell
        self.time_major, self.return_carry = time_major, return_carry
        self.reverse, self.keep_order = reverse, keep_order
        self.backend, self.broadcast_rngs = _with_unroll(backend, unroll), broadcast_rngs
        self.initial_carry = data(None)
        if learn_initial_carry:
            if self.num_feature_axes != 1:
                raise ValueError(
                    f"RNN got learn_initial_carry=True with {type(cell).__name__}, whose states have "
                    f"{self.num_feature_axes} feature axes; allowed: cells with one. Leave it out, or give the carry "
                    "to the call."
                )
            self.initial_carry = data(
                jax.tree.map(nnx.Param, self._cell.initialize_carry((self._cell.in_features or 1,)))
            )

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Carry | None = None,
        seq_lengths: jax.Array | None = None,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        read: str = "every",
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Any:
        """Runs the cell over ``inputs``; arguments that the constructor has too override its settings, as in Flax.

        Args:
            inputs: ``[*batch, T, D]``, or ``[T, *batch, D]`` if time-major; they are promoted with the parameters.
            initial_carry: ``[*batch, H]``; by default the learned one, or ``cell.initialize_carry``.
            seq_lengths: int ``[*batch]``, 0 to T, the number of valid steps. The returned carry is the one after the
                last valid step (the initial carry for length 0), outputs beyond the length are 0, and the padding has
                no effect.
            mask: bool ``[*batch, T]`` (time-major: ``[T, *batch]``), the valid steps, instead of ``seq_lengths``.
            resets: bool like mask; True resets the carry before this step to the initial carry of a call without
                ``initial_carry``. So a stream that continues from a carry forgets it at the end of a document. In
                reverse a sequence is cut at the same places.
            return_carry: return ``(carry, outputs)``.
            time_major: inputs and outputs are ``[T, *batch, ...]``.
            reverse: run from the last step to the first.
            keep_order: see the constructor.
            read: "every" returns all outputs; "last" returns the last computed output, ``[*batch, O]``, which is 0 for
                a sequence without steps.
            rngs: source of keys for a random initial carry (``rngs.carry``).
            dropout_key: PRNG key for cells with noise; None means evaluation.

        Raises:
            ValueError: a shape is wrong; a length is below 0 or above T (checked outside `jax.jit`; inside they act as
                0 and T); both lengths and mask are given; or a Flax cell uses random streams without
                ``broadcast_rngs``.
            TypeError: a dtype or the structure of the carry is wrong.
        """
        time_major, return_carry, reverse, keep_order = (
            own if given is None else given
            for own, given in (
                (self.time_major, time_major),
                (self.return_carry, return_carry),
                (self.reverse, reverse),
                (self.keep_order, keep_order),
            )
        )
        check_read(read)
        xs = self._cell.check_features(inputs)
        check_inputs(self._cell, xs)  # before axes are moved, so that messages show the caller's shapes
        xs = xs if time_major else jnp.moveaxis(xs, -1 - self._cell.num_feature_axes, 0)
        steps = xs.shape[: xs.ndim - self._cell.num_feature_axes]
        mask, lengths = existing(seq_lengths, mask, steps, time_major)
        resets = flags_first("resets", resets, steps, time_major)
        if reverse:
            xs, mask, resets = jnp.flip(xs, 0), flip(mask), flip_resets(resets, mask)
        run = functools.partial(self._unroll, key=dropout_key)
        carry = self._carry(initial_carry, xs.shape[1:], steps[1:], rngs)
        if initial_carry is None or resets is None:
            carry, ys = run(xs, carry, mask, resets)
        else:
            carry, ys = restarting(run, xs, carry, self.initialize_carry(xs.shape[1:], rngs), mask, resets)
        if read == "last":
            outputs = jax.tree.map(lambda y: last(y, mask), ys)
            return (carry, outputs) if return_carry else outputs
        if reverse and (keep_order or lengths is not None):
            ys = jax.tree.map(lambda y: jnp.flip(y, 0), ys)
            if not keep_order:
                ys = jax.tree.map(lambda y: flip_sequences(y, lengths, time_major=True), ys)
        ys = ys if time_major else jax.tree.map(lambda y: jnp.moveaxis(y, 0, len(steps) - 1), ys)
        return (carry, ys) if return_carry else ys

    def step(self, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """One step of streaming inference: ``(carry, x: [*batch, D]) -> (carry, y: [*batch, O])``.

        Raises:
            ValueError: the layer runs in reverse, so it needs the whole sequence.
        """
        if self.reverse:
            raise ValueError("a layer with reverse=True cannot stream; allowed: reverse=False. Call it on sequences.")
        return self._cell(carry, x)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: nnx.Rngs | nnx.RngStream | None = None) -> Carry:
        """The initial carry for `step`, for inputs ``[*batch, D]``: the learned one, or the cell's."""
        carry = self._carry(None, input_shape, input_shape[: len(input_shape) - self._cell.num_feature_axes], rngs)
        return self._cell.initialize_carry(input_shape) if carry is None else carry

    @property
    def in_features(self) -> int | None:
        """D; None for a `Foreign` cell."""
        return self._cell.in_features

    @property
    def out_features(self) -> int | None:
        """O, the size of the outputs' last axis; None for a `Foreign` cell of unknown size."""
        return self._cell.out_features

    @property
    def num_feature_axes(self) -> int:
        """The number of trailing feature axes; more than 1 for convolutional cells, ``[*batch, T, *image, D]``."""
        return self._cell.num_feature_axes

    @property
    def _cell(self) -> Cell:
        """The cell in the form that engines take."""
        return self.cell if isinstance(self.cell, Cell) else Foreign(self.cell)

    def _unroll(self, xs: jax.Array, carry: Carry, mask: Any, resets: Any, key: Any) -> tuple[Carry, Any]:
        cell = self._cell
        if self.broadcast_rngs is not None:
            cell = Foreign.broadcasting(cell, self.broadcast_rngs)
        try:
            return unroll(cell, xs, carry, mask=mask, resets=resets, backend=self.backend, key=key)
        except TraceContextError as error:
            raise ValueError(
                "the cell changes state of its own in a step, such as the counter of a random stream; allowed: state "
                "in the carry alone. For recurrent dropout build the layer with broadcast_rngs='recurrent_dropout' "
                "(the name of the stream): every step of a call then draws with the same key."
            ) from error

    def _carry(
        self, initial_carry: Carry | None, input_shape: tuple[int, ...], batch: tuple[int, ...], rngs: Any
    ) -> Carry | None:
        if initial_carry is not None:
            return initial_carry
        if self.initial_carry is None:
            return None if rngs is None else self._cell.initialize_carry(input_shape, rngs)
        return jax.tree.map(
            lambda c: jnp.broadcast_to(c[...], (*batch, *c.shape)),
            self.initial_carry,
            is_leaf=lambda c: isinstance(c, nnx.Variable),
        )


show_signature(RNN)


def check_read(read: str) -> None:
    """Raises ValueError if ``read`` is not in `READS`."""
    if read not in READS:
        raise ValueError(
            f"read={read!r}; allowed: {', '.join(map(repr, READS))}. 'every' gives an output for each step."
        )


def _with_unroll(backend: str | Engine, unroll: int | None) -> str | Engine:
    """The backend with ``unroll`` steps in the body of its loop."""
    choose(backend)
    if unroll is None:
        return backend
    engines = {"auto": Adjoint, "adjoint": Adjoint, "scan": Scan}
    if not isinstance(backend, str) or backend not in engines:
        raise ValueError(
            f"RNN got unroll={unroll!r} beside backend={backend!r}; allowed: with 'auto', 'adjoint' or 'scan'. Give an "
            "engine its own options: backend=Scan(unroll=2)."
        )
    return engines[backend](unroll=unroll)
