"""The longest chain of operations, of programs whose chain is known."""

import jax
import jax.numpy as jnp
import pytest

from experiments.transformer.chain import longest

x = jnp.ones(8)


def total(xs):
    return jax.lax.scan(lambda s, x: (jnp.sin(s + x), s), jnp.float32(0), xs)[0]


@pytest.mark.parametrize(
    "function, expected",
    [
        (lambda x: x, 0),
        (jnp.sin, 1),
        (lambda x: jnp.sin(jnp.cos(x)) + jnp.exp(x), 3),  # the longer of two ways
        (lambda x: jnp.sin(jnp.ones(3)) * 2, 0),  # nothing that depends on x
        (lambda x: jax.jit(jnp.sin)(jnp.cos(x)), 2),
        (lambda x: jax.lax.cond(x[0] > 0, jnp.sin, lambda x: jnp.sin(jnp.cos(x)), x), None),
    ],
)
def test_of_a_small_program(function, expected):
    found = longest(function, x)
    assert found == expected if expected is not None else found >= 4  # index, comparison, then the longer branch


@pytest.mark.parametrize("length", [1, 2, 5, 50])
def test_a_loop_counts_as_often_as_it_runs(length):
    assert longest(total, jnp.ones(length)) == 2 * length  # a sum and a sine in each round


def test_what_does_not_wait_for_the_round_before_counts_once():
    def late(xs):
        return jax.lax.scan(lambda s, x: (s + 1, jnp.sin(jnp.cos(jnp.tan(x)))), 0, xs)[1]

    assert longest(late, jnp.ones(50)) == 3


def test_carries_that_change_places():
    def swapped(xs):
        return jax.lax.scan(lambda s, x: ((s[1], jnp.sin(s[0])), None), (xs[0], xs[1]), xs)[0]

    assert longest(swapped, jnp.ones(100)) - longest(swapped, jnp.ones(50)) == 25  # one of two carries in each round


def test_sums_in_parallel_wait_for_the_logarithm_of_their_length():
    def chain(T):
        return longest(lambda xs: jax.lax.associative_scan(jnp.add, xs), jnp.ones(T))

    assert chain(1024) - chain(512) == chain(512) - chain(256) > 0


def test_a_gradient_goes_there_and_back():
    there = longest(total, jnp.ones(20))
    assert there < longest(jax.grad(total), jnp.ones(20)) < 4 * there


def test_a_loop_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="ends by a condition"):
        longest(lambda x: jax.lax.while_loop(lambda s: s < 3, lambda s: s + 1, x[0]), x)
