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
# # Your own cell
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/04_your_own_cell.ipynb)
#
# A cell is written in ten lines; in return it gets every engine, the layers, the diagnostics and the training of many seeds.

# %%
# Installs recurrax where it is missing, and says what JAX runs on: a GPU, a TPU or the CPU.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("recurrax") is None:
    source = "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", source])

import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from IPython.display import display
from jax.test_util import check_grads

import recurrax as rx
from recurrax import gradflow, training
from recurrax.initializers import lecun_normal, orthogonal
from recurrax.tasks import make_task

# %matplotlib inline
SMALL = "RECURRAX_SMALL" in os.environ  # the tests set it
LARGE = jax.default_backend() != "cpu"
print(f"{jax.default_backend()}: {jax.device_count()} device(s); jax {jax.__version__}")

# %% [markdown]
# ## Ten lines
#
# A GRU without its reset gate (Ravanelli et al., 2018, who have ReLU in place of tanh):
#
# $$z_t = \sigma(W_z x_t + U_z h_{t-1} + b_z), \quad n_t = \tanh(W_n x_t + U_n h_{t-1} + b_n), \quad
# h_t = z_t \odot h_{t-1} + (1 - z_t) \odot n_t$$
#
# A step is `update(carry, a)` with `a = project(x) + mix(carry)`, gate by gate. `project` sees all inputs at once and never the
# state; `mix` holds the recurrent weights and is affine in the state; `update` reads no parameter and works element by element.
# These laws are what the engines exploit. `AffineCell` has the `project` and the `mix` of this cell, so that its parameters and
# `update` are left to write.


# %%
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
print(rx.RNN(own)(xs).shape)

# %% [markdown]
# ## Every engine, and the test that they agree
#
# Values and gradients of each engine against the reference, a plain `lax.scan`. Lengths, masks and resets come with the layer.


# %%
def loss(cell, xs, backend):
    return jnp.mean(rx.RNN(cell, backend=backend)(xs) ** 2)


def largest(a, b):
    return max(float(abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


engines = {
    "Adjoint()": rx.Adjoint(),
    'Scan(checkpoint_every="sqrt")': rx.Scan(checkpoint_every="sqrt"),
    "Newton()": rx.Newton(),
    "Pallas()": rx.Pallas(),
}
value, gradient = jax.value_and_grad(loss, argnums=(0, 1))(own, xs, rx.Scan())
for name, engine in engines.items():
    other, its_gradient = jax.value_and_grad(loss, argnums=(0, 1))(own, xs, engine)
    differences = abs(value - other), largest(gradient, its_gradient)
    print(f"{name:32s} value differs by {differences[0]:.1e}, gradients by {differences[1]:.1e}")

check_grads(lambda cell: loss(cell, xs[:, :5], "auto"), (own,), order=1, modes=("rev", "fwd"), atol=1e-2, rtol=1e-2)
lengths = jnp.array([xs.shape[1], 7, 1, 0])
carry, _ = rx.RNN(own)(xs, seq_lengths=lengths, return_carry=True)
print("the carry of an empty sequence is the initial one:", bool((carry[3] == 0).all()))

# %% [markdown]
# ## Every diagnostic
#
# Where does its gradient go, beside the GRU's and the LSTM's?

# %%
cells = {"LightGRU": own, "GRU": rx.GRUCell(2, 16, rngs=nnx.Rngs(0)), "LSTM": rx.LSTMCell(2, 16, rngs=nnx.Rngs(0))}
log_norms = {
    name: jax.vmap(lambda xs, cell=cell: gradflow.state_gradients(cell, cell.initialize_carry((2,)), xs))(xs)
    for name, cell in cells.items()
}
display(gradflow.plot_gradients(log_norms))
for name, values in log_norms.items():
    print(f"{name:8s} {np.median(gradflow.slope(values)):+.3f} nats per step of lag")
eigenvalues = {name: gradflow.eigenvalues(c, c.initialize_carry((2,)), xs[0])[-1] for name, c in cells.items()}
display(gradflow.plot_eigenvalues(eigenvalues))

# %% [markdown]
# ## Training, many seeds at once

# %%
task = make_task("adding", 10 if SMALL else 30)


def build(key):
    rngs = nnx.Rngs(key)
    return rx.SequenceModel(rx.RNN(LightGRU(2, 16 if SMALL else 32, rngs=rngs)), 1, rngs=rngs)


plan = training.Plan(
    steps=20 if SMALL else 500, chunk=10 if SMALL else 25, seeds=(0, 1, 2), sweep={"learning_rate": (1e-2,)}
)
adam = functools.partial(training.adam, clip_norm=1.0)  # a gradient longer than 1 is scaled down to 1
history = training.fit(build, task, adam, plan)
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.semilogy(history.steps, history.loss.T)
ax.axhline(task.chance_level(), color="black", ls="--", lw=1, label="chance")
ax.set_xlabel("updates")
ax.set_ylabel("held-out MSE, each line a seed")
ax.legend()
plt.show()
print("updates to the criterion, by seed (-1: not met):", history.solved_at)

# %% [markdown]
# In the package, added to `cells.ALL`, it would also get all contract tests: every engine it supports, masks, resets,
# bfloat16, second derivatives, and the laws themselves.
