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
# # Your own cell in ten lines
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/06_your_own_cell.ipynb)
#
# You write a new recurrent cell, check that it keeps the rules that the engines rely on, look at its gradient, and train it.
# It takes about a minute on a CPU.

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
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import gradflow, training
from recurrax.initializers import lecun_normal, orthogonal

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## The cell
#
# We take the GRU without its reset gate (after Ravanelli et al., 2018, who use ReLU in place of tanh):
#
# $$z_t = \sigma(W_z x_t + U_z h_{t-1} + b_z), \quad n_t = \tanh(W_n x_t + U_n h_{t-1} + b_n), \quad
# h_t = z_t \odot h_{t-1} + (1 - z_t) \odot n_t$$
#
# A cell defines one step. In recurrax a step is `update(carry, a)` with `a = project(x) + mix(carry)`, one entry for each gate:
#
# - `project(x)` is the part that comes from the input. It never sees the state.
# - `mix(carry)` is the part that comes from the state. It is linear in the state, plus a constant.
# - `update(carry, a)` makes the new state. It works on each unit by itself and reads no parameter.
#
# `AffineCell` already has a `project` and a `mix` with matrices and a bias, so you write the parameters and `update`.


# %%
# @title Write the cell
class LightGRU(rx.cells.AffineCell):
    def __init__(self, in_features, hidden_features, *, rngs):
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.kernel = rx.Kernel.draw(lecun_normal(), rngs.params(), 2, (D, H), jnp.float32)
        self.recurrent_kernel = rx.RecurrentKernel.draw(orthogonal(), rngs.params(), 2, (H, H), jnp.float32)
        self.bias = nnx.Param(jnp.zeros((2, H)))

    def update(self, h, a):
        z, n = jax.nn.sigmoid(a[0]), jnp.tanh(a[1])
        return z * h + (1 - z) * n


own = LightGRU(2, 16, rngs=nnx.Rngs(0))
xs = jax.random.normal(jax.random.key(0), (4, 20 if SMALL else 50, 2))  # [B, T, D]
print("outputs:", rx.RNN(own)(xs).shape)

# %% [markdown]
# ## Check the rules
#
# The engines may reorder and parallelise a step because of the three rules above, so a cell that breaks one would give wrong results.
# Two short checks of the cell, and a comparison of the engines, find that out. For a cell in the package the test suite does all of this, and more, by itself.

# %%
# @title Check the three rules and the engines
keys = jax.random.split(jax.random.key(1), 4)
h, g = (jax.random.normal(key, (16,)) for key in keys[:2])

# mix is linear plus a constant: a point between two states is mapped to the point between their images
middle, ends = own.mix(0.3 * h + 0.7 * g), (own.mix(h), own.mix(g))
print(
    "mix is affine:", all(jnp.allclose(m, 0.3 * a + 0.7 * b, atol=1e-5) for m, a, b in zip(middle, *ends, strict=True))
)

# update works on each unit by itself: its derivative in the state is a diagonal matrix
a = tuple(jax.random.normal(key, (16,)) for key in keys[2:])
jacobian = jax.jacobian(own.update)(h, a)
print("update works unit by unit:", bool(jnp.allclose(jacobian, jnp.diag(jnp.diag(jacobian)))))


# every engine gives the values and the gradients of the plain loop
@jax.jit(static_argnums=2)
def value_and_gradient(cell, xs, backend):
    return jax.value_and_grad(lambda cell, xs: (rx.RNN(cell, backend=backend)(xs) ** 2).mean(), (0, 1))(cell, xs)


reference = jax.tree.leaves(value_and_gradient(own, xs, rx.Scan()))
engines = {
    "Adjoint()": rx.Adjoint(),
    "Scan(checkpoint_every='sqrt')": rx.Scan(checkpoint_every="sqrt"),
    "Newton()": rx.Newton(),
}
for name, engine in engines.items():
    found = jax.tree.leaves(value_and_gradient(own, xs, engine))
    largest = max(float(abs(p - q).max()) for p, q in zip(found, reference, strict=True))
    print(f"{name:30} largest difference to the loop, gradients included: {largest:.0e}")

# %% [markdown]
# Sequences of different lengths, masks and resets come with the layer. Nothing has to be written for them:

# %%
# @title Run sequences of different lengths
lengths = jnp.array([xs.shape[1], 7, 1, 0])
carry, ys = rx.RNN(own)(xs, seq_lengths=lengths, return_carry=True)
print("outputs after the end of a sequence are 0:", bool((ys[1, 7:] == 0).all()))
print("an empty sequence keeps the first state:", bool((carry[3] == 0).all()))

# %% [markdown]
# ## Its gradient
#
# How much of the error arrives $k$ steps back, beside the GRU and the LSTM, all with random weights.

# %%
# @title Draw its gradient
cells = {"LightGRU": own, "GRU": rx.GRUCell(2, 16, rngs=nnx.Rngs(0)), "LSTM": rx.LSTMCell(2, 16, rngs=nnx.Rngs(0))}


@jax.jit
def measure(cell):
    return jax.vmap(lambda xs: gradflow.state_gradients(cell, cell.initialize_carry((2,)), xs))(xs)


log_norms = {name: measure(cell) for name, cell in cells.items()}
for name, values in log_norms.items():
    print(f"{name:8} a factor of {np.exp(np.median(gradflow.slope(values))):.2f} at each step back")
gradflow.plot_gradients(log_norms)

# %% [markdown]
# **What you should see.** The black line of the LightGRU falls most slowly: 50 steps back a ten-thousandth of the error is left, in the LSTM a
# hundred-thousandth, and in the GRU a billionth. Without a reset gate nothing comes between the old state and the new one but $z$. All three
# cells are untrained.

# %% [markdown]
# ## Train it
#
# The adding problem of 30 steps, three seeds at once.


# %%
# @title Train three copies
task = rx.tasks.make_task("adding", 10 if SMALL else 30)


def build(key):
    rngs = nnx.Rngs(key)
    return rx.SequenceModel(rx.RNN(LightGRU(2, 16 if SMALL else 32, rngs=rngs)), 1, rngs=rngs)


plan = training.Plan(steps=20 if SMALL else 600, chunk=10 if SMALL else 25, seeds=(0, 1, 2))
optimizer = training.adam(1e-2, clip_norm=1.0)
history = training.fit(build, task, optimizer, plan, training.Output(title="LightGRU"))
history.plot(["loss"], chance=task.chance_level(), criterion=0.01)

# %% [markdown]
# **What you should see.** The thin lines are the three seeds and the thick one is their median. The loss leaves the dashed line of guessing after some
# 25 to 50 updates, and every seed is below the dotted line, the criterion of the task, by update 150. A dot marks where a seed met it, and the training stops
# when all have.

# %% [markdown]
# ## Next
#
# [Many seeds](07_many_seeds.ipynb) trains many copies and settings at once.
# [Write your own cell](https://github.com/recurrax/recurrax/blob/main/docs/howto/cell.md) is the guide: linear cells, gates whose two parts are needed
# apart, and cells that cannot keep the rules.
