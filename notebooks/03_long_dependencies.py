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
# # Long dependencies: many seeds, and nothing lost
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/03_long_dependencies.ipynb)
#
# Tasks of memory, trained with several seeds and settings in one compiled program, interrupted and gone on with bit for bit.

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
import tempfile

import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.initializers import Chrono
from recurrax.report import solved
from recurrax.tasks import make_task

# %matplotlib inline
SMALL = "RECURRAX_SMALL" in os.environ  # the tests set it
LARGE = jax.default_backend() != "cpu"
print(f"{jax.default_backend()}: {jax.device_count()} device(s); jax {jax.__version__}")

# %% [markdown]
# ## The adding problem
#
# Two of T numbers are marked; at the end, give their sum. A task describes one example, `key -> Example`, and `vmap` makes a
# batch. It knows what guessing without memory scores, in closed form, and when it counts as solved.

# %%
T = 10 if SMALL else 30
adding = make_task("adding", T)
example = adding.sample(jax.random.key(0))
figure, ax = plt.subplots(figsize=(7, 2), layout="constrained")
ax.stem(np.asarray(example.inputs[:, 0]), markerfmt="o", linefmt="0.7", basefmt=" ", label="value")
marked = np.flatnonzero(np.asarray(example.inputs[:, 1]))
ax.plot(marked, np.asarray(example.inputs[marked, 0]), "o", color="tab:red", label="marked")
ax.set_xlabel("step")
ax.set_ylabel("value")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
print(f"chance: {adding.chance_level():.4f}; solved: {adding.criterion}")

# %% [markdown]
# ## Seeds and settings in one program
#
# `build(key, ...)` makes a model; every argument of it, or of the optimiser, can be swept. Each seed at each setting is a run,
# all runs are one compiled program, and all are reported.

# %%
SEEDS = (0, 1) if SMALL else (0, 1, 2, 3, 4)
STEPS, CHUNK, H = (20, 10, 8) if SMALL else (600, 50, 32)


def builder(cell_class, **options):
    def build(key):
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.RNN(cell_class(2, H, **options, rngs=rngs)), 1, rngs=rngs)

    return build


adam = functools.partial(training.adam, clip_norm=1.0)  # a gradient longer than 1 is scaled down to 1
networks = {"RNN": builder(rx.RNNCell), "GRU": builder(rx.GRUCell), "LSTM": builder(rx.LSTMCell)}
plan = training.Plan(steps=STEPS, chunk=CHUNK, seeds=SEEDS, sweep={"learning_rate": (3e-3, 1e-2)})
histories = {name: training.fit(build, adding, adam, plan) for name, build in networks.items()}

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3), sharey=True, layout="constrained")
for ax, (name, history) in zip(axes, histories.items(), strict=True):
    for run, rate in enumerate(history.settings["learning_rate"]):
        ax.semilogy(history.steps, history.loss[run], color="tab:blue" if rate < 5e-3 else "tab:orange", lw=1)
    ax.axhline(adding.chance_level(), color="black", ls="--", lw=1)
    ax.set_title(name)
    ax.set_xlabel("updates")
axes[0].set_ylabel("held-out MSE, each line a seed")
axes[-1].plot([], [], color="tab:blue", label="learning rate 0.003")
axes[-1].plot([], [], color="tab:orange", label="learning rate 0.01")
axes[-1].plot([], [], color="black", ls="--", label="chance")
axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
for name, history in histories.items():
    for rate in np.unique(history.settings["learning_rate"]):
        runs = history.settings["learning_rate"] == rate
        print(f"{name:5s} learning rate {rate:<6g} solved {solved(history.solved_at[runs])}")

# %% [markdown]
# ## Copy memory, and how the forget gate starts
#
# Ten symbols are shown, then blanks, then they are asked for. The loss is the mean over all steps, so a network that only
# knows when to answer already scores the chance level; what counts is what lies below.

# %%
copy = make_task("copy", 2 if SMALL else 10)
long = float(copy.sequence_length)


def lstm(forget_bias):
    def build(key):
        rngs = nnx.Rngs(key)
        cell = rx.LSTMCell(copy.in_features, H, forget_bias=forget_bias, rngs=rngs)
        return rx.SequenceModel(rx.RNN(cell), copy.out_features, rngs=rngs)

    return build


plan = training.Plan(
    steps=20 if SMALL else 800, chunk=CHUNK, seeds=SEEDS[:3], sweep={"learning_rate": (1e-2,)}, stop_when_solved=False
)
starts = {"forget bias 0": 0.0, "forget bias 1": 1.0, "chrono": Chrono(long)}
histories = {name: training.fit(lstm(bias), copy, adam, plan) for name, bias in starts.items()}
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for color, (name, history) in zip(("tab:blue", "tab:orange", "tab:green"), histories.items(), strict=True):
    ax.plot(history.steps, history.loss.T, color=color, lw=1, label=[name] + [None] * (len(history.loss) - 1))
ax.axhline(copy.chance_level(), color="black", ls="--", lw=1, label="chance")
ax.set_ylim(0, 1.5 * copy.chance_level())
ax.set_xlabel("updates")
ax.set_ylabel("held-out cross entropy (nats)")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
for name, history in histories.items():
    print(f"{name:14s} test loss by seed: {np.round(history.test_loss, 3)}, chance {copy.chance_level():.3f}")

# %% [markdown]
# ## Interrupted, and gone on with
#
# With a folder a fit saves as it goes. The same call goes on where it stopped, after a crash too, and a larger number of steps
# continues a run that has ended: the result is that of a run without interruption, bit for bit.

# %%
half = training.Plan(steps=STEPS // 2, chunk=CHUNK, seeds=SEEDS[:2], sweep={"learning_rate": (1e-2,)})
whole = training.Plan(
    steps=STEPS, chunk=CHUNK, seeds=SEEDS[:2], sweep={"learning_rate": (1e-2,)}, stop_when_solved=False
)
with tempfile.TemporaryDirectory() as folder:
    output = training.Output(folder + "/gru")
    first = training.fit(networks["GRU"], adding, adam, half, output)
    second = training.fit(networks["GRU"], adding, adam, whole, output)
print(f"first call: {first.steps[-1]} updates; second call went on at {second.resumed_at}, to {second.steps[-1]}")
straight = training.fit(networks["GRU"], adding, adam, whole)
same = jax.tree.map(lambda a, b: bool((a == b).all()), second.run.model, straight.run.model)
print("every parameter equal to that of a run without interruption:", all(jax.tree.leaves(same)))
