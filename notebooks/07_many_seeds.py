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
# # Many seeds, sweeps and resume
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/07_many_seeds.ipynb)
#
# One run of a network is luck. You train 20 runs in one program, choose a learning rate, test it on new seeds, and interrupt a
# training that then goes on as if nothing had happened. It takes two to three minutes on a CPU, with progress bars.

# %%
# @title Install recurrax if it is missing, then import
import importlib.util

if importlib.util.find_spec("recurrax") is None:
    from IPython import get_ipython

    print("Installing recurrax, which takes about a minute.")
    get_ipython().run_line_magic("pip", 'install -q "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"')

import os
import tempfile

import jax
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.report import solved

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## A sweep
#
# `build(key)` makes a model from a random key. `Plan` names the seeds, and `sweep` names values for any argument of the optimiser or of
# `build`. Every seed at every point of the sweep is one run, and all runs are trained by one compiled program.

# %%
# @title Train four learning rates with five seeds each
task = rx.tasks.make_task("adding", 10 if SMALL else 20)
H, STEPS, CHUNK = (8, 20, 10) if SMALL else (16, 400, 25)
SEEDS = (0, 1) if SMALL else (0, 1, 2, 3, 4)


def build(key):
    rngs = nnx.Rngs(key)
    return rx.SequenceModel(rx.RNN(rx.LSTMCell(2, H, rngs=rngs)), 1, rngs=rngs)


rates = (1e-3, 1e-2, 1e-1, 1.0)
plan = training.Plan(steps=STEPS, chunk=CHUNK, seeds=SEEDS, sweep={"learning_rate": rates})
sweep = training.fit(build, task, training.adam, plan, training.Output(title="sweep"))
print(
    f"{len(sweep)} runs in {sweep.seconds + sweep.compile_seconds:.0f} s, of which {sweep.compile_seconds:.0f} s to compile\n"
)

print("learning rate   solved [95% interval]   test loss, the best and the worst seed")
for rate in rates:
    runs = np.isclose(sweep.settings["learning_rate"], rate)
    losses = sweep.test_loss[runs]
    print(f"{rate:13g}   {solved(sweep.solved_at[runs]):21}   {losses.min():.4f}, {losses.max():.4f}")

# %%
# @title Draw all runs
sweep.plot(["loss"], chance=task.chance_level(), criterion=0.01)

# %% [markdown]
# **What you should see.** Thin lines are single runs, thick ones the median of the five seeds of a learning rate. With 0.001 and 1 the
# medians stay at the dashed line of guessing: the steps are too small or too large. With 0.01 (orange) every seed goes below the dotted line. With 0.1 (pink) four
# of five do, and among them are the two fastest runs of all. Who had trained one seed with each rate might have chosen 0.1.

# %% [markdown]
# ## The best setting, on new seeds
#
# The seeds that chose the learning rate must not judge it: the best of many runs is partly luck. So we take five seeds that
# have chosen nothing.

# %%
# @title Train the best learning rate on new seeds
medians = {rate: np.median(sweep.loss[np.isclose(sweep.settings["learning_rate"], rate), -1]) for rate in rates}
best_rate = min(medians, key=medians.get)
new_seeds = tuple(seed + 100 for seed in SEEDS)
plan = training.Plan(steps=STEPS, chunk=CHUNK, seeds=new_seeds)
fresh = training.fit(build, task, training.adam(best_rate), plan, training.Output(title=f"learning rate {best_rate:g}"))
print(f"learning rate {best_rate:g}: solved {solved(fresh.solved_at)}")
for run, seed in enumerate(fresh.seeds):
    at = fresh.solved_at[run]
    print(
        f"seed {seed}: test loss {fresh.test_loss[run]:.4f}, {'solved after ' + str(at) + ' updates' if at >= 0 else 'not solved'}"
    )
best = int(np.argmin(fresh.loss.min(axis=1)))  # chosen on held-out puzzles, not on the test
print(f"best run: seed {fresh.seeds[best]}; its model is history.best({best})")

# %% [markdown]
# ## Interrupted, and resumed
#
# With a folder, `fit` saves its state after every evaluation. Here we interrupt it in the middle, as a crash or the end of a Colab
# session would. The same call goes on where it stopped, and gives the same bits as a run without an interruption.


# %%
# @title Interrupt a training and resume it
def interrupt(history):
    if history.steps[-1] == STEPS // 2:
        raise KeyboardInterrupt


plan = training.Plan(steps=STEPS, chunk=CHUNK, seeds=SEEDS[:2], stop_when_solved=False)
optimizer = training.adam(1e-2)
with tempfile.TemporaryDirectory() as folder:
    try:
        training.fit(build, task, optimizer, plan, training.Output(folder + "/run", "first call", on_chunk=interrupt))
    except KeyboardInterrupt:
        print("interrupted in the middle")
    resumed = training.fit(build, task, optimizer, plan, training.Output(folder + "/run", "second call"))
print(f"the second call went on at update {resumed.resumed_at} and ended at {resumed.steps[-1]}")

straight = training.fit(build, task, optimizer, plan, training.Output(title="without interruption"))
same = jax.tree.map(lambda a, b: bool((a == b).all()), resumed.run.model, straight.run.model)
print("every parameter equals that of a training without an interruption:", all(jax.tree.leaves(same)))

# %% [markdown]
# In Colab, give a folder in Google Drive: mount it, and use `training.Output("/content/drive/MyDrive/run")`.
#
# ## Next
#
# [Long sequences](08_long_sequences.ipynb) is about time and memory.
# [Train many seeds](https://github.com/recurrax/recurrax/blob/main/docs/howto/training.md) is the guide, with the same on the command line, and
# [GPU, TPU and clusters](https://github.com/recurrax/recurrax/blob/main/docs/scaling.md) says how runs are spread over devices.
