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
# # Cells: the LSTM, equation by equation
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/01_cells.ipynb)
#
# A cell says what happens in one step. Here the LSTM's step is written out by hand and compared, its gates are looked at,
# and the program with which many articles introduce the LSTM is run: three examples, and the next number predicted.

# %%
# Installs recurrax where it is missing, and says what JAX runs on: a GPU, a TPU or the CPU.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("recurrax") is None:
    source = "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", source])

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx

import recurrax as rx
from recurrax import gradflow

# %matplotlib inline
SMALL = "RECURRAX_SMALL" in os.environ  # the tests set it
LARGE = jax.default_backend() != "cpu"
print(f"{jax.default_backend()}: {jax.device_count()} device(s); jax {jax.__version__}")

# %% [markdown]
# ## One step
#
# $$\begin{aligned}
# f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) && \text{keep: the forget gate}\\
# i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) && \text{write: the input gate}\\
# \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) && \text{what would be written}\\
# C_t &= f_t \odot C_{t-1} + i_t \odot \tilde c_t && \text{the cell state}\\
# o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) && \text{read: the output gate}\\
# h_t &= o_t \odot \tanh(C_t) && \text{the output}
# \end{aligned}$$
#
# The parameters have an axis of gates in front, in the order f, i, c, o; then a row for each output unit.

# %%
cell = rx.LSTMCell(in_features=3, hidden_features=5, rngs=nnx.Rngs(0))
W, U, b = (np.asarray(p[...]) for p in (cell.kernel, cell.recurrent_kernel, cell.bias))
print("W", W.shape, " U", U.shape, " b", b.shape)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def by_hand(C, h, x):
    f = sigmoid(W[0] @ x + U[0] @ h + b[0])
    i = sigmoid(W[1] @ x + U[1] @ h + b[1])
    c_tilde = np.tanh(W[2] @ x + U[2] @ h + b[2])
    C = f * C + i * c_tilde
    o = sigmoid(W[3] @ x + U[3] @ h + b[3])
    return C, o * np.tanh(C)


rng = np.random.default_rng(0)
C, h, x = (rng.normal(size=n).astype(np.float32) for n in (5, 5, 3))
(C_ours, h_ours), y = cell((C, h), x)
C_hand, h_hand = by_hand(C, h, x)
print("largest difference:", max(abs(C_ours - C_hand).max(), abs(h_ours - h_hand).max()))

# %% [markdown]
# ## A sequence
#
# A layer runs the cell over time. Parameters and results are plain JAX arrays: `jax.jit`, `jax.grad` and `jax.vmap` take the
# layer as it is.

# %%
xs = jnp.asarray(rng.normal(size=(2, 7, 3)), jnp.float32)  # [B, T, D]
layer = rx.RNN(cell)
print("outputs", layer(xs).shape)
gradient = jax.grad(lambda layer: layer(xs)[:, -1].sum())(layer)
print("the gradient is a layer too:", type(gradient).__name__, gradient.cell.kernel[...].shape)

# %% [markdown]
# ## The gates, looked at
#
# The input is silent but for three pulses. With forget bias 1 the forget gate keeps 73% of the cell state per step where
# nothing else speaks; the pulses open and shut the gates for a moment.

# %%
T = 40
pulses = np.zeros((T, 1), np.float32)
pulses[[5, 15, 30], 0] = (2, -2, 3)
small = rx.LSTMCell(1, 8, forget_bias=1.0, rngs=nnx.Rngs(1))
gates = gradflow.gate_activations(small, small.initialize_carry((1,)), jnp.asarray(pulses))
figure, axes = plt.subplots(5, 1, figsize=(7, 6), sharex=True, layout="constrained", height_ratios=(1, 2, 2, 2, 2))
axes[0].plot(pulses[:, 0], color="black")
axes[0].set_ylabel("input")
names = {"f": "forget", "i": "input", "c_tilde": "candidate", "o": "output"}
for ax, (name, label) in zip(axes[1:], names.items(), strict=True):
    low = -1 if name == "c_tilde" else 0
    image = ax.imshow(np.asarray(gates[name]).T, aspect="auto", vmin=low, vmax=1, cmap="viridis")
    ax.set_ylabel(f"{label}\nunit")
    figure.colorbar(image, ax=ax)
axes[-1].set_xlabel("step t")
plt.show()

# %% [markdown]
# ## The program of the articles
#
# In Keras: `LSTM(50, activation="relu")`, `Dense(1)`, Adam, mean squared error, 200 epochs on three examples,
# [1, 2, 3] -> 4, [2, 3, 4] -> 5, [3, 4, 5] -> 6; then [4, 5, 6] is asked for. Three examples make one batch, so an epoch is
# one update. It is usually run once; here it is run with many seeds at once.

# %%
inputs = jnp.array([[1, 2, 3], [2, 3, 4], [3, 4, 5]], jnp.float32)[:, :, None]  # [B, T, D]
targets = jnp.array([[4], [5], [6]], jnp.float32)
asked = jnp.array([[4, 5, 6]], jnp.float32)[:, :, None]
EPOCHS, SEEDS = (20 if SMALL else 200), (3 if SMALL else 20)
optimizer = optax.adam(1e-3)


def build(key):
    rngs = nnx.Rngs(key)
    cell = rx.LSTMCell(1, 50, activation_fn=jax.nn.relu, kernel_init=rx.initializers.glorot_uniform(), rngs=rngs)
    return rx.SequenceModel(rx.RNN(cell), 1, read="last", rngs=rngs)


def loss(model):
    return jnp.mean((model(inputs) - targets) ** 2)


def train(key):
    model = build(key)

    def epoch(carry, _):
        model, state = carry
        value, gradient = jax.value_and_grad(loss)(model)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(model, updates), state), value

    (model, _), losses = jax.lax.scan(epoch, (model, optimizer.init(model)), length=EPOCHS)
    return model(asked)[0, 0], losses


keys = jax.vmap(jax.random.key)(jnp.arange(SEEDS))
predicted, losses = jax.jit(jax.vmap(train))(keys)
print("the number after 4, 5, 6, by seed:", np.round(np.asarray(predicted), 2))
print(f"median {np.median(predicted):.2f}, range {predicted.min():.2f} to {predicted.max():.2f}; the rule would give 7")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.semilogy(np.asarray(losses).T, color="tab:blue", alpha=0.4)
left.set_xlabel("epoch")
left.set_ylabel("mean squared error")
left.set_title("training, each line a seed")
right.plot(np.asarray(predicted), "o")
right.axhline(7, color="black", ls="--", lw=1, label="7")
right.set_xlabel("seed")
right.set_ylabel("number predicted after 4, 5, 6")
right.legend()
plt.show()

# %% [markdown]
# Three examples do not tell a rule from a table. What a cell can remember, and for how long, is the subject of the next
# notebooks.
