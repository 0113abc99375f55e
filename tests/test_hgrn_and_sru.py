"""What their options do: the bound of HGRN's forget gate, and what passes by the state of the SRU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import Arrays, hgrn_equations, sru_equations
from flax import nnx
from reference import BATCH, D, H, T, cast, jit, loop, noise
from tolerances import close

import recurrax as rx
from recurrax.cells import HGRNCell, SRUCell


@pytest.mark.parametrize(
    ("cell", "equations", "size"),
    [(SRUCell(H, H, rngs=nnx.Rngs(0)), sru_equations, H),
     (HGRNCell(D, H, lower_bound=0, rngs=nnx.Rngs(0)), hgrn_equations, D)],
    ids=["SRU with as many inputs", "HGRN without a bound"],
)  # fmt: skip
def test_a_form_with_fewer_parameters_is_that_of_the_equations_too(cell, equations, size, x64):
    cell = noise(cast(cell, jnp.float64), 1, around=1, scale=0.4)
    carry = noise(jax.eval_shape(lambda: cell.initialize_carry((*BATCH, size))), 2)
    xs = noise(jax.ShapeDtypeStruct((T, *BATCH, size), jnp.float64), 3)
    state, ys = jax.tree.map(np.asarray, carry), []
    for x in np.asarray(xs):
        state, y, _ = equations(Arrays(cell), state, x)
        ys.append(y)
    close(jit(loop)(cell, carry, xs), (state, np.stack(ys)))
    close(jit(rx.unroll)(cell, xs, carry), (state, np.stack(ys)))


@pytest.mark.parametrize("bound", [0.0, 0.25, 0.9])
def test_the_forget_gate_of_hgrn_stays_above_its_bound(bound):
    cell = HGRNCell(D, H, lower_bound=bound, rngs=nnx.Rngs(0))
    assert (cell.bound is None) == (bound == 0)
    low, middle, high = (cell.gates(None, scale * jnp.ones(D)).f for scale in (-1e4, 0, 1e4))
    both = jnp.stack([low, high])
    np.testing.assert_allclose(both.min(0), bound, atol=1e-6)
    np.testing.assert_allclose(both.max(0), 1, atol=1e-6)
    np.testing.assert_allclose(middle, (1 + bound) / 2, atol=1e-6)
    step = cell.project(jnp.zeros(D))
    np.testing.assert_allclose(jnp.abs(step.a), middle, rtol=1e-6)


def test_the_outputs_of_the_sru_have_the_variance_of_its_inputs():
    for bias in (-3.0, 0.0, 1.0):
        cell = SRUCell(256, 256, highway_bias=bias, rngs=nnx.Rngs(0))
        _, h = cell(cell.initialize_carry((64, 256)), jax.random.normal(jax.random.key(1), (64, 256)))
        assert 0.7 < h.var() < 1.3


@pytest.mark.parametrize("bound", [-0.1, 1.0, float("nan")])
def test_a_bound_that_is_none_is_refused(bound):
    with pytest.raises(ValueError, match=r"lower_bound=.*; allowed: a number in \[0, 1\)"):
        HGRNCell(D, H, lower_bound=bound, rngs=nnx.Rngs(0))
