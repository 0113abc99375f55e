r"""Networks without gates and with a structured recurrent matrix: diagonal, orthogonal, antisymmetric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, cast
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import Kernel, affine, check_size, like


class IndRNNCell(Cell):
    r"""Independently recurrent network: each unit sees only its own state.

    .. math:: h_t = \phi(W x_t + b + u \odot h_{t-1})

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters: ``kernel: [1, H, D]`` (W),
    ``bias: [1, H]`` (b), ``recurrent: [H]`` (u).

    Args:
        in_features: D.
        hidden_features: H.
        activation_fn: phi.
        kernel_init: initialiser of W.
        recurrent_init: initialiser of u; uniform in [0, 1) by default.
        bias_init: initialiser of b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Li, Li, Cook, Zhu & Gao (2018), "Independently recurrent neural network (IndRNN)".
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation_fn: Callable[[jax.Array], jax.Array] = jax.nn.relu,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_init: Initializer = initializers.uniform(1.0),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("IndRNNCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.activation_fn, self.carry_init, self.dtype = activation_fn, carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 1, (D, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 1, (H,), param_dtype))
        self.recurrent = nnx.Param(per_gate(recurrent_init, keys[2], 1, (H,), param_dtype)[0])

    def project(self, x: jax.Array) -> tuple[jax.Array]:
        """``W x + b``."""
        (a,) = affine(x, self.kernel, self.bias)
        return (a,)

    def mix(self, carry: jax.Array) -> tuple[jax.Array]:
        """``u h``, unit by unit."""
        return (like(self.recurrent[...], carry) * carry,)

    def update(self, carry: jax.Array, a: tuple[jax.Array]) -> jax.Array:
        """``h = phi(W x + b + u h)``."""
        del carry
        return self.activation_fn(a[0])


class _SquareCell(Cell):
    """Base class of the cells below: `prepare` computes the recurrent matrix from a square matrix of parameters."""

    U: nnx.Param  # the recurrent matrix, once it is prepared

    def _draw(self, init: Initializer, kernel_init: Initializer, bias_init: Initializer, key: Any, dtype: Any) -> None:
        check_size(type(self).__name__, in_features=self.in_features, hidden_features=self.hidden_features)  # type: ignore
        D, H = self.in_features, self.hidden_features
        keys = jax.random.split(key, 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 1, (D, H), dtype)  # type: ignore[arg-type]
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 1, (H,), dtype))  # type: ignore[arg-type]
        self.square = nnx.Param(per_gate(init, keys[2], 1, (H, H), dtype)[0])  # type: ignore[arg-type]

    def recurrent(self) -> jax.Array:
        """The recurrent matrix U, ``[H, H]``, computed from the parameters."""
        raise NotImplementedError

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> tuple[Cell, jax.Array]:
        """The cell with its recurrent matrix computed, once for a whole sequence."""
        del key
        prepared = jax.tree.map(lambda leaf: leaf, cast(self, self.promoted_dtype(xs.dtype)))
        prepared.U = nnx.Param(prepared.recurrent())
        return prepared, xs

    def project(self, x: jax.Array) -> tuple[jax.Array]:
        """``W x + b``."""
        (a,) = affine(x, self.kernel, self.bias)
        return (a,)

    def mix(self, carry: jax.Array) -> tuple[jax.Array]:
        """``U h``."""
        U = self.U[...] if hasattr(self, "U") else self.recurrent()
        return (carry @ U.T,)


class OrthogonalRNNCell(_SquareCell):
    r"""RNN whose recurrent matrix stays orthogonal during training, so that it preserves the norm of the state.

    .. math:: h_t = \phi(W x_t + b + U h_{t-1}), \qquad U = \exp(A - A^\top)

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters: ``kernel: [1, H, D]`` (W),
    ``bias: [1, H]`` (b), ``square: [H, H]`` (A). The exponential is computed once per sequence.

    Args:
        in_features: D.
        hidden_features: H.
        activation_fn: phi; tanh by default. ``lambda a: a`` keeps the norm exactly.
        square_init: initialiser of A.
        kernel_init: initialiser of W.
        bias_init: initialiser of b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Lezcano-Casado & Martínez-Rubio (2019), "Cheap orthogonal constraints in neural networks"; orthogonal
    recurrence: Arjovsky, Shah & Bengio (2016).
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation_fn: Callable[[jax.Array], jax.Array] = jnp.tanh,
        square_init: Initializer = initializers.normal(1.0),
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.in_features, self.hidden_features = in_features, hidden_features
        self.activation_fn, self.carry_init, self.dtype = activation_fn, carry_init, dtype
        self._draw(square_init, kernel_init, bias_init, rngs.params(), param_dtype)

    def recurrent(self) -> jax.Array:
        """``U = exp(A - A^T)``."""
        A = self.square[...]
        A = A.astype(jnp.promote_types(A.dtype, jnp.float32))  # the matrix exponential does not support bfloat16
        return jax.scipy.linalg.expm(A - A.T).astype(self.square[...].dtype)

    def update(self, carry: jax.Array, a: tuple[jax.Array]) -> jax.Array:
        """``h = phi(W x + b + U h)``."""
        del carry
        return self.activation_fn(a[0])


class AntisymmetricRNNCell(_SquareCell):
    r"""RNN that discretises a stable ordinary differential equation, so that gradients neither vanish nor explode.

    .. math:: h_t = h_{t-1} + \varepsilon \, \tanh(W x_t + b + (M - M^\top - \gamma I) h_{t-1})

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters: ``kernel: [1, H, D]`` (W),
    ``bias: [1, H]`` (b), ``square: [H, H]`` (M).

    Args:
        in_features: D.
        hidden_features: H.
        step_size: epsilon.
        damping: gamma.
        square_init: initialiser of M.
        kernel_init: initialiser of W.
        bias_init: initialiser of b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Chang, Chen, Haber & Chi (2019), "AntisymmetricRNN: a dynamical system view on recurrent neural networks".
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: float = 0.1,
        damping: float = 0.01,
        square_init: Initializer = initializers.lecun_normal(),
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.in_features, self.hidden_features = in_features, hidden_features
        self.step_size, self.damping, self.carry_init, self.dtype = step_size, damping, carry_init, dtype
        self._draw(square_init, kernel_init, bias_init, rngs.params(), param_dtype)

    def recurrent(self) -> jax.Array:
        """``U = M - M^T - gamma I``."""
        M = self.square[...]
        return M - M.T - self.damping * jnp.eye(len(M), dtype=M.dtype)

    def update(self, carry: jax.Array, a: tuple[jax.Array]) -> jax.Array:
        """``h' = h + epsilon tanh(W x + b + U h)``."""
        return carry + self.step_size * jnp.tanh(a[0])
