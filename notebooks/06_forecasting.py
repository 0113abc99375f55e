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
# # Forecasting with quantiles
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/06_forecasting.ipynb)
#
# A GRU forecasts the electricity demand of the next 24 hours, with intervals, beside the forecasts that everyone should try first.
# The data are kept by `recurrax datasets get electricity`; without them a synthetic series takes their place. It takes a minute or two
# on a CPU.

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
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import datasets, training
from recurrax.datasets import Series
from recurrax.heads import Quantiles
from recurrax.tasks import Forecast

# %matplotlib inline
SMALL = "RECURRAX_SMALL" in os.environ  # the tests set it
print(f"{jax.default_backend()}: {jax.device_count()} device(s); jax {jax.__version__}")

# %% [markdown]
# ## The series
#
# Half-hours of demand in England and Wales in the summer of 2000 (Taylor, 2003), or a series like it.

# %%
DAY, WEEK = 48, 336  # half-hours


def synthetic(weeks, seed=0):
    """A daily and a weekly rhythm, and a deviation that fades over a few days."""
    random = np.random.default_rng(seed)
    steps = np.arange(weeks * WEEK)
    rhythm = -6000 * np.cos(2 * np.pi * steps / DAY) - 3000 * (steps // DAY % 7 >= 5)
    deviation = np.zeros(len(steps))
    for step in steps[1:]:
        deviation[step] = 0.99 * deviation[step - 1] + random.normal(0, 90)
    return 30_000 + rhythm + deviation


try:
    demand = datasets.read("electricity")["demand"].astype(float)
    print(len(demand), "half-hours of real demand")
except datasets.MissingData:
    demand = synthetic(6 if SMALL else 12)
    print("recurrax datasets get electricity   gets the real series; this one is made up:", len(demand), "half-hours")

figure, ax = plt.subplots(figsize=(9, 2.4), layout="constrained")
ax.plot(np.arange(2 * WEEK) / DAY, demand[: 2 * WEEK] / 1000, color="black", lw=1)
ax.set_xlabel("days")
ax.set_ylabel("demand, GW")
ax.set_title("Two weeks: the rhythm of the day and of the week", loc="left")
plt.show()

# %% [markdown]
# ## What to beat
#
# The same half-hour of yesterday, or of a week ago. In the test part, the last 15%, the week wins, and it is a strong forecast.

# %%
test_from = int(0.85 * len(demand))
for name, lag in (("yesterday", DAY), ("a week ago", WEEK)):
    error = np.abs(demand[test_from:] - demand[test_from - lag : len(demand) - lag]).mean()
    print(f"{name:12s} mean absolute error {error:6.0f} MW")

# %% [markdown]
# ## Windows
#
# The network need not learn the rhythm again. It forecasts what remains: how far demand will be from a week before. It reads the past
# half-hours of that difference, the demand, and the time of the day and of the week. The series is cut in order of time, and the scaler
# sees the training part alone.

# %%
steps = np.arange(WEEK, len(demand))
columns = {"difference": demand[WEEK:] - demand[:-WEEK], "demand": demand[WEEK:]}
for name, period in (("day", DAY), ("week", WEEK)):
    columns[f"sine of the {name}"] = np.sin(2 * np.pi * steps / period)
    columns[f"cosine of the {name}"] = np.cos(2 * np.pi * steps / period)

series = Series(np.column_stack(list(columns.values())), names=tuple(columns))
parts = series.split((0.7, 0.15, 0.15), name="electricity").scaled(columns=("difference", "demand"))
length, horizon = (12, 8) if SMALL else (DAY, DAY)
data = parts.windows(length, horizon, targets="difference")
task = Forecast(data, Quantiles((0.05, 0.25, 0.5, 0.75, 0.95)))
print(data.sizes, "windows to train, to choose and to test;", task.out_features, "numbers from the model:")
print(f"{task.horizon} half-hours ahead, {task.head.parameters} quantiles each")

# %% [markdown]
# ## Training
#
# Three seeds in one program. The loss is the pinball loss, whose minimum lies at the right quantile; the quantiles cannot cross. The
# model with the lowest validation loss is kept, and a run stops when it gets no better.


# %%
def build(key):
    rngs = nnx.Rngs(key)
    layer = rx.RNN(rx.GRUCell(task.in_features, 8 if SMALL else 32, rngs=rngs))
    return rx.SequenceModel(layer, task.out_features, read="last", dropout=0.2, rngs=rngs)


plan = training.Plan(
    steps=20 if SMALL else 400, chunk=10 if SMALL else 25, batch_size=32, seeds=(0, 1, 2), patience=6,
    sweep={"learning_rate": (2e-3,)},
)  # fmt: skip
history = training.fit(build, task, functools.partial(training.adam, clip_norm=1.0), plan)

figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(history.steps, history.loss.T)
ax.axhline(task.chance_level(), color="black", ls="--", lw=1, label="best constant answer")
ax.set_xlabel("updates")
ax.set_ylabel("validation loss, each line a seed")
ax.legend()
plt.show()

# %% [markdown]
# ## The test
#
# The error of the median beside that of last week, on the same windows, and the share of the test in the 90% interval.

# %%
differences = data.scalers.targets.inverse(np.asarray(data.test.targets))[..., 0]  # demand less last week's, in MW
last_week = np.abs(differences).mean()
print(f"last week    mean absolute error {last_week:6.0f} MW")
for run in range(len(history)):
    error, covered = (history.test_metrics[name][run] for name in ("mae", "coverage"))
    print(f"GRU, seed {run}  mean absolute error {error:6.0f} MW; the 90% interval holds {covered:.0%}")

# %% [markdown]
# ## The fan
#
# Forecasts of three days, each made where the one before ends. An interval widens with the distance.

# %%
outputs = training.predict(history.best(int(np.argmin(history.test_loss))), task, "test")
quantiles = np.asarray(task.head.all(outputs)) * data.scalers.targets.scale[0] + data.scalers.targets.shift[0]
start = len(demand) - len(parts.test.values) + length  # of the first forecast
figure, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
for index in range(0, min(3 * horizon, len(quantiles)), horizon):
    rows = start + index + np.arange(horizon)
    fan = (demand[rows - WEEK, None] + quantiles[index]) / 1000
    x, first = rows / DAY, index == 0
    ax.fill_between(x, fan[:, 0], fan[:, 4], color="#009E73", alpha=0.2, lw=0, label="90% interval" if first else None)
    ax.fill_between(x, fan[:, 1], fan[:, 3], color="#009E73", alpha=0.35, lw=0, label="50% interval" if first else None)
    ax.plot(x, fan[:, 2], color="#009E73", lw=1.4, label="median" if first else None)
    ax.plot(x, demand[rows - WEEK] / 1000, color="0.5", lw=1, ls="--", label="last week" if first else None)
    ax.plot(x, demand[rows] / 1000, color="black", lw=1.2, label="what came" if first else None)
ax.set_xlabel("day of the series")
ax.set_ylabel("demand, GW")
ax.legend(ncols=3)
plt.show()

# %% [markdown]
# `python -m experiments.forecasting --preset table` adds ridge regression, STL + AR, other cells, the weather and shares, with intervals for
# every comparison. There a weekly forecast with one fitted coefficient for each step ahead is the one to beat.
