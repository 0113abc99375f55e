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
# # Write text, character by character
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/04_write_text.ipynb)
#
# An LSTM reads a book and learns to predict the next character. You compare it with tables that only count, look at what
# surprises it, and let it write. It takes about three minutes on a CPU, with a progress bar.

# %%
# @title Install recurrax if it is missing, then import
import importlib.util

if importlib.util.find_spec("recurrax") is None:
    from IPython import get_ipython

    print("Installing recurrax, which takes about a minute.")
    get_ipython().run_line_magic("pip", 'install -q "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"')

import collections
import math
import os
import textwrap

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx

import recurrax as rx
from recurrax import datasets, training
from recurrax.palette import look

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## The text
#
# The first million characters of the King James Bible. `recurrax datasets get kjv` downloads it once; where it is missing, sentences
# of a small made-up grammar take its place. The text is cut in order: 90% to train, 5% to choose the best model, 5% to test.


# %%
# @title Load the text
def made_up(sentences, seed=0):
    random = np.random.default_rng(seed)
    who = ["the king", "a shepherd", "the woman", "my son", "the prophet"]
    did = ["said unto", "went forth before", "blessed", "sent for"]
    what = ["the people", "his brother", "the priest", "all the land", "them that were with him"]
    parts = (f"And {random.choice(who)} {random.choice(did)} {random.choice(what)}." for _ in range(sentences))
    return " ".join(parts)


try:
    book = str(datasets.read("kjv")["text"])[: 60_000 if SMALL else 1_000_000]
    print("The text is the King James Bible.")
except datasets.MissingData:
    book = made_up(800 if SMALL else 8000)
    print("The text is made up. For the Bible run: recurrax datasets get kjv")

text = datasets.Text.contiguous(book)
train, validation, test = (text.decode(part.inputs) for part in (text.train, text.validation, text.test))
print(f"{len(train):,} characters to train, {len(test):,} to test, {text.vocabulary_size} different ones. It begins:\n")
print(textwrap.fill(train[:300], 100))

# %% [markdown]
# ## What to beat
#
# An n-gram predicts a character from the $n - 1$ characters before it, by counting what followed them in the training text. A long
# context is often unseen, so the counts of all shorter ones are mixed in (Witten & Bell, 1991). We measure every model in *bits a
# character*: the mean of $-\log_2 p$, where $p$ is the probability that the model gave to the character that came. Fewer is better, and
# 1 bit is a choice between two equally likely characters.


# %%
# @title Count n-grams
def count(text, order):
    grams, totals, kinds = collections.Counter(), collections.Counter(), collections.Counter()
    for length in range(1, order + 1):
        grams.update(text[place : place + length] for place in range(len(text) - length + 1))
    for gram, times in grams.items():  # how many characters, and how many different ones, follow each context
        totals[gram[:-1]] += times
        kinds[gram[:-1]] += 1
    return grams, totals, kinds


def ngram_bits(counts, text, order):
    (grams, totals, kinds), bits = counts, 0.0
    for place in range(order - 1, len(text)):
        p = 1 / len(text_characters)
        for length in range(order):
            context = text[place - length : place]
            if context in totals:
                p = (grams[context + text[place]] + kinds[context] * p) / (totals[context] + kinds[context])
        bits -= math.log2(p)
    return bits / (len(text) - order + 1)


text_characters = set(book)
counts = count(train, 5)
for order in (1, 2, 3, 4, 5):
    print(f"{order}-gram {ngram_bits(counts, test, order):.2f} bits a character")

# %% [markdown]
# ## Training
#
# The LSTM reads the book at 32 places side by side, 64 characters at each update. Its state goes on from one update to the next, and the
# gradient stops at the 64 characters.

# %%
# @title Train the LSTM
task = rx.tasks.NextToken(text, window=64, evaluation_streams=32, restart_rate=0.05)
hidden, steps = (16, 20) if SMALL else (128, 1200)


def build(key):
    rngs, V = nnx.Rngs(key), task.out_features
    return rx.SequenceModel(rx.LSTM(48, hidden, rngs=rngs), V, vocabulary=V, rngs=rngs)


optimizer = optax.chain(training.clip_by_norm(1.0), optax.adam(optax.cosine_decay_schedule(1e-2, steps)))
plan = training.Plan(steps=steps, chunk=steps // 10, batch_size=32, seeds=(0,))
history = training.fit(build, task, optimizer, plan, training.Output(title="LSTM"))
print(f"LSTM {history.test_metrics['bits'][0]:.2f} bits a character of the test text")

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained", dpi=90)
ax.plot(history.steps[1:], history.metrics["bits"][0, 1:], label="LSTM", **look("LSTM"))
for order in (2, 3, 4, 5):
    level = ngram_bits(counts, validation, order)
    ax.axhline(level, color="0.6", ls="--", lw=0.8)
    ax.text(steps, level, f"{order}-gram", va="bottom", ha="right", fontsize=8, color="0.4")
ax.set(xlabel="updates", ylabel="validation, bits a character")
ax.legend()
plt.show()

# %% [markdown]
# **What you should see.** The LSTM (blue) passes the 3-gram after the first hundred updates and the 4-gram after about five hundred, and ends a
# little above the 5-gram. For so short a training on so short a text, counting is hard to beat. On the whole book and with more updates
# an LSTM is ahead of a 6-gram, as the page linked below tells.

# %% [markdown]
# ## What surprises it
#
# A passage of the test text. The darker the ground of a character, the less the LSTM expected it.

# %%
# @title Draw the surprise of each character
model = history.best(0)
start, shown, width = 200, 320, 64
tokens = text.encode(test[: start + shown + 1])
p = jax.nn.log_softmax(model(jnp.asarray(tokens[None, :-1]))[0]) / math.log(2)
surprise = -np.asarray(p)[np.arange(len(tokens) - 1), tokens[1:]][start:]
passage = text.decode(tokens[1 + start :]).replace("\n", " ")

figure, ax = plt.subplots(figsize=(9, 1.7), layout="constrained", dpi=90)
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
# **What you should see.** The first letters of words and of names are dark: many words could follow. The rest of a word is pale,
# because a few letters decide it. Names such as *Jogbehah* are dark to the end, and so are words that the LSTM has not met often.

# %% [markdown]
# ## Let it write
#
# `generate` reads a prompt and then draws one character after the other; each one it draws is its next input. A temperature below 1 makes
# likely characters likelier.

# %%
# @title Let the LSTM write { run: "auto" }
prompt = "And the king "
for temperature in (0.3, 0.7, 1.0):
    drawn = rx.generate(
        model, jnp.asarray(text.encode(prompt)), 40 if SMALL else 250, key=jax.random.key(1), temperature=temperature
    )
    print(f"temperature {temperature}:")
    print(textwrap.fill(prompt + text.decode(np.asarray(drawn)), 100), "\n")

# %% [markdown]
# At a low temperature it repeats the commonest phrases; at a high one it makes up words. After a short training it knows many words and the sound of
# the book, and nothing of its meaning.
#
# ## Next
#
# [Forecast](05_forecast.ipynb) does the same for numbers, with honest intervals.
# [Language models](https://github.com/recurrax/recurrax/blob/main/docs/results/language_model.md) compares four kinds of cell on the
# whole book, and [Streams and generation](https://github.com/recurrax/recurrax/blob/main/docs/howto/streams.md) is the guide.
