"""Generates text or other tokens from a model, as one compiled loop."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from recurrax.layers.model import SequenceModel


def generate(
    model: SequenceModel,
    prompt: jax.Array,
    steps: int,
    *,
    key: jax.Array | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    seq_lengths: jax.Array | None = None,
) -> jax.Array:
    r"""Draws the tokens after a prompt: from ``prompt: int [*batch, T]`` to ``int32 [*batch, steps]``.

    .. math:: x_{t+1} \sim \mathrm{softmax}(y_t / \tau)

    Args:
        model: a `SequenceModel` with a vocabulary and an output for every token.
        prompt: the tokens to read first, T >= 1.
        steps: how many tokens to draw.
        key: PRNG key; not needed if ``temperature`` is 0.
        temperature: tau; 0 takes the most probable token.
        top_k: draw only from the k most probable tokens; None draws from all.
        seq_lengths: int ``[*batch]``, 1 to T: the lengths of the prompts if they are padded.

    Raises:
        TypeError: the model is not a `SequenceModel`.
        ValueError: the model has no tokens or a direction that cannot stream; steps, temperature or top_k are out of
            range; a key is missing.
    """
    if not isinstance(model, SequenceModel):
        raise TypeError(f"generate got {type(model).__name__}; allowed: a SequenceModel. Wrap the layer in one.")
    size = None if model.embed is None else model.embed.num_embeddings
    if size is None or model.out_features != size:
        raise ValueError(
            f"the model has vocabulary={size} and out_features={model.out_features}; allowed: both the same, a score "
            "for every token. Build it with SequenceModel(layer, V, vocabulary=V, rngs=rngs)."
        )
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"generate got steps={steps!r}; allowed: an int >= 1. Try steps=100.")
    if not temperature >= 0:
        raise ValueError(f"generate got temperature={temperature!r}; allowed: a number >= 0. Try temperature=1.0.")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= size):
        raise ValueError(f"generate got top_k={top_k!r}; allowed: None or an int from 1 to {size}. Try top_k=10.")
    if key is None and temperature > 0:
        raise ValueError("generate got no key; allowed: a PRNG key. Pass key=jax.random.key(0), or temperature=0.")
    prompt = jnp.asarray(prompt)
    model.check_tokens(prompt, seq_lengths)  # here, because the tokens are known outside jit
    key = jax.random.key(0) if key is None else key
    greedy = temperature == 0
    tau = jnp.float32(1 if greedy else temperature)
    return _generate(model, prompt, seq_lengths, key, tau, steps=steps, top_k=1 if greedy else top_k)


@functools.partial(jax.jit, static_argnames=("steps", "top_k"))
def _generate(
    model: SequenceModel,
    prompt: jax.Array,
    seq_lengths: jax.Array | None,
    key: jax.Array,
    temperature: jax.Array,
    *,
    steps: int,
    top_k: int | None,
) -> jax.Array:
    carry, logits = model(prompt, seq_lengths=seq_lengths, read="last", return_carry=True)

    def step(state: tuple, key: jax.Array) -> tuple[tuple, jax.Array]:
        carry, logits = state
        token = _draw(key, logits.astype(jnp.float32) / temperature, top_k)
        return model.step(carry, token), token

    _, tokens = jax.lax.scan(step, (carry, logits), jax.random.split(key, steps))
    return jnp.moveaxis(tokens, 0, -1)


def _draw(key: jax.Array, logits: jax.Array, top_k: int | None) -> jax.Array:
    """One token for each row of ``logits: [*batch, V]``."""
    if top_k == 1:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    if top_k is not None:
        values, tokens = jax.lax.top_k(logits, top_k)
        chosen = jax.random.categorical(key, values)
        return jnp.take_along_axis(tokens, chosen[..., None], axis=-1)[..., 0].astype(jnp.int32)
    return jax.random.categorical(key, logits).astype(jnp.int32)
