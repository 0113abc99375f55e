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
# # An LSTM in five minutes
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/00_lstm_in_five_minutes.ipynb)
#
# A recurrent network reads a sequence one step at a time and remembers what it needs in a *state*. You train two kinds on the same small
# puzzle, a plain one (RNN) and a long short-term memory (LSTM). The LSTM solves it, the RNN does not, and one plot shows why. The
# notebook runs in one to two minutes on a CPU.

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
from recurrax.palette import look

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## The puzzle
#
# The network reads a sequence of random numbers between 0 and 1, one at a time. Two of them carry a mark. After the last
# number it must answer the sum of the two marked ones. To do so, it must remember the first marked number until the end.
# This is the *adding problem* of Hochreiter & Schmidhuber (1997).

# %%
# @title Draw one puzzle
T = 10 if SMALL else 50
task = rx.tasks.make_task("adding", T)

example = task.sample(jax.random.key(8))
numbers, marks = np.asarray(example.inputs).T
answer = float(example.targets[-1, 0])

figure, ax = plt.subplots(figsize=(7, 2.2), layout="constrained", dpi=90)
ax.bar(np.arange(T), numbers, color=np.where(marks > 0, "#D55E00", "0.8"))
for step in np.flatnonzero(marks):
    ax.text(step, numbers[step] + 0.03, f"{numbers[step]:.2f}", ha="center")
ax.set(xlabel="step", ylabel="number", ylim=(0, 1.2), title=f"The answer to this puzzle is {answer:.2f}")
plt.show()

# %% [markdown]
# **What you should see.** Fifty bars, one for each number. The two orange bars are the marked numbers; the answer in the
# title is their sum. The grey numbers do not matter, and the network has to learn that too.

# %% [markdown]
# ## Train both networks
#
# A *cell* is one step of a network: `rx.LSTMCell(2, 32)` has 32 units and reads two inputs, the number and the mark. `rx.RNN` runs
# a cell over a sequence, `rx.SequenceModel` puts one output on top, and `fit` trains the model on fresh puzzles. We train three
# copies with different random starts (`seeds`) at the same time, so that the result is not luck.
#
# An *update* changes the weights a little, to make the error on 32 puzzles smaller. A network counts as having solved the puzzle when its mean
# squared error on new puzzles falls below 0.01. A network that always answers 1, the average sum, has an error of 0.167.
#
# The plan says how: at most `steps` updates, an evaluation on new puzzles after each `chunk` of them, three `seeds`. `history.best(0)`
# is then the model of the first copy as it was at its best evaluation.

# %%
# @title Train an LSTM and a plain RNN
cells = {"LSTM": rx.LSTMCell, "RNN": rx.RNNCell}
H = 8 if SMALL else 32
plan = rx.training.Plan(steps=20 if SMALL else 500, chunk=10 if SMALL else 25, batch_size=32, seeds=(0, 1, 2))
optimizer = rx.training.adam(1e-2, clip_norm=1.0)

histories = {}
for name, cell_class in cells.items():

    def build(key, cell_class=cell_class):
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.RNN(cell_class(2, H, rngs=rngs)), 1, rngs=rngs)

    histories[name] = rx.training.fit(build, task, optimizer, plan, rx.training.Output(title=name))

for name, history in histories.items():
    print(f"{name}: {sum(history.solved_at >= 0)} of {len(history)} copies solve the puzzle")

# %%
# @title Draw how they learn
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained", dpi=90)
for name, history in histories.items():
    ax.semilogy(history.steps, history.loss.T, color=look(name)["color"], label=[name, *[None] * (len(history) - 1)])
ax.axhline(task.chance_level(), color="0.4", ls="--", lw=1, label="always answer 1")
ax.axhline(0.01, color="0.4", ls=":", lw=1, label="solved")
ax.set(xlabel="updates", ylabel="mean squared error on new puzzles")
ax.legend(loc="lower left", fontsize=8)
plt.show()

# %% [markdown]
# **What you should see.** All lines fall at once to the dashed line: both networks first learn to answer 1. The three RNNs
# stay there until the end. The three LSTMs leave it after 100 to 250 updates and cross the dotted line by update 300, where
# their training stops because the puzzle is solved. On another machine the lines differ a little.
# Another learning rate does not rescue the RNN: [notebook 03](03_rnn_gru_lstm.ipynb) trains it with the best one of a search.

# %% [markdown]
# ## Why the RNN does not learn
#
# A network learns from its error, and the error is known only at the end. To learn that the marked number of step 5
# matters, the error must travel back from step 50 to step 5. `gradflow` measures how much of it arrives: how strongly
# the answer depends on the state of the network at each earlier step (the *gradient*), compared with the last step.

# %%
# @title Draw how much of the error travels back
puzzles = jax.vmap(task.sample)(jax.random.split(jax.random.key(1), 16)).inputs  # 16 puzzles: [16, T, 2]
log_norms = {}
for name, history in histories.items():
    model = history.best(0)
    cell = model.layer.cell

    @jax.jit
    @jax.vmap
    def measure(xs, model=model, cell=cell):
        carry = cell.initialize_carry((2,))
        return rx.gradflow.state_gradients(cell, carry, xs, lambda carry, y: model.head(y)[0])

    log_norms[name] = measure(puzzles)
rx.gradflow.plot_gradients(log_norms)

# %% [markdown]
# **What you should see.** The horizontal axis goes backwards in time: 0 is the end, where the error is known, and 50 is the start.
# The vertical axis counts in powers of ten: -1 is a tenth, -6 is a millionth. In the LSTM the line stays
# near 0: the whole error arrives, even at the start. In the RNN it falls steadily to a millionth, so the first marked number has almost no influence on
# what the RNN learns. This is the *vanishing gradient*. The bands hold eight of ten puzzles.

# %% [markdown]
# ## Ask the LSTM yourself
#
# Change the numbers and the places and run the cell again.

# %%
# @title Ask the LSTM for a sum { run: "auto" }
first, second = 0.9, 0.2  # two numbers between 0 and 1
places = (4, T // 2 + 5)  # where they stand; the first in the first half, the second in the second half

model = histories["LSTM"].best(0)
numbers = jax.random.uniform(jax.random.key(7), (T,)).at[jnp.array(places)].set(jnp.array([first, second]))
marks = jnp.zeros(T).at[jnp.array(places)].set(1)
answer = model(jnp.stack([numbers, marks], axis=-1))[-1, 0]
print(f"{first} + {second} = {first + second:.2f}; the LSTM answers {answer:.2f}")

# %% [markdown]
# ## Next
#
# What happens inside? [The LSTM by hand](01_lstm_by_hand.ipynb) computes one step with pen and paper, and gives you sliders for its weights.
# The [tour](https://github.com/recurrax/recurrax/blob/main/docs/tour.md) shows the rest of the library in ten minutes.
