"""The definition of a cell: one time step of a recurrence.

    x --project--> u     a = u + mix(carry)     carry' = update(carry, a) --readout--> y
     time-parallel        the only sequential part                        time-parallel

A cell is an `nnx.Module` that is also a plain JAX pytree: its leaves are the float parameters; everything else is
static. Use `jax.jit`, `jax.grad`, `jax.vmap` and `jax.lax.scan` on it directly; `jax.vmap(build)(keys)` is an ensemble.
A cell does not know batch or time: every leading axis of ``x: [..., D]`` is a batch axis.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.pickling import Picklable

Carry = Any  # a pytree of [..., H]; the LSTM's is (c, h), in Flax's order

# Flax 0.12 requires pytrees among a module's attributes to be declared; 0.11 does not.
data: Callable[[Any], Any] = getattr(nnx, "data", lambda tree: tree)


class Structure(enum.Enum):
    """The structure of a cell, which engines may exploit.

    DENSE: a step is ``update(carry, project(x) + mix(carry))`` under the laws of `Cell`, with recurrent matrices.
    LINEAR: ``project(x)`` is a pair ``(a, b)``, ``mix`` is empty, and ``update`` is ``a s + b``.
    MATRIX: the state is a matrix, to which ``update`` adds an outer product, see `recurrax.cells.MatrixCell`.
    GENERAL: only ``cell(carry, x)`` is defined; engines can only scan it.
    """

    DENSE = "dense"
    LINEAR = "linear-diagonal"
    MATRIX = "matrix"
    GENERAL = "general"


class Cell(Picklable, nnx.RNNCellBase):
    """One step of a recurrence, ``(carry, x) -> (carry, y)``.

    A cell of structure DENSE, LINEAR or MATRIX defines `project`, `mix` and `update`. If it obeys four laws, every
    engine computes it correctly:

    1. ``project(x)`` never sees the carry.
    2. ``mix(carry)`` is affine in the carry and holds the only recurrent parameters.
    3. ``update(carry, a)`` reads no parameter, only static configuration, and works elementwise along the last axis
       (of structure MATRIX: for each head).
    4. ``readout(carry, x)`` never feeds back.

    A cell that cannot obey them (one with two matrix products in a row, say) defines ``__call__`` instead, and its
    structure is GENERAL.
    """

    in_features: int | None = None
    hidden_features: int | None = None
    dtype: Any = None  # dtype of the computation; None uses the promoted dtype of inputs and parameters
    carry_init: Callable[..., jax.Array] | None = None  # initialises every array of the carry; None uses zeros
    structure: Structure = Structure.DENSE
    states: tuple[str, ...] = ("h",)  # names of the arrays [..., H] in the carry; one name: the carry is that array
    short: str  # the name in tables, flags and records; by default the class name without "Cell"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        if "short" not in own:
            cls.short = cls.__name__.removesuffix("Cell")
        if "__call__" in own and "structure" not in own:
            cls.structure = Structure.GENERAL  # otherwise engines would not call this step
        show_signature(cls)

    def project(self, x: jax.Array) -> tuple[Any, ...]:
        """The input part of every gate's pre-activation: ``x: [..., D]`` to a tuple of ``[..., H]``."""
        raise NotImplementedError(self._has_no("project"))

    def mix(self, carry: Carry) -> tuple[Any, ...]:
        """The recurrent part of every gate's pre-activation, affine in the carry: a tuple as long as that of `project`.

        Where an entry is None in one of the two tuples, the gate takes the entry of the other. ``()`` means that no
        gate has a recurrent part.
        """
        raise NotImplementedError(self._has_no("mix"))

    def update(self, carry: Carry, a: tuple[Any, ...]) -> Carry:
        """The new carry, from the old one and ``a = project(x) + mix(carry)``; elementwise, without parameters."""
        raise NotImplementedError(self._has_no("update"))

    def readout(self, carry: Carry, x: jax.Array) -> Any:
        """The output of a step, computed from its new carry; h by default."""
        del x
        return carry[-1] if isinstance(carry, tuple) else carry

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> tuple[Cell, jax.Array]:
        """Computes, once before the loop, what is fixed for a sequence; by default returns ``(cell, xs)`` unchanged.

        A cell whose kernels are computed from parameters (orthogonal kernels, dropped weights) returns a new cell with
        these kernels. Noise that changes at every step is appended to the features of ``xs: [..., D]``. ``key=None``
        means evaluation.
        """
        del key
        return self, xs

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, Any]:
        """One step, ``(carry, x: [..., D]) -> (carry, y: [..., O])``; streaming inference calls only this."""
        inputs = self.check_features(inputs)
        cell, x = self.prepare(inputs, None)
        cell, carry, x = cell.promote(carry, x)
        carry = cell.update(carry, preactivations(cell.project(x), cell.mix(carry)))
        return carry, cell.readout(carry, x)

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        carry_init: Callable[..., jax.Array] | None = None,
    ) -> Carry:
        """The initial carry for inputs of shape ``[..., D]``: zeros, or drawn by ``carry_init`` from ``rngs.carry``.

        It has the dtype of the computation, ``dtype``; if that is None, it has the dtype of the parameters, and a layer
        promotes it with its inputs.
        """
        shape = jax.ShapeDtypeStruct((*input_shape[:-1], self.hidden_features), self.state_dtype())  # type: ignore
        (first, *others) = arrays = self.draw_carry((shape,) * len(self.states), rngs, carry_init)
        return arrays if others else first

    def draw_carry(self, shapes: tuple[Any, ...], rngs: Any, carry_init: Any) -> tuple[jax.Array, ...]:
        """Arrays of these shapes and dtypes: zeros, or drawn from ``rngs.carry`` by ``carry_init`` or the cell's own.

        Raises:
            ValueError: there is an initialiser, but no source of keys.
        """
        carry_init = carry_init or self.carry_init
        if carry_init is None:
            return tuple(jnp.zeros(array.shape, array.dtype) for array in shapes)
        if rngs is None:
            raise ValueError(
                "carry_init needs keys, but rngs is None; allowed: an nnx.Rngs. Pass rngs=nnx.Rngs(carry=0)."
            )
        draw = rngs.carry if isinstance(rngs, nnx.Rngs) else rngs
        return tuple(carry_init(draw(), array.shape, array.dtype) for array in shapes)

    @property
    def out_features(self) -> int | None:
        """O, the size of the output's last axis: H by default; None if it is not known."""
        return self.hidden_features

    @property
    def num_feature_axes(self) -> int:
        """The number of trailing feature axes of the input (Flax's name)."""
        return 1

    def promoted_dtype(self, *inputs: Any) -> Any:
        """The dtype of the computation: ``dtype``, or the promoted dtype of parameters and inputs if that is None."""
        if self.dtype is not None:
            return jnp.dtype(self.dtype)
        parameters = (leaf.dtype for leaf in jax.tree.leaves(self) if jnp.issubdtype(leaf.dtype, jnp.inexact))
        return jnp.result_type(*parameters, *inputs or (jnp.bool_,))

    def state_dtype(self, *inputs: Any) -> Any:
        """The dtype of the carry; by default the dtype of the computation."""
        return self.promoted_dtype(*inputs)

    def promote(self, carry: Carry, xs: jax.Array) -> tuple[Cell, Carry, jax.Array]:
        """Promotes cell, carry and inputs to the dtype of the computation, as Flax does."""
        dtype = self.promoted_dtype(xs.dtype)
        return cast(self, dtype), cast(carry, dtype), xs.astype(dtype)

    def check_features(self, xs: Any) -> jax.Array:
        """``xs: [..., D]`` as an array; raises ValueError if D is not the cell's, TypeError for complex inputs."""
        xs, name = jnp.asarray(xs), type(self).__name__
        if self.in_features is not None and (not xs.shape or xs.shape[-1] != self.in_features):
            raise ValueError(
                f"inputs have shape {xs.shape}; {name} allows a last axis of in_features={self.in_features}. "
                f"Build the cell with that size, or reshape the inputs to [..., {self.in_features}]."
            )
        if jnp.iscomplexobj(xs):
            raise TypeError(
                f"inputs have dtype {xs.dtype}; {name} allows real numbers, integers and booleans. Give the real and "
                "the imaginary part as features: jnp.concatenate([xs.real, xs.imag], -1)."
            )
        return xs

    def _has_no(self, method: str) -> str:
        return (
            f"{type(self).__name__} defines no {method}(): its structure is {self.structure}. Call the cell itself, "
            f"cell(carry, x), or define project, mix and update and set structure = {Structure.DENSE}."
        )


def preactivations(u: tuple[Any, ...], v: tuple[Any, ...]) -> tuple[Any, ...]:
    """``a = u + v`` for each gate; an entry that is None counts as zero, and so does ``v = ()``."""
    if not v:
        return u
    return tuple(b if a is None else a if b is None else a + b for a, b in zip(u, v, strict=True))


def cast(tree: Any, dtype: Any) -> Any:
    """Casts the floating arrays of the tree to a dtype, and complex arrays to the matching complex dtype."""

    def one(leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        wanted = jnp.promote_types(dtype, jnp.complex64) if jnp.iscomplexobj(leaf) else dtype
        return leaf if leaf.dtype == wanted else leaf.astype(wanted)

    return jax.tree.map(one, tree)


def show_signature(cls: type) -> None:
    """Shows the constructor's arguments to `inspect.signature`, editors and help; Flax's metaclass hides them."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())
    cls.__signature__ = inspect.Signature(parameters[1:])  # type: ignore[attr-defined]
