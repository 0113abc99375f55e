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
# # Vanishing and exploding gradients
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/02_vanishing_and_exploding.ipynb)
#
# You measure how much of the error at the end of a sequence reaches each earlier step, for several kinds of cell; you watch it
# explode, and see what gradient clipping can repair and what it cannot. It takes about a minute on a CPU.

# %%
# @title Install recurrax if it is missing, then import
import importlib.util

if importlib.util.find_spec("recurrax") is None:
    from IPython import get_ipython

    print("Installing recurrax, which takes about a minute.")
    get_ipython().run_line_magic("pip", 'install -q "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"')

import os
import warnings

import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import gradflow, training
from recurrax.initializers import Chrono, identity, normal, orthogonal, zeros
from recurrax.palette import COLORS

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## How much of the error arrives
#
# The error reaches step $t$ from the last step $T$ as a product of $T - t$ matrices, one for each step between them:
#
# $$\frac{\partial L}{\partial s_t} = J_{t+1}^\top \cdots J_T^\top \frac{\partial L}{\partial s_T}$$
#
# If each factor shrinks the error a little, soon nothing is left of it: the gradient *vanishes*. If each factor enlarges it a little, it
# *explodes*. `state_gradients` measures the norm of this product for one sequence, as a logarithm, so that even $10^{-60}$ is a number
# and not zero. We measure networks with random weights, before any training:
#
# - `RNN`: the plain network with tanh. `IRNN`: the same with ReLU and the identity as its recurrent matrix (Le et al., 2015).
# - `GRU`, and `LSTM` with three starts of its forget gate: bias 0 (`fb0`), bias 1 (`fb1`), and `chrono`, which spreads the biases so that
#   some units remember a few steps and others all of them (Tallec & Ollivier, 2018).

# %%
# @title Measure six networks before training
D, H = 2, 32
T, EXAMPLES = (30, 4) if SMALL else (100, 16)
rngs = nnx.Rngs(0)
networks = {
    "RNN": rx.RNNCell(D, H, rngs=rngs),
    "IRNN": rx.RNNCell(
        D, H, activation_fn=jax.nn.relu, kernel_init=normal(0.001), recurrent_kernel_init=identity(), rngs=rngs
    ),
    "GRU": rx.GRUCell(D, H, rngs=rngs),
    "LSTM-fb0": rx.LSTMCell(D, H, forget_bias=0.0, rngs=rngs),
    "LSTM-fb1": rx.LSTMCell(D, H, forget_bias=1.0, rngs=rngs),
    "LSTM-chrono": rx.LSTMCell(D, H, forget_bias=Chrono(T), rngs=rngs),
}
examples = jax.random.normal(jax.random.key(0), (EXAMPLES, T, D))  # 16 random sequences


@jax.jit
def measure(cell):
    carry = cell.initialize_carry((D,))
    return jax.vmap(lambda xs: gradflow.state_gradients(cell, carry, xs))(examples)


log_norms = {}
for name, cell in networks.items():
    log_norms[name] = measure(cell)
    factor = np.exp(np.median(gradflow.slope(log_norms[name])))
    print(f"{name:12} changes the error by a factor of {factor:.2f} at each step back")
gradflow.plot_gradients(log_norms)

# %% [markdown]
# **What you should see.** All lines start at 0, the last step. Over 100 steps back, the RNN, the GRU and the LSTM with forget
# bias 0 lose the error down to $10^{-17}$ and less, and the LSTM with forget bias 1 down to about $10^{-8}$. The IRNN and the LSTM with the
# chrono start keep a twentieth of it or more. So gates by themselves do not help: an untrained GRU loses the error almost as
# fast as a plain RNN. What counts is where the gates start, and what training makes of them.

# %% [markdown]
# ## Is the measurement right?
#
# An LSTM whose input and recurrent weights are all zero has the memory $C_t = \sigma(b_f)\, C_{t-1}$ and nothing else, so its gradient
# must change by exactly $\sigma(b_f)$ at each step.

# %%
# @title Compare with a closed form
for bias in (0.0, 1.0, 3.0):
    silent = rx.LSTMCell(D, H, forget_bias=bias, kernel_init=zeros, recurrent_kernel_init=zeros, rngs=nnx.Rngs(0))
    factor = float(np.exp(np.median(gradflow.slope(measure(silent)))))
    print(f"forget bias {bias:g}: measured {factor:.6f}, sigmoid({bias:g}) = {float(jax.nn.sigmoid(bias)):.6f}")

# %% [markdown]
# ## Exploding
#
# Now the recurrent matrix of the plain RNN is made larger: an orthogonal matrix times a gain. Two forces work against each other. The matrix
# enlarges the error, and the slope of tanh, which is at most 1 and nearly 0 for large states, shrinks it.

# %%
# @title Measure plain RNNs with growing recurrent matrices
gains = {}
for gain in (0.5, 1.0, 1.5, 2.0, 3.0):
    cell = rx.RNNCell(D, H, recurrent_kernel_init=orthogonal(gain), rngs=nnx.Rngs(0))
    gains[f"gain {gain:g}"] = measure(cell)
gradflow.plot_gradients(gains)

# %% [markdown]
# **What you should see.** With gains of 0.5 to 1.5 the lines fall, with gain 2 the line stays nearly level, and with gain 3 it rises to
# about $10^9$: the error explodes. A matrix of gain 1 keeps the length of every vector, and still the error vanishes, because
# of the slope of tanh.

# %% [markdown]
# ## What an explosion does to training, and what clipping repairs
#
# We train a ReLU network that starts with a large recurrent matrix by plain gradient descent on the adding problem, five seeds at once. Then
# we do the same with *clipping*: a gradient that is longer than 1 is scaled down to length 1 and keeps its direction (Pascanu, Mikolov &
# Bengio, 2013).

# %%
# @title Train without and with clipping
task = rx.tasks.make_task("adding", 10 if SMALL else 30)


def build(key):
    rngs = nnx.Rngs(key)
    cell = rx.RNNCell(2, H, activation_fn=jax.nn.relu, recurrent_kernel_init=orthogonal(1.5), rngs=rngs)
    return rx.SequenceModel(rx.RNN(cell), 1, rngs=rngs)


plan = training.Plan(steps=20 if SMALL else 200, chunk=10 if SMALL else 50, seeds=(0, 1, 2, 3, 4))
ways = {"not clipped": training.sgd(0.1), "clipped": training.sgd(0.1, clip_norm=1.0)}
histories = {}
for way, optimizer in ways.items():
    with warnings.catch_warnings():  # fit warns of every run whose loss is not finite; we count them below
        warnings.simplefilter("ignore", RuntimeWarning)
        histories[way] = training.fit(build, task, optimizer, plan, training.Output(title=way))
for way, history in histories.items():
    diverged, solved = sum(history.diverged_at >= 0), sum(history.solved_at >= 0)
    print(f"{way:12} {diverged} of {len(history)} runs diverge, {solved} solve the task")

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained", dpi=90)
for (way, history), color in zip(histories.items(), COLORS[5:3:-1], strict=True):
    losses = np.where(np.isfinite(history.train_loss), history.train_loss, np.nan).T
    ax.semilogy(losses, color=color, alpha=0.6, lw=1, label=[way, *[None] * (len(history) - 1)])
ax.axhline(task.chance_level(), color="0.4", ls="--", lw=1, label="guessing")
ax.set(xlabel="updates", ylabel="loss of each update", xlim=(-2, 100))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# **What you should see.** Without clipping (orange) the loss leaps up by many powers of ten within the first updates, and then it is no
# number any more: the lines end, and no run is left. With clipping (blue) no run is lost; there are leaps at first, and
# then the loss comes down to the dashed line of guessing. There it stays: clipping makes long gradients shorter, but it cannot make vanished ones longer. For
# that it takes another start, or another cell.

# %% [markdown]
# ## How long each unit of an LSTM remembers
#
# A forget gate that stays at $f$ keeps a memory for about $\tau = -1 / \ln f$ steps. `time_constants` reads $\tau$ of every unit.

# %%
# @title Draw the time constants of the forget gates
taus = {}
for name in ("LSTM-fb0", "LSTM-fb1", "LSTM-chrono"):
    cell = networks[name]
    gates = gradflow.gate_activations(cell, cell.initialize_carry((D,)), examples[0])
    taus[name] = gradflow.time_constants(gates["f"])
gradflow.plot_time_constants(taus)

# %% [markdown]
# **What you should see.** One point for each of the 32 units. With forget bias 0 every unit forgets within two steps, with forget
# bias 1 within four. With the chrono start the units spread from a few steps to more than fifty, so some of them carry the error over
# the whole sequence.

# %% [markdown]
# ## Next
#
# All networks of the first plot were random. [RNN, GRU and LSTM](03_rnn_gru_lstm.ipynb) trains them on tasks that need a memory.
# [Vanishing and exploding gradients](https://github.com/recurrax/recurrax/blob/main/docs/understand/vanishing.md) is the page of
# the documentation on this subject.
