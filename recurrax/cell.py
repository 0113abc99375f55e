"""The cell: what happens in one step.

    x --project--> u --update(carry, u, mix(carry))--> carry' --readout--> y
        time-parallel        the only sequential part            time-parallel

A cell is an `nnx.Module` used as a plain JAX pytree: its leaves are float parameters, everything else is
static. Use `jax.jit`, `jax.grad`, `jax.vmap` and `jax.lax.scan` on it directly; `jax.vmap(build)(keys)` is an
ensemble. A cell never mentions batch or time: every leading axis of ``x: [..., D]`` is a batch axis.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

Carry = Any  # a pytree of [..., H]; the LSTM's is (c, h), Flax's order
FEW_ROWS = 32  # that are multiplied by the kernels of all gates at once

# Flax 0.12 asks that pytrees among a module's attributes are declared; 0.11 takes them as they are.
data: Callable[[Any], Any] = getattr(nnx, "data", lambda tree: tree)


class Structure(enum.Enum):
    """What an engine may exploit in a cell.

    DENSE: a step is ``update(carry, project(x), mix(carry))`` under the laws of `Cell`, with recurrent matrices.
    LINEAR: the same with ``project(x)`` a pair ``(a, b)``, ``mix`` empty, and ``update`` being ``a s + b``.
    GENERAL: only ``cell(carry, x)`` is defined; engines scan it as it stands.
    """

    DENSE = "dense"
    LINEAR = "linear-diagonal"
    GENERAL = "general"


class Cell(nnx.RNNCellBase):
    """One step of a recurrence, ``(carry, x) -> (carry, y)``.

    The laws that make every engine right for every cell of structure DENSE or LINEAR:

    1. ``project(x)`` never sees the carry.
    2. ``mix(carry)`` is affine in the carry and holds the only recurrent parameters.
    3. ``update(carry, u, v)`` reads no parameter, only static configuration, and works elementwise along the last axis.
    4. ``readout(carry, x)`` never feeds back.

    A cell that cannot obey them (two matrix products in a row, say) sets ``structure = Structure.GENERAL`` and
    writes ``__call__`` itself.
    """

    in_features: int | None
    hidden_features: int | None
    structure: Structure = Structure.DENSE
    states: tuple[str, ...] = ("h",)  # names of the arrays [..., H] in the carry; one name: the carry is that array

    def project(self, x: jax.Array) -> Any:
        """Input to gates, ``x: [..., D]`` to a tuple of ``[..., H]``."""
        raise NotImplementedError(self._only_step("project"))

    def mix(self, carry: Carry) -> Any:
        """Carry to gates, affine: the recurrent weights, a tuple of ``[..., H]`` like ``project``'s."""
        raise NotImplementedError(self._only_step("mix"))

    def update(self, carry: Carry, u: Any, v: Any) -> Carry:
        """New carry from the old one and the two halves of the pre-activations; elementwise, without parameters."""
        raise NotImplementedError(self._only_step("update"))

    def readout(self, carry: Carry, x: jax.Array) -> Any:
        """Output of a step from its new carry: h unless a cell says otherwise."""
        del x
        return carry[-1] if isinstance(carry, tuple) else carry

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, Any]:
        """One step: ``(carry, x: [..., D]) -> (carry, y: [..., H])``. Streaming inference is this and nothing else."""
        self.check_features(inputs)
        carry = self.update(carry, self.project(inputs), self.mix(carry))
        return carry, self.readout(carry, inputs)

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | None = None,
        carry_init: Callable[..., jax.Array] | None = None,
    ) -> Carry:
        """Initial carry for inputs of shape ``[..., D]``: zeros, or drawn by ``carry_init`` from ``rngs.carry``.

        It has the dtype of the parameters, so that a cell cast to bfloat16 runs in bfloat16 from end to end.
        """
        shape = (*input_shape[:-1], self.hidden_features)
        if carry_init is None:
            arrays = tuple(jnp.zeros(shape, self.state_dtype) for _ in self.states)
        elif rngs is None:
            raise ValueError(
                "carry_init was given but rngs is None; allowed: an nnx.Rngs. Pass rngs=nnx.Rngs(carry=0)."
            )
        else:
            arrays = tuple(carry_init(rngs.carry(), shape, self.state_dtype) for _ in self.states)
        (first, *others) = arrays
        return arrays if others else first

    @property
    def dtype(self) -> jnp.dtype | None:
        """The dtype of the parameters, which carries and outputs keep; None for a cell without float parameters."""
        leaves = [leaf for leaf in jax.tree.leaves(self) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return leaves[0].dtype if leaves else None

    @property
    def state_dtype(self) -> jnp.dtype | None:
        """The dtype of the carry: that of the parameters, unless a cell says otherwise."""
        return self.dtype

    @property
    def num_feature_axes(self) -> int:
        """Number of trailing feature axes of the input (Flax's name)."""
        return 1

    def check_features(self, xs: jax.Array) -> None:
        """Raises TypeError or ValueError where ``xs: [..., D]`` has another dtype or D than the cell."""
        if self.in_features is None:
            return
        name, shape, dtype = type(self).__name__, jnp.shape(xs), jnp.result_type(xs)
        if not shape or shape[-1] != self.in_features:
            raise ValueError(
                f"inputs have shape {shape}; {name} allows a last axis of in_features={self.in_features}. "
                f"Build the cell with that size, or reshape the inputs to [..., {self.in_features}]."
            )
        if dtype != self.dtype:
            raise TypeError(
                f"inputs have dtype {dtype}; {name} has parameters of {self.dtype} and allows only that. "
                f"Cast the inputs, xs.astype('{self.dtype}'), or all parameters of the cell with jax.tree.map."
            )

    def _only_step(self, method: str) -> str:
        return (
            f"{type(self).__name__} defines no {method}(): its structure is {self.structure}. Call the cell itself, "
            f"cell(carry, x), or define project, mix and update and set structure = {Structure.DENSE}."
        )


def affine(x: jax.Array, kernel: Any, bias: nnx.Param | None = None) -> list[Any]:
    """``x W_g + b_g`` for each gate g: ``x: [..., D], kernel: [G, D, H], bias: [G, H]`` to G arrays ``[..., H]``.

    The kernel is a parameter of the cell, one product a gate, or the form that an engine gave it, `SideBySide`; of
    `Untaken` kernels what would be multiplied comes out, not the product.
    """
    if isinstance(kernel, Untaken):
        return [Factor(x, kernel.kernel, bias, gate) for gate in range(kernel.kernel.gates)]
    together = isinstance(kernel, SideBySide)
    weights = kernel.weights if together else kernel[...]
    b = None if bias is None else bias[...].reshape(1, -1) if together else bias[...][:, None]
    flat = x.reshape(-1, x.shape[-1])  # products over two axes at once are slow on a CPU
    many = x.ndim > 2 and len(flat) > FEW_ROWS  # steps
    if b is not None and (not kernel.transposed if together else many) and x.shape[-1] <= 128:
        # The bias as weights of an input that is 1: its gradient is a row of the product then, not one more sum; and
        # a product stays one where there is a single input, of which XLA would make the step's slowest loop.
        flat = jnp.concatenate([flat, jnp.ones_like(flat[:, :1])], axis=1)
        weights, b = jnp.concatenate([weights, b], axis=-2), None
    products = [kernel.product(flat, weights)] if together else _apart(flat, weights)
    if b is not None:
        products = [product + row for product, row in zip(products, [b] if together else b, strict=True)]
    products = [product.reshape(*x.shape[:-1], product.shape[-1]) for product in products]
    return split(products[0], kernel.gates) if together else products


def _apart(x: jax.Array, weights: jax.Array) -> list[jax.Array]:
    """``x W_g`` for each gate g: ``x: [B, D], weights: [G, D, H]``.

    Of few rows in one batched product, which reads the kernels where they lie: XLA copies each W_g out of them first
    on a CPU, which takes longer than the product itself.
    """
    G, B = len(weights), len(x)
    if G == 1 or B > FEW_ROWS:
        return [x @ gate for gate in weights]
    return [gate[0] for gate in jax.lax.split(_together(x, weights), [1] * G)]


@functools.partial(jax.checkpoint, prevent_cse=False)  # else its G copies of x are kept for the backward pass
def _together(x: jax.Array, weights: jax.Array) -> jax.Array:
    return jax.lax.dot_general(jnp.broadcast_to(x, (len(weights), *x.shape)), weights, (((2,), (1,)), ((0,), (0,))))


def split(product: jax.Array, gates: int) -> list[jax.Array]:
    """``[..., G H]`` to G arrays ``[..., H]``."""
    return list(jax.lax.split(product, [product.shape[-1] // gates] * gates, axis=product.ndim - 1))


class Kernels(nnx.Param):
    """One kernel a gate, ``[G, D, H]``, read by `affine` alone: so an engine may lay them out as it likes."""


class InputKernels(Kernels):
    """Those that inputs are multiplied by."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SideBySide:
    """Kernels of all gates in one matrix, ``[D, G H]``, or in its transpose: one product in place of G.

    A product of few rows by a large matrix takes a CPU much longer with the matrix as its second factor, as that is
    first copied, at every product, into the order in which it is read. A ``leading`` matrix is the first factor of the
    one product that reads it along its rows: of ``x W`` where it is transposed, else of the derivative of ``x W``.
    """

    weights: jax.Array
    gates: int = dataclasses.field(metadata={"static": True})
    transposed: bool = dataclasses.field(default=False, metadata={"static": True})
    leading: bool = dataclasses.field(default=False, metadata={"static": True})

    @classmethod
    def of(cls, kernel: jax.Array) -> SideBySide:
        """From ``[G, D, H]``."""
        G, D, H = kernel.shape
        return cls(jnp.swapaxes(kernel, 0, 1).reshape(D, G * H), G)

    @property
    def T(self) -> SideBySide:
        """The same product from the matrix transposed: the derivative of ``x W`` then multiplies by it as it lies."""
        G, weights = self.gates, self.weights
        if self.transposed:
            return SideBySide(weights.T, G)
        # By way of [D, G, H], as `of` made it: XLA then finds one transposition of the kernels, not two.
        return SideBySide(weights.reshape(len(weights), G, -1).transpose(1, 2, 0).reshape(-1, len(weights)), G, True)

    def product(self, x: jax.Array, weights: jax.Array) -> jax.Array:
        """``x: [B, D]`` times weights that lie as these: ``[B, G H]``."""
        axis = 1 if self.transposed else 0
        if not self.leading:
            return jax.lax.dot_general(x, weights, (((1,), (axis,)), ((), ())))
        # Without the barriers XLA moves the transpositions into the products, where they undo what they are for.
        if self.transposed:
            return jax.lax.optimization_barrier(jax.lax.dot_general(weights, x, (((1,), (1,)), ((), ())))).T
        return jax.lax.dot_general(jax.lax.optimization_barrier(x.T), weights, (((0,), (0,)), ((), ())))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Untaken:
    """Kernels whose products an engine takes itself: `affine` only says of what."""

    kernel: SideBySide


@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
    """What stands for gate g of the product ``x W + b``, and allows no arithmetic."""

    x: jax.Array
    kernel: SideBySide
    bias: nnx.Param | None
    gate: int


def check_size(cell: str, **sizes: int) -> None:
    """Raises ValueError where a number of features is not a positive int."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{cell} got {name}={size!r}; allowed: an int >= 1. Give e.g. {name}=32.")


class Foreign(Cell):
    """Any step ``(carry, x) -> (carry, y)`` as a cell, Flax's nnx and linen cells included.

    Args:
        step: an nnx cell; or a function ``step(carry, x)``; or, with ``params``, ``step(params, carry, x)``.
        params: pytree that ``step`` takes first and that gradients are taken with respect to.
        initialize_carry: ``input_shape -> carry``; by default that of the nnx cell.
        num_feature_axes: trailing feature axes of the input; more than 1 for convolutional cells.

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
        self.in_features = None  # the step itself judges its inputs
        self.hidden_features = getattr(step, "hidden_features", None)
        self.feature_axes = num_feature_axes or getattr(step, "num_feature_axes", 1)
        self.linen_module = None

    @classmethod
    def linen(cls, module: Any, variables: Any) -> Foreign:
        """A `flax.linen` cell with its variables, ``module.init(key, carry, x)``."""
        cell = cls(module.apply, params=variables, num_feature_axes=module.num_feature_axes)
        cell.linen_module, cell.hidden_features = module, getattr(module, "features", None)
        return cell

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, Any]:
        """One step of the wrapped cell."""
        return self.step(carry, inputs) if self.params is None else self.step(self.params, carry, inputs)

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | None = None,
        carry_init: Callable[..., jax.Array] | None = None,
    ) -> Carry:
        """The wrapped cell's own initial carry; ``rngs`` is passed on to an nnx cell, ``carry_init`` is not used.

        A Flax cell's carry gets the dtype of the parameters, as that of any `Cell`.
        """
        if self.carry_from_shape is not None:
            return self.carry_from_shape(input_shape)
        if self.linen_module is not None:
            carry = self.linen_module.initialize_carry(jax.random.key(0), input_shape)
        elif hasattr(self.step, "initialize_carry"):
            carry = self.step.initialize_carry(input_shape, rngs or nnx.Rngs(0))
        else:
            raise ValueError(
                "this Foreign cell does not know its initial carry; allowed: an nnx cell, Foreign.linen, or the "
                "argument initialize_carry. Pass Foreign(step, initialize_carry=...), or an initial carry to the call."
            )
        return carry if self.dtype is None else jax.tree.map(lambda c: c.astype(self.dtype), carry)

    @property
    def num_feature_axes(self) -> int:
        """Number of trailing feature axes of the wrapped cell's input."""
        return self.feature_axes
