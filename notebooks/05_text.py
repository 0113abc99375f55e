# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Text, character by character
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/05_text.ipynb)
#
# An LSTM learns to predict the next character of the King James Bible, beside n-grams, which only count. Then it shows what surprises it,
# and writes text of its own. The text is kept by `recurrax datasets get kjv`; without it made-up sentences take its place. It takes a few
# minutes on a CPU.

# %%
# Installs recurrax where it is missing, and says what JAX runs on: a GPU, a TPU or the CPU.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("recurrax") is None:
    source = "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", source])

import bz2
import collections
import math
import textwrap

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx

import recurrax as rx
from recurrax import datasets, training
from recurrax.layers import generate
from recurrax.tasks import NextToken

# %matplotlib inline
SMALL = "RECURRAX_SMALL" in os.environ  # the tests set it
print(f"{jax.default_backend()}: {jax.device_count()} device(s); jax {jax.__version__}")

# %% [markdown]
# ## The text
#
# It is cut in order: 90% to train, 5% to choose, 5% to test.


# %%
def synthetic(sentences, seed=0):
    """Sentences of a small grammar."""
    random = np.random.default_rng(seed)
    who, did, what = (
        ["the king", "a shepherd", "the woman", "my son", "the prophet"],
        ["said unto", "went forth before", "blessed", "sent for"],
        ["the people", "his brother", "the priest", "all the land", "them that were with him"],
    )
    made = (f"And {random.choice(who)} {random.choice(did)} {random.choice(what)}." for _ in range(sentences))
    return " ".join(made)


try:
    book = str(datasets.read("kjv")["text"])
    book = book[:60_000] if SMALL else book
except datasets.MissingData:
    book = synthetic(800 if SMALL else 8000)
    print("recurrax datasets get kjv   gets the Bible; this text is made up")

text = datasets.Text.contiguous(book)
print(text.sizes, "characters to train, to choose and to test;", text.vocabulary_size, "different ones")
train, test = text.decode(text.train.inputs), text.decode(text.test.inputs)
print(textwrap.fill(test[:300], 100))

# %% [markdown]
# ## What to beat
#
# An n-gram counts which character followed the n - 1 before. A long context is seldom seen, so all lengths are mixed: the more different
# characters have followed a context, the more the shorter one has a say (Witten & Bell, 1991). A perfect compressor that uses these
# probabilities needs -log2 p bits for a character whose probability was p. `bz2` is a compressor that people use.


# %%
def count(text, order):
    """How often every string of up to order characters occurs; the same, and how many characters, after each context."""
    grams, totals, kinds = collections.Counter(), collections.Counter(), collections.Counter()
    for length in range(1, order + 1):
        grams.update(text[place : place + length] for place in range(len(text) - length + 1))
    for gram, times in grams.items():
        totals[gram[:-1]] += times
        kinds[gram[:-1]] += 1
    return grams, totals, kinds


def ngram_bits(counts, text, order, vocabulary):
    """Mean bits of the characters of a text, without the first ones."""
    (grams, totals, kinds), bits = counts, 0.0
    for place in range(order - 1, len(text)):
        p = 1 / vocabulary
        for length in range(order):
            context = text[place - length : place]
            if context in totals:
                p = (grams[context + text[place]] + kinds[context] * p) / (totals[context] + kinds[context])
        bits -= math.log2(p)
    return bits / (len(text) - order + 1)


counts = count(train, 5)
V = text.vocabulary_size
ngrams = {order: ngram_bits(counts, test, order, V) for order in (1, 2, 3, 4, 5)}
for order, bits in ngrams.items():
    print(f"{order}-gram   {bits:.2f} bits a character")
tail = train[-(890_000 - len(test)) :].encode()  # bz2 sorts blocks of 900 kB
compressed = 8 * (len(bz2.compress(tail + test.encode())) - len(bz2.compress(tail))) / len(test)
print(f"bz2      {compressed:.2f} bits a character, after as much of the training text as it can use")

# %% [markdown]
# ## Training
#
# The book is read at 32 places side by side, 64 characters an update. The state goes on from update to update; gradients do not. With a
# probability of 5% a place begins anew from the initial state: a model that has never begun in the middle may get stuck there.

# %%
task = NextToken(text, window=64, evaluation_streams=32, restart_rate=0.05)
hidden, steps = (16, 20) if SMALL else (160, 1600)


def build(key):
    rngs, V = nnx.Rngs(key), task.out_features
    return rx.SequenceModel(rx.LSTM(48, hidden, rngs=rngs), V, vocabulary=V, rngs=rngs)


optimizer = optax.chain(training.clip_by_norm(1.0), optax.adam(optax.cosine_decay_schedule(1e-2, steps)))
plan = training.Plan(steps=steps, chunk=steps // 8, batch_size=32, seeds=(0,))
history = training.fit(build, task, optimizer, plan)
print(f"LSTM     {history.test_metrics['bits'][0]:.2f} bits a character of the test")

figure, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
ax.plot(history.steps[1:], history.metrics["bits"][0, 1:], color="#0072B2", marker="o", label="LSTM")
for order in (3, 4, 5):
    level = ngram_bits(counts, text.decode(text.validation.inputs), order, V)
    ax.axhline(level, color="0.6", ls="--", lw=0.8)
    ax.text(steps / 2, level, f"{order}-gram", va="bottom", fontsize=8, color="0.4")
ax.set_xlabel("updates")
ax.set_ylabel("validation bits a character")
ax.legend()
plt.show()

# %% [markdown]
# ## What surprises it
#
# Each character of a passage of the test on a ground that is the darker, the less it was expected. Beginnings of words and names cost
# most; the rest of a word is nearly certain once it has begun.

# %%
model = history.best(0)
start, shown, width = 200, 320, 64
tokens = text.encode(test[: start + shown + 1])
p = jax.nn.log_softmax(model(jnp.asarray(tokens[None, :-1]))[0]) / math.log(2)
surprise = -np.asarray(p)[np.arange(len(tokens) - 1), tokens[1:]][start:]
passage = text.decode(tokens[1 + start :]).replace("\n", " ")

figure, ax = plt.subplots(figsize=(9, 1.7), layout="constrained")
colors = plt.get_cmap("YlOrRd")
for place, (character, bits) in enumerate(zip(passage, surprise, strict=True)):
    x, y = place % width, -(place // width)
    ax.add_patch(plt.Rectangle((x, y - 0.5), 1, 0.94, color=colors(min(bits / 8, 1.0))))
    color = "white" if bits > 5.6 else "black"
    ax.text(x + 0.5, y, character, ha="center", va="center", family="monospace", color=color)
ax.set(xlim=(0, width), ylim=(-(shown - 1) // width + 0.4, 0.6))
ax.axis("off")
figure.colorbar(plt.cm.ScalarMappable(plt.Normalize(0, 8), colors), ax=ax, label="bits", extend="max")
plt.show()

# %% [markdown]
# ## What it writes
#
# Characters are drawn one by one and read again. A temperature below 1 makes likely ones likelier.

# %%
prompt = "And the king "
for temperature in (0.5, 0.8, 1.0):
    read = jnp.asarray(text.encode(prompt))[None]
    drawn = generate(model, read, 80 if SMALL else 300, key=jax.random.key(1), temperature=temperature)
    print(f"temperature {temperature}:")
    print(textwrap.fill(prompt + text.decode(np.asarray(drawn)[0]), 100), "\n")

# %% [markdown]
# `python -m experiments.language_model --preset table` compares an LSTM, a GRU, a plain RNN and a linear cell at equal weights, with three
# seeds each, n-grams of the whole text up to six characters, bz2 and xz.
