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
# # Vanishing gradients, measured
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/02_vanishing_gradients.ipynb)
#
# The gradient that reaches step t from step T is a product of T - t Jacobians. Here it is measured against the lag, for six
# cells and starts, held against closed forms, and explained by the spectrum of the product and by the gates.

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
import numpy as np
from flax import nnx
from IPython.display import display

import recurrax as rx
from recurrax import gradflow
from recurrax.initializers import Chrono, identity, normal, zeros

# %matplotlib inline
SMALL = "RECURRAX_SMALL" in os.environ  # the tests set it
LARGE = jax.default_backend() != "cpu"
print(f"{jax.default_backend()}: {jax.device_count()} device(s); jax {jax.__version__}")

# %%
D, H = 2, 32
T, EXAMPLES = (30, 4) if SMALL else (400, 64) if LARGE else (100, 16)
rngs = nnx.Rngs(0)
networks = {
    "tanh RNN": rx.RNNCell(D, H, rngs=rngs),
    "IRNN": rx.RNNCell(
        D, H, activation_fn=jax.nn.relu, kernel_init=normal(0.001), recurrent_kernel_init=identity(), rngs=rngs
    ),
    "GRU": rx.GRUCell(D, H, rngs=rngs),
    "LSTM, forget bias 0": rx.LSTMCell(D, H, forget_bias=0.0, rngs=rngs),
    "LSTM, forget bias 1": rx.LSTMCell(D, H, forget_bias=1.0, rngs=rngs),
    "LSTM, chrono": rx.LSTMCell(D, H, forget_bias=Chrono(T), rngs=rngs),
}
examples = jax.random.normal(jax.random.key(0), (EXAMPLES, T, D))  # [S, T, D]

# %% [markdown]
# ## The gradient against the lag
#
# $g_t = \partial L / \partial s_t$ with the loss at the last step only, for each example by itself: the norm of a mean over
# examples would be another quantity. The state $s$ is all of the carry, so (C, h) in the LSTM. Norms are kept as logarithms:
# nothing underflows, however far back.

# %%
log_norms = {
    name: jax.vmap(lambda xs, cell=cell: gradflow.state_gradients(cell, cell.initialize_carry((D,)), xs))(examples)
    for name, cell in networks.items()
}
display(gradflow.plot_gradients(log_norms))
for name, values in log_norms.items():
    slopes = np.asarray(gradflow.slope(values))
    print(f"{name:20s} {np.median(slopes):+.3f} nats per step of lag, a factor of {np.exp(np.median(slopes)):.3f}")

# %% [markdown]
# ## Is the instrument right?
#
# Without recurrent and input weights the LSTM's state is $C_t = \sigma(b_f)\, C_{t-1} + \dots$, so the gradient must fall
# by $\ln \sigma(b_f)$ per step, exactly.

# %%
for bias in (0.0, 1.0, 3.0):
    silent = rx.LSTMCell(D, H, forget_bias=bias, kernel_init=zeros, recurrent_kernel_init=zeros, rngs=nnx.Rngs(0))
    measured = gradflow.slope(gradflow.state_gradients(silent, silent.initialize_carry((D,)), examples[0]))
    print(f"forget bias {bias:g}: measured {float(measured):+.6f}, closed form {float(jax.nn.log_sigmoid(bias)):+.6f}")

# %% [markdown]
# ## The product of Jacobians
#
# The gradient is one vector; the product $J_{t:T} = J_T \cdots J_{t+1}$ says what can happen to any. Its largest singular
# value bounds the gradient; the geometric mean and the smallest say how much of the state is lost. They are computed by QR in
# the log domain.

# %%
chosen = ("tanh RNN", "LSTM, forget bias 1", "LSTM, chrono")
spectra = {
    name: gradflow.jacobian_spectrum(networks[name], networks[name].initialize_carry((D,)), examples[0])
    for name in chosen
}
display(gradflow.plot_spectrum(spectra))

# %% [markdown]
# ## The gates
#
# A forget gate at f keeps a memory for $\tau = -1 / \ln f$ steps. Chrono initialisation (Tallec & Ollivier, 2018) spreads
# these time constants over the length of the task.

# %%
lstms = {name: networks[name] for name in ("LSTM, forget bias 0", "LSTM, forget bias 1", "LSTM, chrono")}
forget = {
    name: gradflow.gate_activations(cell, cell.initialize_carry((D,)), examples[0])["f"] for name, cell in lstms.items()
}
display(gradflow.plot_time_constants({name: gradflow.time_constants(f) for name, f in forget.items()}))
display(gradflow.plot_saturation({name: gradflow.saturation(f) for name, f in forget.items()}))

# %% [markdown]
# ## How far back does an input count?
#
# The horizon is the longest lag at which the derivative of the last output in an input is at least 1% of its largest.

# %%
for name, cell in networks.items():
    start = cell.initialize_carry((D,))
    sensitivity = jax.vmap(lambda xs, cell=cell, start=start: gradflow.input_sensitivity(cell, start, xs))(examples)
    mean = jax.nn.logsumexp(sensitivity, axis=0) - jnp.log(EXAMPLES)
    print(f"{name:20s} horizon {int(gradflow.memory_horizon(mean))} of {T - 1} steps")

# %% [markdown]
# All of this is about networks before training. `python -m experiments.vanishing_gradients` trains them too, and
# `python -m experiments.initialization` shows that the slope at the start does not rank how soon a task is learned.
