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
# # The LSTM by hand
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/01_lstm_by_hand.ipynb)
#
# You compute one step of an LSTM with numbers that you can follow, check that `rx.LSTMCell` gives the same, and then move
# sliders for its weights and watch what they do to its memory. It takes less than a minute on a CPU.

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
from IPython import get_ipython
from IPython.display import display

import recurrax as rx
from recurrax import gradflow
from recurrax.palette import COLORS

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## The equations
#
# An LSTM carries two things from step to step: the *cell state* $C$, its memory, and the *output* $h$. Three *gates*, numbers
# between 0 and 1, say how much is kept, written and shown. $\sigma$ is the sigmoid, which is 0 for very negative numbers, 1/2 at 0
# and 1 for large ones.
#
# $$\begin{aligned}
# f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) && \text{forget gate: how much of the old memory stays}\\
# i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) && \text{input gate: how much is written}\\
# \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) && \text{candidate: what could be written}\\
# C_t &= f_t\, C_{t-1} + i_t\, \tilde c_t && \text{new memory: keep some, add some}\\
# o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) && \text{output gate: how much is shown}\\
# h_t &= o_t \tanh(C_t) && \text{output}
# \end{aligned}$$
#
# $W$ multiplies the input $x_t$, $U$ the previous output $h_{t-1}$, and $b$ is a bias: these are the weights that training changes. A network has many
# such *units* side by side, and then $W$ and $U$ are matrices. We take a single one, so that every letter is one number.

# %%
# @title One step, with one unit
W = {"f": 0.5, "i": -1.0, "c": 2.0, "o": 0.4}  # input weights
U = {"f": 1.0, "i": 0.6, "c": -0.5, "o": 0.2}  # recurrent weights
b = {"f": 1.0, "i": 0.0, "c": 0.0, "o": 0.0}  # biases; the forget gate starts open


def step(C, h, x):
    a = {gate: W[gate] * x + U[gate] * h + b[gate] for gate in "fico"}
    f, i, o = jax.nn.sigmoid(a["f"]), jax.nn.sigmoid(a["i"]), jax.nn.sigmoid(a["o"])
    candidate = jnp.tanh(a["c"])
    C_new = f * C + i * candidate
    h_new = o * jnp.tanh(C_new)
    print(f"forget gate  sigmoid({a['f']:.2f}) = {f:.3f}: keep {f:.3f} x {C:.3f} = {f * C:.3f} of the old memory")
    print(f"input gate   sigmoid({a['i']:.2f}) = {i:.3f}")
    print(f"candidate    tanh({a['c']:.2f}) = {candidate:.3f}: write {i:.3f} x {candidate:.3f} = {i * candidate:.3f}")
    print(f"new memory   {f * C:.3f} + {i * candidate:.3f} = {C_new:.3f}")
    print(f"output gate  sigmoid({a['o']:.2f}) = {o:.3f}")
    print(f"output       {o:.3f} x tanh({C_new:.3f}) = {h_new:.3f}")
    return C_new, h_new


C, h, x = 0.8, 0.5, 1.0  # the memory and the output before the step, and the input
C_hand, h_hand = step(C, h, x)

# %% [markdown]
# `rx.LSTMCell` makes the same step. Its parameters hold one matrix for each gate, in the order f, i, candidate, o. Here each matrix has
# one entry, because there is one input and one unit.

# %%
# @title The same step with rx.LSTMCell
cell = rx.LSTMCell(in_features=1, hidden_features=1, rngs=nnx.Rngs(0))
cell.kernel[...] = jnp.array([W[gate] for gate in "fico"]).reshape(4, 1, 1)
cell.recurrent_kernel[...] = jnp.array([U[gate] for gate in "fico"]).reshape(4, 1, 1)
cell.bias[...] = jnp.array([b[gate] for gate in "fico"]).reshape(4, 1)

(C_cell, h_cell), y = cell((jnp.array([C]), jnp.array([h])), jnp.array([x]))
print(f"memory {C_cell[0]:.3f}, output {h_cell[0]:.3f}")
print("equal to ours:", bool(jnp.allclose(C_cell[0], C_hand) and jnp.allclose(h_cell[0], h_hand)))

# %% [markdown]
# ## What the gates do over time
#
# Now the same cell reads a sequence: an input of 0 with three pulses of 2, -2 and 2.

# %%
# @title Draw the gates and the memory over a sequence
T = 40
pulses = jnp.zeros((T, 1)).at[jnp.array([5, 15, 28]), 0].set(jnp.array([2.0, -2.0, 2.0]))
gates = gradflow.gate_activations(cell, cell.initialize_carry((1,)), pulses)


def memory(carry, x):
    carry, _ = cell(carry, x)
    return carry, carry[0]


_, memories = jax.lax.scan(memory, cell.initialize_carry((1,)), pulses)

figure, axes = plt.subplots(3, 1, figsize=(7, 4.5), sharex=True, layout="constrained", dpi=90)
axes[0].bar(np.arange(T), pulses[:, 0], color="0.4")
axes[0].set_ylabel("input x")
for (name, label), color, dash in zip(
    {"f": "forget", "i": "input", "o": "output"}.items(), COLORS[4:7], ("-", "--", ":"), strict=True
):
    axes[1].plot(gates[name][:, 0], color=color, ls=dash, label=f"{label} gate")
axes[1].set(ylabel="gates", ylim=(-0.05, 1.05))
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
axes[2].plot(memories[:, 0], color="black")
axes[2].set(ylabel="memory C", xlabel="step")
plt.show()

# %% [markdown]
# **What you should see.** At a pulse the gates move for one step and then return. A pulse of 2 closes the input gate
# to about 0.1, so little is written; a pulse of -2 opens it to almost 0.9, so much is written. After a pulse the memory fades, because
# the forget gate is near 0.73 while the input is 0: of the memory 73% is left after one step, and 4% after ten.

# %% [markdown]
# ## How far back the error travels
#
# A network learns from its error, which is known at the end and must travel back in time. From one step to the step before, the
# error along the memory is multiplied by the forget gate $f$. After $k$ steps $f^k$ of it is left, and what goes round through $h$ and
# the gates is added. `gradflow.state_gradients` measures the sum of both.
#
# The sliders appear below the plot when you run the cell, in Colab or Jupyter. `forget_bias` is $b_f$, and the other two multiply all of $U$ and all of $W$. The second plot is
# drawn anew whenever a slider moves.

# %%
# @title Draw the gradient for four forget biases, then with sliders
inputs = 0.1 * jax.random.normal(jax.random.key(0), (8, T, 1))  # eight sequences of faint noise


@jax.jit
def log_gradients(forget_bias, recurrent_weights, input_weights):
    changed = nnx.clone(cell)
    changed.kernel[...] = cell.kernel[...] * input_weights
    changed.recurrent_kernel[...] = cell.recurrent_kernel[...] * recurrent_weights
    changed.bias[...] = cell.bias[...].at[0].set(forget_bias)
    return jax.vmap(lambda xs: gradflow.state_gradients(changed, changed.initialize_carry((1,)), xs))(inputs)


def draw(forget_bias=1.0, recurrent_weights=1.0, input_weights=1.0):
    now = log_gradients(forget_bias, recurrent_weights, input_weights)
    figure = gradflow.plot_gradients({"at the start": log_gradients(1.0, 1.0, 1.0), "LSTM with these weights": now})
    figure.axes[0].set_ylim(-15, 3)  # fixed, so that one sees the line move
    figure.set_dpi(90)
    return figure


biases = {f"forget bias {bias:g}": log_gradients(bias, 1.0, 1.0) for bias in (-1.0, 1.0, 3.0, 5.0)}
display(gradflow.plot_gradients(biases))

if get_ipython() is None or importlib.util.find_spec("ipywidgets") is None:
    print("The sliders need ipywidgets, and Jupyter or Colab.")
else:
    import ipywidgets

    ipywidgets.interact(
        draw, forget_bias=(-3.0, 7.0, 0.5), recurrent_weights=(-3.0, 3.0, 0.25), input_weights=(0.0, 10.0, 0.5)
    )

# %% [markdown]
# **What you should see.** 0 on the left is the last step, and the vertical axis counts in powers of ten. Each line is nearly straight: the
# error shrinks by the same factor at every step. Over 40 steps a forget bias of -1 leaves $10^{-33}$ of it, a bias of 1 about $10^{-9}$, and biases of 3
# and 5 more than $10^{-4}$.
#
# **Try with the sliders.** Set `recurrent_weights` to 0 and `forget_bias` to 7: the line is flat from the first step on, because only the memory carries the
# error and $f$ is nearly 1. This is what the LSTM was invented for. Now raise `recurrent_weights` to 3: the line falls, because here what goes
# round through $h$ works against the memory. With small negative values it helps the memory instead.

# %% [markdown]
# ## Next
#
# [Vanishing and exploding gradients](02_vanishing_and_exploding.ipynb) does the same for whole networks and several kinds of
# cell. [The LSTM, gate by gate](https://github.com/recurrax/recurrax/blob/main/docs/understand/lstm.md) is the page of the documentation
# on this subject.
