"""Drawing tokens from a model: the most probable ones by hand, and how often the others come."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import nnx
from reference import jit, noise

import recurrax as rx
from recurrax.layers.generate import _generate

V, T, MORE, MANY = 5, 4, 6, 20_000
KEY = jax.random.key(0)


def model(kind: str) -> rx.SequenceModel:
    rngs = nnx.Rngs(0)
    layer, options = {
        "LSTM": (lambda: rx.LSTM(3, 6, 2, rngs=rngs), {}),
        "tied": (lambda: rx.GRU(4, 4, rngs=rngs), {"tie_embeddings": True}),
        "residual": (
            lambda: rx.Stack(
                [rx.RNN(rx.GRUCell(4, 4, rngs=rngs)), rx.RNN(rx.LSTMCell(4, 4, rngs=rngs), learn_initial_carry=True)],
                residual=True,
                layer_norm=True,
            ),
            {"dropout": 0.5},
        ),
    }[kind]
    return rx.SequenceModel(layer(), V, vocabulary=V, rngs=rngs, **options)


@functools.cache
def filled(kind: str) -> rx.SequenceModel:
    """Of probabilities that are neither 0 nor 1."""
    return noise(jax.eval_shape(lambda: model(kind)), seed=1)


@functools.cache
def lively(kind: str) -> rx.SequenceModel:
    """The most probable token changes from step to step."""
    return noise(jax.eval_shape(lambda: model(kind)), seed=2, scale=4)


@functools.cache
def prompt() -> np.ndarray:
    return np.random.default_rng(0).integers(V, size=(2, 3, T))


@jit
def every(model: Any, tokens: Any) -> jax.Array:
    return model(tokens)


def next_logits(one: Any, tokens: np.ndarray) -> np.ndarray:
    """Of a program for one length alone: what follows a token reaches no output before it."""
    padded = np.zeros((*tokens.shape[:-1], T + MORE), int)
    padded[..., : tokens.shape[-1]] = tokens
    return np.asarray(every(one, padded))[..., tokens.shape[-1] - 1, :]


def by_hand(one: Any, tokens: np.ndarray) -> np.ndarray:
    for _ in range(MORE):
        tokens = np.concatenate([tokens, next_logits(one, tokens).argmax(-1)[..., None]], -1)
    return tokens[..., -MORE:]


@pytest.mark.parametrize("kind", ["LSTM", "tied", "residual"])
def test_temperature_0_takes_the_most_probable_token_that_follows_all_before(kind):
    expected = by_hand(lively(kind), prompt())
    assert len(np.unique(expected)) > 2  # not one token for ever
    actual = rx.generate(lively(kind), prompt(), MORE, temperature=0)
    assert actual.dtype == jnp.int32
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(rx.generate(lively(kind), prompt(), MORE, key=KEY, top_k=1), expected)


def test_a_prompt_without_batch_axes_and_inside_jit():
    expected = by_hand(lively("LSTM"), prompt())[1, 2]
    run = jit(lambda one, tokens: rx.generate(one, tokens, MORE, temperature=0))
    np.testing.assert_array_equal(run(lively("LSTM"), prompt()[1, 2]), expected)


def test_prompts_of_several_lengths_are_each_continued_where_they_end():
    lengths = np.array([[1, 2, 3], [4, 1, 2]])
    padded = np.where(np.arange(T) < lengths[..., None], prompt(), -1)  # the padding is no token
    actual = rx.generate(lively("LSTM"), padded, MORE, temperature=0, seq_lengths=lengths)
    for b in np.ndindex(lengths.shape):
        np.testing.assert_array_equal(actual[b], by_hand(lively("LSTM"), prompt()[b][: lengths[b]]))


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.asarray(jax.nn.softmax(logits))


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (2.0, None), (1.5, 3)])
def test_pairs_of_tokens_come_as_often_as_they_are_probable(temperature, top_k):
    one, first = filled("LSTM"), prompt()[0, 0]
    drawn = rx.generate(one, np.tile(first, (MANY, 1)), 2, key=KEY, temperature=temperature, top_k=top_k)
    counts = np.zeros((V, V))
    np.add.at(counts, tuple(np.asarray(drawn).T), 1)

    def probabilities(tokens: np.ndarray) -> np.ndarray:
        logits = next_logits(one, tokens) / temperature
        if top_k is not None:
            logits = np.where(logits >= np.sort(logits, -1)[..., [-top_k]], logits, -np.inf)
        return softmax(logits)

    then = probabilities(np.concatenate([np.tile(first, (V, 1)), np.arange(V)[:, None]], -1))
    expected = probabilities(first)[:, None] * then
    possible = expected > 0
    assert possible.sum() == (top_k or V) ** 2 and not counts[~possible].any()
    chi2 = np.sum((counts[possible] - MANY * expected[possible]) ** 2 / (MANY * expected[possible]))
    assert chi2 < scipy.stats.chi2.ppf(0.999, possible.sum() - 1)
    other = expected ** (1 / 2) / np.sum(expected ** (1 / 2))  # another temperature would be seen
    chi2 = np.sum((counts[possible] - MANY * other[possible]) ** 2 / (MANY * other[possible]))
    assert chi2 > scipy.stats.chi2.ppf(0.999, possible.sum() - 1)


@pytest.mark.slow
def test_keys_decide_and_another_temperature_compiles_nothing():
    one, tokens = filled("LSTM"), prompt()
    first = rx.generate(one, tokens, 7, key=KEY)
    compiled = _generate._cache_size()
    np.testing.assert_array_equal(rx.generate(one, tokens, 7, key=KEY), first)
    assert (rx.generate(one, tokens, 7, key=jax.random.key(1), temperature=1.3) != first).any()
    assert _generate._cache_size() == compiled
    assert len({tuple(row) for row in np.asarray(first).reshape(-1, 7)}) == 6  # every sequence draws for itself


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "steps": ({"steps": 0}, r"steps=0; allowed: an int >= 1"),
    "bool steps": ({"steps": True}, r"steps=True; allowed: an int >= 1"),
    "temperature": ({"temperature": -1.0}, r"temperature=-1.0; allowed: a number >= 0"),
    "nan": ({"temperature": float("nan")}, r"temperature=nan; allowed: a number >= 0"),
    "top_k": ({"top_k": V + 1}, rf"top_k={V + 1}; allowed: None or an int from 1 to {V}"),
    "top_k of none": ({"top_k": 0}, r"top_k=0; allowed: None or an int from 1"),
    "key": ({"key": None}, r"got no key; allowed: a PRNG key. Pass key=jax.random.key\(0\), or temperature=0"),
    "tokens": ({"prompt": np.array([0, V])}, rf"from {V} to {V} are outside the vocabulary; allowed: 0 to {V - 1}"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    options, message = REFUSED[name]
    arguments: dict[str, Any] = {"prompt": np.array([0, 1]), "steps": 2, "key": KEY} | options
    with pytest.raises(ValueError, match=message):
        rx.generate(filled("LSTM"), **arguments)


@pytest.mark.slow
def test_models_that_cannot_generate_are_refused():
    rngs, tokens = nnx.Rngs(0), np.array([0, 1])
    with pytest.raises(TypeError, match=r"generate got LSTM; allowed: a SequenceModel"):
        rx.generate(rx.LSTM(3, 4, rngs=rngs), tokens, 2, key=KEY)
    for options in {}, {"vocabulary": V + 1}:
        one = rx.SequenceModel(rx.GRU(3, 4, rngs=rngs), V, rngs=rngs, **options)
        with pytest.raises(ValueError, match=rf"out_features={V}; allowed: both the same"):
            rx.generate(one, tokens, 2, key=KEY)
    both = rx.SequenceModel(rx.GRU(3, 4, bidirectional=True, rngs=rngs), V, vocabulary=V, rngs=rngs)
    with pytest.raises(ValueError, match=r"Bidirectional cannot stream; allowed: RNN layers"):
        rx.generate(both, tokens, 2, key=KEY)
    with pytest.raises(TypeError, match=r"tokens have dtype float32; allowed: integers"):
        rx.generate(filled("LSTM"), np.ones(3, np.float32), 2, key=KEY)
