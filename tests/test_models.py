"""Stacks and whole models: dropout, residual sums, what is read out, ensembles, bfloat16."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import D, H, T, cast, jit, noise, pick
from tolerances import close

from recurrax import RNN, Bidirectional, Foreign, GRUCell, LSTMCell, SequenceModel, Stack

B, TOKENS, OUT = 3, 7, 5
LENGTHS = np.array([0, 2, T])
KEY = jax.random.key(0)


def filled(build: Any, seed: int = 0) -> Any:
    """What ``build`` builds, with normal numbers for parameters: nothing is compiled to draw them."""
    return noise(jax.eval_shape(build), seed, scale=0.5)


@functools.cache
def layers() -> tuple[RNN, RNN]:
    return tuple(filled(lambda: RNN(LSTMCell(H, H, rngs=nnx.Rngs(0))), seed) for seed in (0, 1))


@functools.cache
def xs() -> jax.Array:
    return noise(jax.ShapeDtypeStruct((B, T, H), jnp.float32), seed=0)


def test_a_stack_is_its_layers_one_after_the_other():
    one, two = layers()

    @jit
    def run(stack: Stack, *by_hand: RNN) -> Any:
        first_carry, ys = by_hand[0](xs(), seq_lengths=LENGTHS, return_carry=True)
        second_carry, zs = by_hand[1](ys, seq_lengths=LENGTHS, return_carry=True)
        return stack(xs(), seq_lengths=LENGTHS, return_carry=True), ((first_carry, second_carry), zs)

    close(*run(Stack([one, two]), one, two), "float32")


@pytest.mark.parametrize(("given", "time_major"), [("lengths", False), ("mask", True)])
def test_residual_sums_where_shapes_agree_and_only_over_steps_that_exist(given, time_major):
    exists = np.arange(T) < LENGTHS[:, None]
    x = jnp.where(exists[..., None], xs(), jnp.nan)
    flip = functools.partial(jnp.moveaxis, source=0, destination=1) if time_major else lambda a: a
    flags = {"seq_lengths": LENGTHS} if given == "lengths" else {"mask": flip(exists)}

    one, two = (RNN(layer.cell, time_major=time_major) for layer in layers())
    both = Bidirectional(RNN(one.cell, time_major=time_major), RNN(two.cell, time_major=time_major))
    three = filled(lambda: RNN(GRUCell(2 * H, H, rngs=nnx.Rngs(2)), time_major=time_major))

    def by_hand(x: jax.Array) -> jax.Array:
        clean = jnp.where(flip(exists)[..., None], x, 0)
        return three(both(one(clean, **flags) + clean, **flags), **flags)  # other shapes above, no sums

    def stacked(x: jax.Array) -> jax.Array:
        return Stack([one, both, three], residual=True)(x, **flags)

    @jit
    def run(x: jax.Array) -> Any:
        return stacked(x), by_hand(x), jax.grad(lambda x: jnp.sum(stacked(x) ** 2))(x)

    actual, expected, gradient = run(flip(x))
    close(actual, expected, "float32")
    assert np.isfinite(gradient).all() and gradient.any()
    for hidden in (actual, gradient):
        np.testing.assert_array_equal(np.asarray(flip(hidden))[~exists], 0)


def test_dropout_acts_with_a_key_alone_and_between_layers_alone():
    stack = Stack(list(layers()), dropout=0.5)
    without = Stack(list(layers()))
    single = Stack([layers()[0]], dropout=0.5)
    run = jit(lambda stack, key: stack(xs(), dropout_key=key))
    np.testing.assert_array_equal(run(stack, None), run(without, None))
    np.testing.assert_array_equal(run(single, KEY), run(single, None))  # nothing above the last layer
    np.testing.assert_array_equal(run(without, KEY), run(without, None))
    one, again, other = run(stack, KEY), run(stack, KEY), run(stack, jax.random.key(1))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other) and not np.allclose(one, run(stack, None))


def test_dropout_keeps_the_mean_of_what_it_drops():
    """A second layer that hands its input through shows what the first one's outputs become."""
    through = Foreign(lambda h, x: (h, x), initialize_carry=lambda shape: jnp.zeros(shape))
    stack = Stack([layers()[0], RNN(through)], dropout=0.25)
    ones = Stack([RNN(through), RNN(through)], dropout=0.25)
    run = jit(lambda stack, xs, key=None: stack(xs, dropout_key=key))
    dropped = np.asarray(run(ones, jnp.ones((50, 4, 50)), KEY))
    np.testing.assert_allclose(np.unique(dropped), [0, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(dropped.mean(), 1, atol=0.02)
    kept, full = np.asarray(run(stack, xs(), KEY)), np.asarray(run(stack, xs()))
    np.testing.assert_allclose(kept[kept != 0], full[kept != 0] * 4 / 3, rtol=1e-5)


def model(key: jax.Array, read: str = "every", **options: Any) -> SequenceModel:
    rngs = nnx.Rngs(key)
    stack = Stack([RNN(LSTMCell(D, H, rngs=rngs)), RNN(GRUCell(H, H, rngs=rngs))], dropout=0.5, residual=True)
    return SequenceModel(stack, OUT, read=read, rngs=rngs, **options)


@functools.cache
def built(read: str = "every", **options: Any) -> SequenceModel:
    return filled(lambda: model(KEY, read, **options))


@functools.cache
def tokens() -> np.ndarray:
    return np.random.default_rng(0).integers(TOKENS, size=(B, T))


@functools.cache
def run(lengths: bool = True) -> Any:
    return jit(lambda model, inputs, key: model(inputs, seq_lengths=LENGTHS if lengths else None, dropout_key=key))


def test_a_model_is_embedding_layers_and_head():
    one = built(vocabulary=TOKENS, dropout=0.5)
    outputs = run()(one, tokens(), None)

    @jit
    def by_hand(one: SequenceModel) -> jax.Array:
        hs = one.layer(one.embed.embedding[...][tokens()], seq_lengths=LENGTHS)
        return hs @ one.head.kernel[...] + one.head.bias[...]

    assert outputs.shape == (B, T, OUT)
    close(outputs, by_hand(one), "float32")


def test_the_last_output_is_that_of_the_last_step_that_exists():
    last, every = built("last"), built("every")
    x = xs()[..., :D]
    everything, read = run()(every, x, None), run()(last, x, None)
    assert read.shape == (B, OUT)
    close(read[1:], everything[np.arange(1, B), LENGTHS[1:] - 1], "float32")
    close(read[0], last.head.bias[...], "float32")  # no step, nothing to read
    close(run(lengths=False)(last, x, None), run(lengths=False)(every, x, None)[:, -1], "float32")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_lengths_of_a_model_inside_jit_are_taken_from_0_to_T(dtype):
    """Out of range under jit they act as 0 and T; an unsigned 0 minus 1 is no length either."""
    apply = jit(lambda model, lengths: model(xs()[..., :D], seq_lengths=lengths))
    beyond = np.array([0, 2, T + 5] if dtype == np.uint8 else [-3, 2, T + 5], dtype)
    np.testing.assert_array_equal(apply(built("last"), beyond), apply(built("last"), LENGTHS))


def test_padding_reaches_neither_outputs_nor_gradients_of_a_model():
    exists = np.arange(T) < LENGTHS[:, None]

    @jit
    def gradient(model: SequenceModel, x: jax.Array) -> Any:
        return jax.value_and_grad(lambda m, x: jnp.sum(m(x, seq_lengths=LENGTHS) ** 2), argnums=(0, 1))(model, x)

    x = xs()[..., :D]
    clean = gradient(built("last"), x)
    poisoned = gradient(built("last"), jnp.where(exists[..., None], x, jnp.nan))
    jax.tree.map(np.testing.assert_array_equal, poisoned, clean)
    np.testing.assert_array_equal(np.asarray(clean[1][1])[~exists], 0)


def test_dropout_of_a_model_acts_with_a_key_alone():
    one = built(dropout=0.5)
    x = xs()[..., :D]
    np.testing.assert_array_equal(run()(one, x, None), run()(built(), x, None))
    np.testing.assert_array_equal(run()(one, x, KEY), run()(one, x, KEY))
    assert not np.allclose(run()(one, x, KEY), run()(one, x, jax.random.key(1)))


def test_resets_reach_the_layers():
    resets = np.zeros((B, T), bool)
    resets[:, 3] = True
    x = xs()[..., :D]
    apply = jit(lambda model, x, resets=None: model(x, resets=resets))
    close(apply(built(), x, resets)[:, 3:], apply(built(), x[:, 3:]), "float32")


def test_bfloat16_from_end_to_end():
    one = cast(built("last", vocabulary=TOKENS), jnp.bfloat16)
    outputs = run()(one, tokens(), None)
    assert outputs.dtype == jnp.bfloat16
    close(outputs, run()(built("last", vocabulary=TOKENS), tokens(), None), "bfloat16")
    gradient = jax.eval_shape(jax.grad(lambda m: jnp.sum(m(tokens(), dropout_key=KEY))), one)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.slow
def test_an_ensemble_of_models_is_each_of_them_alone():
    keys = jax.random.split(KEY, 2)
    ensemble = jit(jax.vmap(functools.partial(model, vocabulary=TOKENS)))(keys)
    assert all(leaf.shape[0] == 2 for leaf in jax.tree.leaves(ensemble))

    def loss(model: SequenceModel, key: jax.Array) -> jax.Array:
        return jnp.sum(model(tokens(), seq_lengths=LENGTHS, dropout_key=key) ** 2)

    together = jit(jax.vmap(jax.value_and_grad(loss)))(ensemble, keys)
    alone = jit(jax.value_and_grad(loss))
    for index in range(2):
        close(pick(together, index), alone(pick(ensemble, index), keys[index]), "float32")
    assert together[0][0] != together[0][1]


# Stacks by hand, streams, tied embeddings, tokens outside the vocabulary


def test_normalised_residual_layers_by_hand():
    """What a layer reads is normalised but for the lowest; what is added to its output is not."""
    stack = filled(lambda: Stack(list(layers()), layer_norm=True, residual=True), seed=4)
    assert len(stack.norms) == 1 and stack.norms[0].scale[...].shape == (H,)

    @jit
    def run(stack: Stack) -> Any:
        one, two = stack.layers
        zs = one(xs()) + xs()
        mean, variance = zs.mean(-1, keepdims=True), zs.var(-1, keepdims=True)
        normal = (zs - mean) / jnp.sqrt(variance + 1e-6) * stack.norms[0].scale[...] + stack.norms[0].bias[...]
        expected = two(normal) + zs
        return expected, stack(xs()), stack(xs(), read="last"), stack(xs(), seq_lengths=LENGTHS, read="last")

    expected, every, last, at_lengths = run(stack)
    close(every, expected, "float32")
    close(last, expected[:, -1], "float32")
    close(at_lengths[1:], expected[np.arange(1, B), LENGTHS[1:] - 1], "float32")
    np.testing.assert_array_equal(at_lengths[0], 0)
    carry, step = stack.initialize_carry((B, H)), jit(lambda stack, carry, x: stack.step(carry, x))
    for t in range(T):
        carry, y = step(stack, carry, xs()[:, t])
        close(y, expected[:, t], "float32")


def fed(kind: str) -> tuple[SequenceModel, Any]:
    """A model and its inputs."""
    if kind == "features":
        return built(), xs()[..., :D]
    if kind == "tied":
        return filled(lambda: tied(KEY)), tokens()
    return built(vocabulary=TOKENS, dropout=0.5), tokens()


def tied(key: jax.Array) -> SequenceModel:
    rngs = nnx.Rngs(key)
    layer = Stack([RNN(LSTMCell(H, H, rngs=rngs)), RNN(GRUCell(H, H, rngs=rngs))])
    return SequenceModel(layer, TOKENS, vocabulary=TOKENS, tie_embeddings=True, rngs=rngs)


KINDS = ["features", "tokens", "tied"]


@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_a_model_are_its_call(kind):
    one, inputs = fed(kind)
    last, expected = jit(lambda one: one(inputs, return_carry=True))(one)
    carry, step = one.initialize_carry((B,)), jit(lambda one, carry, x: one.step(carry, x))
    for t in range(T):
        carry, y = step(one, carry, inputs[:, t])
        close(y, expected[:, t], "float32")
    close(carry, last, "float32")


@pytest.mark.parametrize("kind", KINDS)
def test_two_halves_with_the_carry_handed_on_are_the_whole(kind):
    one, inputs = fed(kind)

    @jit
    def run(one: SequenceModel) -> Any:
        carry, first = one(inputs[:, : T // 2], return_carry=True)
        carry, second = one(inputs[:, T // 2 :], initial_carry=carry, return_carry=True)
        return (carry, jnp.concatenate([first, second], 1)), one(inputs, return_carry=True)

    close(*run(one), "float32")


def test_masks_of_a_model_are_lengths_where_they_say_the_same_and_read_is_that_of_the_call():
    one = built(vocabulary=TOKENS)
    exists = np.arange(T) < LENGTHS[:, None]

    @jit
    def run(one: SequenceModel) -> Any:
        by_mask = [one(tokens(), mask=exists, read=read, return_carry=True) for read in ("every", "last")]
        by_lengths = [one(tokens(), seq_lengths=LENGTHS, read=read, return_carry=True) for read in ("every", "last")]
        return by_mask, by_lengths, built("last", vocabulary=TOKENS)(tokens(), mask=exists)

    by_mask, by_lengths, constructed = run(one)
    close(by_mask, by_lengths, "float32")
    close(by_mask[1][1], constructed, "float32")
    with pytest.raises(ValueError, match="read='first'; allowed: 'every', 'last'"):
        one(tokens(), read="first")


def test_tied_embeddings_are_read_and_written_by_one_matrix():
    one = filled(lambda: tied(KEY))
    assert one.head is None and one.out_features == TOKENS
    E = one.embed.embedding

    @jit
    def run(one: SequenceModel) -> Any:
        return one(tokens()), one.layer(E[...][tokens()]) @ E[...].T

    close(*run(one), "float32")
    free = jax.eval_shape(lambda: SequenceModel(one.layer, TOKENS, vocabulary=TOKENS, rngs=nnx.Rngs(0)))
    assert len(jax.tree.leaves(free)) == len(jax.tree.leaves(one)) + 2


OUTSIDE = np.array([[0, 1, 2, -1, -7, TOKENS], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]])


@pytest.mark.parametrize("bad", [-1, TOKENS, 2**31 - 1])
def test_tokens_outside_the_vocabulary_are_refused_where_they_are_known(bad):
    one, ids = built(vocabulary=TOKENS), tokens().copy()
    ids[1, 3] = bad
    with pytest.raises(ValueError, match=rf"tokens from {bad} to {bad} are outside the vocabulary; allowed: 0 to 6"):
        one(ids)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        one(ids, seq_lengths=np.array([1, 4, T]))


@pytest.mark.parametrize("given", ["lengths", "mask"])
def test_padding_may_be_any_number(given):
    one, lengths = built("last", vocabulary=TOKENS), np.array([3, T, T])
    exists = np.arange(T) < lengths[:, None]
    flags = {"seq_lengths": lengths} if given == "lengths" else {"mask": exists}
    one.check_tokens(OUTSIDE, flags.get("seq_lengths"), flags.get("mask"))  # nothing is raised
    with pytest.raises(ValueError, match=f"from -7 to {TOKENS} are outside"):
        one.check_tokens(OUTSIDE)
    actual, expected = jit(lambda one: [one(ids, **flags) for ids in (OUTSIDE, np.where(exists, OUTSIDE, 0))])(one)
    np.testing.assert_array_equal(actual, expected)
    gradient = jit(jax.grad(lambda one: jnp.sum(one(OUTSIDE, **flags) ** 2)))(one)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_inside_jit_a_token_outside_the_vocabulary_makes_what_follows_it_nan():
    one = built(vocabulary=TOKENS)
    outputs = jit(lambda one, ids: one(ids))(one, OUTSIDE)
    assert np.isfinite(outputs[0, :3]).all() and np.isnan(outputs[0, 3:]).all() and np.isfinite(outputs[1:]).all()
    _, y = jit(lambda one, carry, x: one.step(carry, x))(one, one.initialize_carry((B,)), OUTSIDE[:, 3])
    assert np.isnan(y[0]).all() and np.isfinite(y[1:]).all()
