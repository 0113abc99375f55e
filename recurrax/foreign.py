"""Any step ``(carry, x) -> (carry, y)`` as a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from recurrax.cell import Carry, Cell, Structure, cast, data


class Foreign(Cell):
    """Any step ``(carry, x) -> (carry, y)`` as a cell, Flax's nnx and linen cells included.

    Args:
        step: an nnx cell; or a function ``step(carry, x)``; or, with ``params``, ``step(params, carry, x)``.
        params: pytree that ``step`` takes as its first argument; gradients are taken with respect to it.
        initialize_carry: ``input_shape -> carry``; by default the method of the nnx cell.
        num_feature_axes: trailing feature axes of the input; more than 1 for convolutional cells.

    Raises:
        TypeError: ``step`` cannot be called.

    ::

        Foreign(nnx.LSTMCell(2, 32, rngs=rngs))
        Foreign.linen(nn.GRUCell(features=32), variables)
        Foreign(lambda p, h, x: (h := jnp.tanh(h @ p + x), h), params=W)

        params, static = eqx.partition(eqx.nn.GRUCell(2, 32, key=key), eqx.is_array)
        Foreign(lambda p, h, x: (h := eqx.combine(p, static)(x, h), h), params=params)
    """

    structure = Structure.GENERAL

    def __init__(
        self,
        step: Callable[..., tuple[Carry, Any]],
        *,
        params: Any = None,
        initialize_carry: Callable[[tuple[int, ...]], Carry] | None = None,
        num_feature_axes: int | None = None,
    ):
        if not callable(step):
            raise TypeError(
                f"Foreign got step={step!r}; allowed: a callable (carry, x) -> (carry, y). Pass the cell itself."
            )
        self.step = step
        self.params = data(params)
        self.carry_from_shape = initialize_carry
        self.in_features = None  # the step itself checks its inputs
        self.hidden_features = getattr(step, "hidden_features", None)
        self.feature_axes = num_feature_axes or getattr(step, "num_feature_axes", 1)
        self.linen_module = None

    @classmethod
    def linen(cls, module: Any, variables: Any) -> Foreign:
        """A `flax.linen` cell with its variables, ``module.init(key, carry, x)``."""
        cell = cls(module.apply, params=variables, num_feature_axes=module.num_feature_axes)
        cell.linen_module, cell.hidden_features = module, getattr(module, "features", None)
        return cell

    @classmethod
    def broadcasting(cls, cell: Cell, only: Any) -> Foreign:
        """The cell with new keys in its random streams ``only``, which stay the same for all steps of a sequence."""
        with nnx.split_rngs(cell, splits=1, only=only, squeeze=True) as streams:
            graph, state = nnx.split(cell)
        if not list(streams):
            raise ValueError(
                f"broadcast_rngs={only!r} is not a random stream of the cell; allowed: a filter for one or more "
                "of them. Build the cell with a stream of that name, e.g. rngs=nnx.Rngs(params=0, recurrent_dropout=1)."
            )
        others = nnx.All(nnx.RngCount, nnx.Not(only))

        def step(state: Any, carry: Carry, x: jax.Array) -> tuple[Carry, Any]:
            module = nnx.merge(graph, state, copy=True)
            before = jax.tree.leaves(nnx.state(module, others))
            out = module(carry, x)
            if any(a is not b for a, b in zip(before, jax.tree.leaves(nnx.state(module, others)), strict=True)):
                raise ValueError(
                    f"the cell draws from a random stream that broadcast_rngs={only!r} leaves out; allowed: a filter "
                    "for all streams that a step draws from. Give e.g. broadcast_rngs=nnx.RngState for every one."
                )
            return out

        one = cls(
            step,
            params=state,
            initialize_carry=cell.initialize_carry,
            num_feature_axes=cell.num_feature_axes,
        )
        one.hidden_features = cell.out_features
        return one

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, Any]:
        """One step of the wrapped cell."""
        return self.step(carry, inputs) if self.params is None else self.step(self.params, carry, inputs)

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        carry_init: Callable[..., jax.Array] | None = None,
    ) -> Carry:
        """The wrapped cell's own initial carry; ``rngs`` and ``carry_init`` are handed to an nnx cell."""
        options = {} if carry_init is None else {"carry_init": carry_init}
        if self.carry_from_shape is not None:
            return self.carry_from_shape(input_shape)
        if self.linen_module is not None:
            return self.linen_module.initialize_carry(jax.random.key(0), input_shape)
        if hasattr(self.step, "initialize_carry"):
            return self.step.initialize_carry(input_shape, rngs or nnx.Rngs(0), **options)
        raise ValueError(
            "this Foreign cell does not know its initial carry; allowed: an nnx cell, Foreign.linen, or the "
            "argument initialize_carry. Pass Foreign(step, initialize_carry=...), or an initial carry to the call."
        )

    def promote(self, carry: Carry, xs: jax.Array) -> tuple[Cell, Carry, jax.Array]:
        """Returns everything unchanged, because the step promotes by itself; only a Flax cell's carry is promoted."""
        of_flax = self.linen_module is not None or hasattr(self.step, "initialize_carry")
        return self, cast(carry, self.promoted_dtype(xs.dtype)) if of_flax else carry, xs

    @property
    def num_feature_axes(self) -> int:
        """The number of trailing feature axes of the wrapped cell's input."""
        return self.feature_axes
