"""The gradient of a loss at the last step with respect to every earlier state, in the log domain.

The state s_t is the whole carry as one real vector [n] (an LSTM's is c and h together; a complex leaf counts
as its real and imaginary parts). A vector is stored as `mantissa * 2**exponent` with its largest entry near 1. So a
decay by 1/4 per step, which would be zero in float32 after 75 steps, can be followed over any number of steps. Only a
change by more than the range of the dtype (1e38 in float32) within a single step is lost.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

Step = Callable[[Any, Any], tuple[Any, Any]]
Loss = Callable[[Any, Any], Array]
Scaled = tuple[Array, Array]  # mantissa and integer exponent of the array mantissa * 2**exponent


class Trajectory(NamedTuple):
    """A sequence as a chain of maps of real vectors: s_t = advance(s_{t-1}, x_t)."""

    advance: Callable[[Array, Any], Array]
    ravel: Callable[[Any], Array]
    unravel: Callable[[Array], Any]
    xs: Any  # pytree of [T, ...]
    states: Array  # [T, n]: s_0 .. s_{T-1}, the state before each step
    final: Array  # [n]: s_T


def state_gradients(step: Step, carry: Any, xs: Any, loss: Loss | None = None) -> Array:
    """Log norms of the gradient of a loss at the last step with respect to the state after every step.

        s_t, y_t = step(s_{t-1}, x_t),  L = loss(s_T, y_T)
        g_T = dL/ds_T,  g_{t-1} = J_t^T g_t  with  J_t = ds_t/ds_{t-1},  result_t = ln |g_t|_2

    It handles one example; use `vmap` over examples and seeds, then take medians. It costs T steps forward, T backward
    and 2 T n numbers. If the step computes y_T from its new state (an LSTM's output is its h_T), L is a function of
    s_T. Otherwise, or if `jax.checkpoint` or a `custom_vjp` hides this, y_T contributes nothing to g_T; all earlier
    entries stay exact.

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carry: initial state s_0, a pytree of floating or complex arrays, n numbers in all.
        xs: inputs, [T, D] or any pytree of [T, ...], T >= 1.
        loss: `(carry_T, y_T) -> scalar`; by default the sum over y_T.

    Returns:
        [T+1] in nats, t = 0 .. T; index 0 is the initial carry. A gradient of exactly zero gives -inf.

    Raises:
        TypeError: the carry has an integer leaf, or the step changes the structure or dtypes of the carry.
        ValueError: there are no steps or no state, or the loss is not a real scalar.

    Hochreiter, 1991; Pascanu, Mikolov and Bengio, 2013 (arXiv:1211.5063).
    """
    path = trajectory(step, carry, xs)
    (at_end, direct), exponent = rescale(loss_gradients(step, path, loss))

    def pull(after: Scaled, point: tuple[Array, Any, Array]) -> tuple[Scaled, Array]:
        gradient, exponent = after
        state, x, direct = point
        (gradient,) = jax.vjp(lambda state: path.advance(state, x), state)[1](gradient)
        gradient, shift = rescale(gradient + direct)
        return (gradient, exponent + shift), log_root(jnp.sum(gradient**2), exponent + shift)

    directs = jnp.zeros_like(path.states).at[-1].set(direct)
    _, log_norms = jax.lax.scan(pull, (at_end, exponent), (path.states, path.xs, directs), reverse=True)
    return jnp.append(log_norms, log_root(jnp.sum(at_end**2), exponent))


def trajectory(step: Step, carry: Any, xs: Any) -> Trajectory:
    """Checks the arguments, runs the steps and records the state before each step."""
    length(xs)
    carry, xs = jax.tree.map(jnp.asarray, (carry, xs))
    _check_carry(carry)
    ravel, unravel = _coordinates(carry)
    _check_step(step, carry, jax.tree.map(lambda leaf: leaf[0], xs))

    def advance(state: Array, x: Any) -> Array:
        return ravel(step(unravel(state), x)[0])

    final, states = jax.lax.scan(lambda state, x: (advance(state, x), state), ravel(carry), xs)
    return Trajectory(advance, ravel, unravel, xs, states, final)


def length(xs: Any) -> int:
    """The number of steps T in a pytree of [T, ...]."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(xs)]
    lengths = {shape[0] if shape else None for shape in shapes}
    if len(lengths) != 1 or None in lengths:
        raise ValueError(
            f"xs has leaves of shape {shapes}; every leaf must be [T, ...] with one common T. "
            "A step without input takes xs of shape [T, 0]."
        )
    (steps,) = lengths
    if not steps:
        raise ValueError(f"xs has T = 0 steps (leaves of shape {shapes}); gradient flow needs T >= 1.")
    return steps


def rescale(array: Array) -> Scaled:
    """Splits an array into mantissa * 2**exponent with the largest |mantissa| near 1; zero stays zero.

    Division by a power of two is exact, and the exponents are integers, whose sums are exact.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(array)))
    limits = jnp.finfo(array.dtype)
    power = jax.lax.reduce_precision(largest, limits.nexp, 0)  # without mantissa bits: the nearest power of two
    power = jnp.where(jnp.isfinite(largest) & (largest > 0), power, 1)
    power = jnp.minimum(power, 2.0 ** (limits.maxexp - 1))  # in case rounding up overflows
    return array / power, jnp.round(jnp.log2(power)).astype(jnp.int32)


def log_root(square: Array, exponent: Array) -> Array:
    """ln(sqrt(square) * 2**exponent), with -inf (and a zero derivative) at 0, and nan where square is nan."""
    zero = square == 0
    root = jnp.where(zero, -jnp.inf, 0.5 * jnp.log(jnp.where(zero, 1, square)))
    return root + exponent.astype(square.dtype) * jnp.log(jnp.asarray(2, square.dtype))


def _check_carry(carry: Any) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(carry)
    wrong = [
        f"carry{jax.tree_util.keystr(path)}: {leaf.dtype}"
        for path, leaf in leaves
        if not jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    if wrong:
        raise TypeError(
            f"the carry has leaves without a gradient ({', '.join(wrong)}); all must be floating or complex. "
            "Keep counters and keys in xs, or close over them in the step."
        )
    if not sum(leaf.size for _, leaf in leaves):
        raise ValueError(f"the carry {carry!r} holds no numbers; it must have floating arrays.")


def _coordinates(carry: Any) -> tuple[Callable[[Any], Array], Callable[[Array], Any]]:
    """The maps carry -> real vector [n] and back; at least float32, because logs of a bfloat16 state need it."""
    leaves, treedef = jax.tree.flatten(carry)
    shapes, dtypes = [leaf.shape for leaf in leaves], [leaf.dtype for leaf in leaves]
    parts = [2 if jnp.issubdtype(dtype, jnp.complexfloating) else 1 for dtype in dtypes]
    real = jnp.result_type(jnp.float32, *(jnp.finfo(dtype).dtype for dtype in dtypes))
    sizes = [leaf.size * part for leaf, part in zip(leaves, parts, strict=True)]
    ends = [sum(sizes[:i]) for i in range(1, len(sizes))]

    def ravel(tree: Any) -> Array:
        split = [
            [leaf.real, leaf.imag] if part == 2 else [leaf]
            for leaf, part in zip(jax.tree.leaves(tree), parts, strict=True)
        ]
        return jnp.concatenate([jnp.ravel(piece).astype(real) for pieces in split for piece in pieces])

    def unravel(vector: Array) -> Any:
        pieces = [
            piece.reshape(part, *shape)
            for piece, part, shape in zip(jnp.split(vector, ends), parts, shapes, strict=True)
        ]
        joined = [jax.lax.complex(piece[0], piece[1]) if len(piece) == 2 else piece[0] for piece in pieces]
        return treedef.unflatten([leaf.astype(dtype) for leaf, dtype in zip(joined, dtypes, strict=True)])

    return ravel, unravel


def _check_step(step: Step, carry: Any, x: Any) -> None:
    out = jax.eval_shape(step, carry, x)
    if not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError(f"step returned {out!r}; it must return a pair (carry, y).")
    before, after = jax.eval_shape(lambda carry: carry, carry), out[0]
    same = jax.tree.structure(before) == jax.tree.structure(after)
    if same:
        pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
        same = all((a.shape, a.dtype) == (b.shape, b.dtype) for a, b in pairs)
    if not same:
        raise TypeError(
            f"step changes the carry from {before} to {after}; structure, shapes and dtypes must stay. "
            "Start from a carry such as the step returns, or cast inside the step."
        )


def loss_gradients(step: Step, path: Trajectory, loss: Loss | None) -> Array:
    """[2, n]: the gradients of the loss in s_T, and in s_{T-1} if y_T reads it directly."""
    before, x = path.states[-1], jax.tree.map(lambda leaf: leaf[-1], path.xs)
    readout = _readout(step, path.unravel(before), x)

    def objective(final: Array, before: Array) -> Array:
        carry = path.unravel(final)
        return _scalar(loss, carry, readout(carry, path.unravel(before), x))

    return jnp.stack(jax.grad(objective, (0, 1))(path.final, before))


def _scalar(loss: Loss | None, carry: Any, y: Any) -> Array:
    if loss is None:
        kinds = [leaf.dtype for leaf in jax.tree.leaves(y)]
        if not kinds or not all(jnp.issubdtype(kind, jnp.floating) for kind in kinds):
            raise ValueError(
                f"the default loss sums y_T, whose leaves are {kinds}; all must be floating. "
                "Pass loss=(carry, y) -> scalar."
            )
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(y)), start=jnp.zeros(()))
    value = jnp.asarray(loss(carry, y))
    if value.shape or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"loss returned {value.dtype}{list(value.shape)}; it must be one real float.")
    return value


def _readout(step: Step, carry: Any, x: Any) -> Callable[[Any, Any, Any], Any]:
    """The part of a step that computes y from its new carry: (new carry, old carry, x) -> y.

    It is the step's own program, in which an argument replaces the new carry. Without it, dL/ds_T for a loss on an
    LSTM's output y_T = h_T would be 0, because a step computes y_T from s_{T-1} and x_T.
    """
    with jax.disable_jit():  # so that a jitted step can be inspected
        closed, (_, y) = jax.make_jaxpr(step, return_shape=True)(carry, x)
    given = jax.make_jaxpr(lambda carry: carry)(carry).jaxpr.invars
    computed = closed.jaxpr.outvars[: len(given)]
    stands_for = {old: new for old, new in zip(computed, given, strict=True) if not isinstance(old, Literal)}

    def swap(variables: Any) -> list[Any]:
        return [v if isinstance(v, Literal) else stands_for.get(v, v) for v in variables]

    program = closed.jaxpr.replace(
        invars=[*given, *closed.jaxpr.invars],
        eqns=[equation.replace(invars=swap(equation.invars)) for equation in closed.jaxpr.eqns],
        outvars=swap(closed.jaxpr.outvars[len(given) :]),
    )
    run = jaxpr_as_fun(ClosedJaxpr(program, closed.consts))
    return lambda new, old, x: jax.tree.unflatten(jax.tree.structure(y), run(*jax.tree.leaves((new, old, x))))
