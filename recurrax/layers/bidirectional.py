"""A layer that runs over sequences in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import show_signature
from recurrax.layers.rnn import RNN
from recurrax.pickling import Picklable


def concatenate(forward: jax.Array, backward: jax.Array) -> jax.Array:
    """Concatenates ``[..., H], [..., H]`` to ``[..., 2H]``."""
    return jnp.concatenate([forward, backward], axis=-1)


class Bidirectional(Picklable, nnx.Module):
    """Runs one layer forward and one backward in time, and merges their outputs at each step.

    Args:
        forward_rnn: `RNN`, run with its own settings.
        backward_rnn: `RNN` with its own cell, run in reverse; its outputs are in the order of the inputs.
        merge_fn: joins the two outputs ``[..., O]``; by default concatenates them to ``[..., 2 O]``.
        time_major: inputs and outputs are ``[T, *batch, ...]``; None takes the setting of the two layers.
        return_carry: return ``((forward carry, backward carry), outputs)``.
        rngs: None, True or False; a layer stores no keys, so pass an `nnx.Rngs` to the call.

    Raises:
        TypeError: a direction is not an `RNN`.
        ValueError: only one layer is time-major, the layers share parameters, or an `nnx.Rngs` is given.

    Source: Schuster & Paliwal (1997).
    """

    def __init__(
        self,
        forward_rnn: RNN,
        backward_rnn: RNN,
        *,
        merge_fn: Callable[[jax.Array, jax.Array], jax.Array] = concatenate,
        time_major: bool | None = None,
        return_carry: bool = False,
        rngs: bool | None = None,
    ):
        for rnn in (forward_rnn, backward_rnn):
            if not isinstance(rnn, RNN):
                raise TypeError(
                    f"Bidirectional got {type(rnn).__name__}; allowed: two RNN layers. Wrap the cell, RNN(cell)."
                )
        if time_major is None and forward_rnn.time_major != backward_rnn.time_major:
            raise ValueError(
                f"time_major is {forward_rnn.time_major} forward and {backward_rnn.time_major} backward; "
                "allowed: the same. Build both layers alike, or give Bidirectional time_major itself."
            )
        if _variables(forward_rnn) & _variables(backward_rnn):
            raise ValueError(
                "both directions are the same object or share parameters; allowed: two that share none. Build a second "
                "cell with keys of its own."
            )
        if rngs not in (None, True, False):
            raise ValueError(
                "Bidirectional got rngs, but a layer keeps no random keys; allowed: None. Give them to the call: "
                "layer(inputs, rngs=nnx.Rngs(carry=0))."
            )
        self.forward_rnn, self.backward_rnn = forward_rnn, backward_rnn
        self.time_major = forward_rnn.time_major if time_major is None else time_major
        self.merge_fn, self.return_carry = merge_fn, return_carry

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: tuple[Any, Any] | None = None,
        seq_lengths: jax.Array | None = None,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: None = None,
        keep_order: None = None,
        read: str = "every",
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Any:
        """Runs both directions over ``inputs: [*batch, T, D]``; the arguments are those of `RNN`.

        With ``read="last"`` each direction is read at its end: forward at the last step, backward at the first.

        Raises:
            ValueError: ``reverse`` or ``keep_order`` is given, which Flax ignores; or `RNN` raises it.
        """
        if reverse is not None or keep_order is not None:
            raise ValueError(
                f"Bidirectional got reverse={reverse}, keep_order={keep_order}; allowed: None, as it always runs both "
                "directions and keeps the order. Set them on an RNN."
            )
        forward, backward = (None, None) if initial_carry is None else initial_carry
        first, second = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        sequence = {
            "seq_lengths": seq_lengths,
            "mask": mask,
            "resets": resets,
            "return_carry": True,
            "time_major": self.time_major if time_major is None else time_major,
            "read": read,
            "rngs": rngs,
        }
        c_forward, ys = self.forward_rnn(inputs, initial_carry=forward, reverse=False, dropout_key=first, **sequence)
        c_backward, zs = self.backward_rnn(
            inputs, initial_carry=backward, reverse=True, keep_order=True, dropout_key=second, **sequence
        )
        outputs = jax.tree.map(self.merge_fn, ys, zs)
        return_carry = self.return_carry if return_carry is None else return_carry
        return ((c_forward, c_backward), outputs) if return_carry else outputs

    def step(self, carry: Any, x: jax.Array) -> Any:
        """Raises ValueError: the backward direction needs the whole sequence."""
        del carry, x
        raise ValueError("Bidirectional cannot stream; allowed: RNN layers. Call it on whole sequences.")

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: nnx.Rngs | None = None) -> tuple[Any, Any]:
        """The initial carries of both directions, for inputs ``[*batch, D]``."""
        return tuple(rnn.initialize_carry(input_shape, rngs) for rnn in (self.forward_rnn, self.backward_rnn))  # type: ignore[return-value]

    @property
    def in_features(self) -> int | None:
        """D; None for `Foreign` cells."""
        return self.forward_rnn.in_features

    @property
    def num_feature_axes(self) -> int:
        """Trailing feature axes of the inputs."""
        return self.forward_rnn.num_feature_axes

    @property
    def out_features(self) -> int | None:
        """The size of the merged outputs' last axis; None if a cell does not define its own."""
        sizes = self.forward_rnn.out_features, self.backward_rnn.out_features
        if None in sizes:
            return None
        each = (jax.ShapeDtypeStruct((1, size), jnp.float32) for size in sizes)
        return jax.eval_shape(self.merge_fn, *each).shape[-1]


show_signature(Bidirectional)


def _variables(module: nnx.Module) -> set[int]:
    """The ids of a module's variables."""
    leaves = jax.tree.leaves(module, is_leaf=lambda node: isinstance(node, nnx.Variable))
    return {id(leaf) for leaf in leaves if isinstance(leaf, nnx.Variable)}
