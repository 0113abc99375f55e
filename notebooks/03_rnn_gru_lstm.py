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
# # RNN, GRU and LSTM on tasks that need a memory
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/03_rnn_gru_lstm.ipynb)
#
# You train the three classic cells on two tasks, five seeds each, until they meet the task's own criterion. The GRU and the LSTM
# solve both tasks with every seed; the plain RNN does not. It takes about three minutes on a CPU, and progress bars show how far it is.

# %%
# @title Install recurrax if it is missing, then import
import importlib.util

if importlib.util.find_spec("recurrax") is None:
    from IPython import get_ipython

    print("Installing recurrax, which takes about a minute.")
    get_ipython().run_line_magic("pip", 'install -q "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"')

import os

import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import gradflow, training
from recurrax.palette import looks
from recurrax.report import solved

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## Two tasks
#
# **Adding** (Hochreiter & Schmidhuber, 1997): read pairs of a number and a mark, and answer the sum of the two marked numbers at the end.
# It is solved when the mean squared error is below 0.01. Guessing has 0.167.
#
# **Five-bit copy** (Martens & Sutskever, 2011): read five bits, wait, and repeat them when a signal comes. It is solved when more than 99%
# of new sequences are repeated without a single wrong step.
#
# A task describes one example and knows its own criterion.

# %%
# @title Look at one example of each task
adding = rx.tasks.make_task("adding", 10 if SMALL else 50)
copy = rx.tasks.make_task("copy", 2 if SMALL else 10, "martens2011")


def show(symbols):
    return " ".join("01.>"[symbol] for symbol in np.asarray(symbols))  # . is a blank, > the signal to answer


example = adding.sample(jax.random.key(0))
marked = np.flatnonzero(np.asarray(example.inputs[:, 1]))
values = " + ".join(f"{example.inputs[step, 0]:.2f} (step {step})" for step in marked)
print(f"adding, {adding.sequence_length} steps: {values} = {example.targets[-1, 0]:.2f}")

example = copy.sample(jax.random.key(0))
print(f"copy, {copy.sequence_length} steps:")
print("  input ", show(example.inputs.argmax(axis=-1)))
print("  answer", show(example.targets))

# %% [markdown]
# ## Training
#
# All cells have 32 units and the same number of updates. The learning rates are those that were best for each cell in a search on other
# seeds (`python -m experiments.vanishing_gradients --preset grid`), so that no cell loses because of a bad setting. The five
# seeds of a cell are one compiled program. A fit stops early when all its seeds have solved the task.

# %%
# @title Train every cell on both tasks
CELLS = {"RNN": rx.RNNCell, "GRU": rx.GRUCell, "LSTM": rx.LSTMCell}
RATES = {
    "adding": {"RNN": 3e-3, "GRU": 2e-2, "LSTM": 2e-2},
    "copy": {"RNN": 1e-2, "GRU": 2e-2, "LSTM": 2e-2},
}
STEPS = {"adding": 20, "copy": 20} if SMALL else {"adding": 600, "copy": 1200}
SEEDS = (0, 1) if SMALL else (0, 1, 2, 3, 4)
H = 8 if SMALL else 32


def train(task, name):
    def build(key):
        rngs = nnx.Rngs(key)
        cell = CELLS[name](task.in_features, H, rngs=rngs)
        return rx.SequenceModel(rx.RNN(cell), task.out_features, rngs=rngs)

    plan = training.Plan(steps=STEPS[task.name], chunk=10 if SMALL else 50, batch_size=32, seeds=SEEDS)
    optimizer = training.adam(RATES[task.name][name], clip_norm=1.0)
    return training.fit(build, task, optimizer, plan, training.Output(title=f"{task.name}, {name}"))


histories = {task.name: {name: train(task, name) for name in CELLS} for task in (adding, copy)}

# %%
# @title Draw the learning curves
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", dpi=90)
for ax, metric, (task_name, by_cell) in zip(axes, ("loss", "accuracy"), histories.items(), strict=True):
    for (name, history), style in zip(by_cell.items(), looks(by_cell).values(), strict=True):
        labels = [name, *[None] * (len(history) - 1)]
        ax.plot(history.steps, history.metric(metric).T, color=style["color"], ls=style["ls"], lw=1, label=labels)
    ax.set(title=task_name, xlabel="updates")
axes[0].set(ylabel="mean squared error", yscale="log")
axes[0].axhline(0.01, color="0.4", ls=":", lw=1, label="solved")
axes[1].set(ylabel="sequences without a wrong step")
axes[1].axhline(0.99, color="0.4", ls=":", lw=1, label="solved")
axes[0].legend(fontsize=8)
plt.show()

print("Seeds that solve the task, with the 95% interval of that share, and the median of their updates:")
for task_name, by_cell in histories.items():
    for name, history in by_cell.items():
        at = history.solved_at[history.solved_at >= 0]
        print(f"{task_name:7} {name:5} {solved(history.solved_at):18} {np.median(at) if len(at) else 'none':>6}")

# %% [markdown]
# **What you should see.** Each line is one seed. Left, the error on adding: the GRU (green) and the LSTM (blue) fall below the dotted
# line within 300 updates with every seed, and the RNN (orange) does not get far below guessing, 0.167. Right, the share of copies without a wrong step: all
# GRUs and LSTMs reach the dotted line, some RNNs do and some do not. The delay of 10 steps is at the edge of what a plain
# RNN can learn, so its seeds disagree. A line may fall again for a moment after it was solved.

# %% [markdown]
# ## What they answer
#
# A sequence that no network has seen, and the answers of the first seed of each cell.

# %%
# @title Ask every cell to copy
example = copy.sample(jax.random.key(123))
print("input ", show(example.inputs.argmax(axis=-1)))
print("right ", show(example.targets))
for name, history in histories["copy"].items():
    print(f"{name:6}", show(history.best(0)(example.inputs).argmax(axis=-1)))

# %% [markdown]
# ## Why
#
# The gradient of the trained networks on adding: how much of the error at the last step arrives $k$ steps back.

# %%
# @title Draw the gradient of the trained networks
inputs = jax.vmap(adding.sample)(jax.random.split(jax.random.key(1), 16)).inputs


@jax.jit
def measure(model):
    def one(xs):
        carry = model.layer.cell.initialize_carry((2,))
        return gradflow.state_gradients(model.layer.cell, carry, xs, lambda carry, y: model.head(y)[0])

    return jax.vmap(one)(inputs)


gradflow.plot_gradients({name: measure(history.best(0)) for name, history in histories["adding"].items()})

# %% [markdown]
# **What you should see.** 0 on the left is the last step, and -1 on the vertical axis is a tenth. In the LSTM and the GRU most of the error
# arrives at the first steps. In the RNN the line falls to about a thousandth, so it learns from the near steps only.

# %% [markdown]
# ## Next
#
# Numbers and bits are puzzles. [Write text](04_write_text.ipynb) trains an LSTM on a book.
# [Vanishing gradients](https://github.com/recurrax/recurrax/blob/main/docs/results/vanishing_gradients.md) has the whole experiment, and
# [Which cell?](https://github.com/recurrax/recurrax/blob/main/docs/understand/which_cell.md) says what to choose.
