"""The cell of 1997: its options against the paper's equations, its weights counted, its two gradients."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import Arrays, equations_of_1997
from flax import nnx
from reference import jit, noise
from tolerances import close

from recurrax import unroll
from recurrax.cells import Hochreiter1997Cell, TruncatedGradient

D, H, T = 3, 4, 6
# Options of the cell, and what the equations are told of them.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "blocks": ({"block_size": 2}, {"size": 2}),
    "one block": ({"block_size": 4, "biased": "gates"}, {"size": 4}),
    "experiment 2a": (
        {"output_gate": False, "recurrent": False, "biased": "none", "g": jax.nn.sigmoid, "h": lambda c: c},
        {"out": False, "g": lambda a: 1 / (1 + np.exp(-a)), "h": lambda c: c},
    ),
    "no output gate": ({"output_gate": False, "block_size": 2, "biased": "gates"}, {"out": False, "size": 2}),
}


def built(**options: Any) -> Hochreiter1997Cell:
    cell = jit(lambda: Hochreiter1997Cell(D, H, **options, rngs=nnx.Rngs(0), param_dtype=jnp.float64))()
    return noise(cell, seed=1, around=1, scale=0.5)


def start(cell: Any) -> tuple[Any, jax.Array]:
    """A carry, whose gates are those of their blocks, and inputs."""
    c, *gates, h = noise(cell.initialize_carry((D,)), seed=2)
    size = (cell.cell if isinstance(cell, TruncatedGradient) else cell).block_size
    gates = [jnp.repeat(jax.nn.sigmoid(gate[::size]), size) for gate in gates]
    return (c, *gates, h), noise(jax.ShapeDtypeStruct((T, D), jnp.float64), seed=3)


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_those_of_the_equations(name, x64):
    options, told = OPTIONS[name]
    cell = built(**options)
    carry, xs = start(cell)
    actual = jit(lambda *args: unroll(*args))(cell, xs, carry)
    state, ys = jax.tree.map(np.asarray, carry), []
    for x in np.asarray(xs):
        state, y, _ = equations_of_1997(Arrays(cell), state, x, **told)
        ys.append(y)
    close(actual, (state, np.stack(ys)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blocks", "no output gate"])
def test_the_gradient_is_that_of_differences(name, x64):
    cell = built(**OPTIONS[name][0])
    carry, xs = start(cell)

    def last(cell: Any, xs: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(unroll(cell, xs, carry)[1][-1]))

    direction = noise((cell, xs), seed=4)
    gradient = jit(jax.grad(last, argnums=(0, 1)))(cell, xs)
    slope = sum(jnp.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
    step, value = 1e-6, jit(last)
    ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * d, (cell, xs), direction) for s in (step, -step))
    close(slope, (value(*ahead) - value(*behind)) / (2 * step), "differences")


@pytest.mark.slow
def test_the_truncated_gradient_flows_through_the_cell_state_alone(x64):
    """dc_T/dc_t = 1, nothing reaches the past by another way, and weights get sums over steps of local products."""
    inside = built(block_size=2)
    cell = TruncatedGradient(inside)
    carry, xs = start(cell)

    def end(c0: jax.Array, others: Any, xs: jax.Array) -> jax.Array:
        return unroll(cell, xs, (c0, *others))[0][0]

    by_state, by_others, by_inputs = jit(jax.jacobian(end, argnums=(0, 1, 2)))(carry[0], carry[1:], xs)
    np.testing.assert_array_equal(by_state, np.eye(H))
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(by_others))
    # dc_T/dx_t is that of step t alone, as if all later steps kept c.
    states = [carry]
    for x in xs:
        states.append(inside(states[-1], x)[0])
    local = [jax.jacobian(lambda x, s=s: inside(s, x)[0][0])(x) for s, x in zip(states, xs, strict=False)]
    close(by_inputs, jnp.stack(local, axis=1))

    def objective(cell: Any) -> jax.Array:
        return jnp.sum(unroll(cell, xs, carry)[0][0])

    whole = jit(jax.grad(objective))(cell)
    steps = [
        jax.grad(lambda inside, s=s, x=x: jnp.sum(inside(s, x)[0][0]))(inside) for s, x in zip(states, xs, strict=False)
    ]
    close(whole.cell, functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), steps))
    full = jit(jax.grad(objective))(inside)
    assert np.abs(full.kernel[...] - whole.cell.kernel[...]).max() > 1e-3  # the exact gradient is another one


@pytest.mark.slow
def test_weights_start_in_the_range_asked_for_and_biases_as_given():
    cell = Hochreiter1997Cell(
        50, 6, block_size=2, input_gate_bias=(-2, -4, -6), output_gate_bias=-1.5, rngs=nnx.Rngs(0)
    )
    np.testing.assert_array_equal(cell.bias[:6], [-2, -4, -6, -1.5, -1.5, -1.5])
    assert np.abs(cell.bias[6:]).max() <= 0.1 and len(set(np.asarray(cell.bias[6:]))) == 6
    for weights in (cell.kernel, cell.recurrent_kernel):
        assert weights is not None and -0.1 <= weights[...].min() < -0.09 and 0.09 < weights[...].max() < 0.1
    assert cell.kernel.shape == (50, 12) and cell.recurrent_kernel.shape == (12, 12)  # type: ignore


@pytest.mark.slow
def test_refusals():
    for options, message in [
        ({"block_size": 3}, r"hidden_features=4 in blocks of block_size=3; allowed: a multiple of it"),
        ({"block_size": 0}, r"block_size=0; allowed: an int >= 1"),
        ({"biased": "some"}, r"biased='some'; allowed: all, gates, none"),
        ({"input_gate_bias": (1, 2)}, r"input_gate_bias=\(1, 2\); .* one for each of the 4 blocks"),
        ({"input_gate_bias": 1, "biased": "none"}, r"input_gate_bias=1; "),
        ({"output_gate_bias": 1, "output_gate": False}, r"output_gate_bias=1; "),
    ]:
        with pytest.raises(ValueError, match=f"Hochreiter1997Cell got {message}"):
            Hochreiter1997Cell(D, H, **options, rngs=nnx.Rngs(0))
