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
# # Long sequences: engines, time and memory
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/08_long_sequences.ipynb)
#
# An *engine* turns one step of a cell into a whole sequence. All engines give the same values and gradients, and differ in time and
# memory. You measure them on growing sequences and then run a stream that never ends. It takes about two minutes on a CPU, and each line is
# printed as soon as it is measured.

# %%
# @title Install recurrax if it is missing, then import
import importlib.util

if importlib.util.find_spec("recurrax") is None:
    from IPython import get_ipython

    print("Installing recurrax, which takes about a minute.")
    get_ipython().run_line_magic("pip", 'install -q "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"')

import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import timing
from recurrax.palette import looks

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## Training an LSTM on longer and longer sequences
#
# To compute the gradient, the way back needs the states of the way there. An engine can keep them all, or keep a few and compute the others
# again when they are needed:
#
# - `Scan()` is the plain loop. JAX keeps everything that its gradient needs.
# - `Adjoint()` keeps less and multiplies by the weights of all steps at once. It is what `backend="auto"`, the default, takes on a CPU.
# - `Scan(checkpoint_every="sqrt")` keeps about the square root of all states and computes the rest again.

# %%
# @title Measure time and memory of a training step
B, D, H = 4, 8, 64
lengths = (50, 100) if SMALL else (250, 1000, 4000)
engines = {
    "Scan()": rx.Scan(),
    "Adjoint()": rx.Adjoint(),
    'Scan(checkpoint_every="sqrt")': rx.Scan(checkpoint_every="sqrt"),
}


def measure(cell, engines, lengths):
    """Milliseconds and bytes of a loss and its gradient: {engine: [(T, ms, bytes)]}."""
    found = {name: [] for name in engines}
    print(f"{'':32}{'steps':>6}{'ms':>8}   memory")
    for T in lengths:
        xs = jax.random.normal(jax.random.key(0), (B, T, D))
        for name, engine in engines.items():

            def loss(cell, xs, engine=engine):
                return (rx.RNN(cell, backend=engine)(xs) ** 2).mean()

            program = timing.compiled(jax.value_and_grad(loss), cell, xs)
            row = timing.sample({name: program}, rounds=5, seconds=0.5)[name]
            ms, bytes_ = float(np.median(row["milliseconds"])), timing.needed(row)
            found[name].append((T, ms, bytes_))
            print(f"{name:32}{T:6}{ms:8.1f}   {timing.size(bytes_)}", flush=True)
    return found


lstm = measure(rx.LSTMCell(D, H, rngs=nnx.Rngs(0)), engines, lengths)


# %%
# @title Draw time and memory
def draw(found):
    axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", dpi=90)[1]
    for (name, rows), style in zip(found.items(), looks(found).values(), strict=True):
        T, ms, bytes_ = np.array(rows).T
        axes[0].loglog(T, ms, label=name, **style)
        axes[1].loglog(T, bytes_ / 2**20, label=name, **style)
    axes[0].set(xlabel="steps of the sequence", ylabel="time of a training step (ms)")
    axes[1].set(xlabel="steps of the sequence", ylabel="memory (MiB)")
    for ax in axes:
        ax.set_xticks(T, [f"{steps:,.0f}" for steps in T])
        ax.set_xticks([], minor=True)
    axes[0].legend(fontsize=8)
    plt.show()


draw(lstm)

# %% [markdown]
# **What you should see.** Both axes are logarithmic. Left, the time grows about in proportion to the number of steps. `Adjoint()` is the
# fastest, and `Scan(checkpoint_every="sqrt")` takes about as long as the plain loop, although it computes most states twice. Right, the memory: `Adjoint()` needs about two thirds of what the plain loop
# needs, and `checkpoint_every="sqrt"` a fifth or less. Times differ from machine to machine and from run to run; the
# memory is what the compiler has set aside.

# %% [markdown]
# ## A cell that needs no loop
#
# An LSTM needs the state before it inside a sigmoid, so its steps must run one after the other. Newer cells decide their gates by the input
# alone, and then many steps can be computed at once. A *matrix* cell such as the GLA (gated linear attention, Yang et al., 2024) adds a
# small matrix to its state at each step. `Chunkwise` computes a chunk of such steps with a few matrix products, and keeps one state for each
# chunk in place of one for each step. For *linear* cells such as the minGRU there is `Associative`, which combines the steps in a tree and pays on
# parallel hardware.

# %%
# @title Measure the loop beside the chunks
matrix = {"Scan()": rx.Scan(), "Chunkwise()": rx.Chunkwise()}
draw(measure(rx.cells.GLACell(D, 32, rngs=nnx.Rngs(0)), matrix, (50, 100) if SMALL else (250, 1000)))

# %% [markdown]
# **What you should see.** The dashed line lies below the other one in both panels: the chunks take about half of the time of the loop, and at 1,000 steps less
# than a tenth of its memory, because they keep one matrix for each chunk of steps and not one for each step.

# %% [markdown]
# ## Streams
#
# A sequence that never ends is read in windows. The state, called *carry*, is all that a window hands to the next, so the memory does not
# grow, and the values are those of the whole sequence at once.

# %%
# @title Read a long sequence in windows, and step by step
model = rx.SequenceModel(rx.LSTM(D, H, rngs=nnx.Rngs(0)), 1, rngs=nnx.Rngs(1))
T, window = (200, 50) if SMALL else (20_000, 500)
xs = jax.random.normal(jax.random.key(0), (T, D))
whole = jax.jit(model)(xs)


@jax.jit
def read(carry, xs):
    return model(xs, initial_carry=carry, return_carry=True)


carry, outputs = model.initialize_carry(), []
for first in range(0, T, window):
    carry, ys = read(carry, xs[first : first + window])
    outputs.append(ys)
print("in windows as at once:", bool(jnp.allclose(jnp.concatenate(outputs), whole, atol=1e-5)))

step = jax.jit(model.step)
carry, y = model.initialize_carry(), None
for x in xs[:100]:  # as a sensor would give them
    carry, y = step(carry, x)
print("step by step as at once:", bool(jnp.allclose(y, whole[99], atol=1e-5)))
print("the carry:", timing.size(sum(leaf.nbytes for leaf in jax.tree.leaves(carry))), "whatever came before")

# %% [markdown]
# ## Next
#
# [Sequential MNIST](09_sequential_mnist.ipynb) reads images pixel by pixel.
# [Choose an engine](https://github.com/recurrax/recurrax/blob/main/docs/howto/engine.md) has all engines, and
# [Long sequences and memory](https://github.com/recurrax/recurrax/blob/main/docs/howto/memory.md) the other ways to save memory. For a shape and
# a device of yours, `recurrax tune --shape B T D H` measures what is fastest.
