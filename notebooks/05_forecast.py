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
# # Forecast, with intervals
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/05_forecast.ipynb)
#
# A GRU forecasts the demand for electricity of the next 24 hours, with intervals that say how sure it is, beside the forecasts that everyone
# should try first. It takes about two minutes on a CPU, with a progress bar.

# %%
# @title Install recurrax if it is missing, then import
import importlib.util

if importlib.util.find_spec("recurrax") is None:
    from IPython import get_ipython

    print("Installing recurrax, which takes about a minute.")
    get_ipython().run_line_magic("pip", 'install -q "recurrax[experiments] @ git+https://github.com/recurrax/recurrax"')

import os

import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import datasets, training
from recurrax.datasets import Series
from recurrax.heads import Quantiles
from recurrax.palette import look
from recurrax.tasks import Forecast

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")

# %% [markdown]
# ## The series
#
# The demand in England and Wales at every half hour of the summer of 2000 (Taylor, 2003). `recurrax datasets get electricity` downloads
# it once; where it is missing, a made-up series with the same rhythms takes its place.

# %%
# @title Load the series and draw two weeks
DAY, WEEK = 48, 336  # half hours


def made_up(weeks, seed=0):
    """A daily and a weekly rhythm, and a deviation that fades over a few days."""
    random = np.random.default_rng(seed)
    steps = np.arange(weeks * WEEK)
    rhythm = -6000 * np.cos(2 * np.pi * steps / DAY) - 3000 * (steps // DAY % 7 >= 5)
    deviation = np.zeros(len(steps))
    for step in steps[1:]:
        deviation[step] = 0.99 * deviation[step - 1] + random.normal(0, 90)
    return 30_000 + rhythm + deviation


try:
    demand = datasets.read("electricity")["demand"].astype(float)[: 6 * WEEK if SMALL else None]
    print(f"{len(demand):,} half hours of real demand")
except datasets.MissingData:
    demand = made_up(6 if SMALL else 12)
    print(f"{len(demand):,} made-up half hours. For the real series run: recurrax datasets get electricity")

figure, ax = plt.subplots(figsize=(8, 2.4), layout="constrained", dpi=90)
ax.plot(np.arange(2 * WEEK) / DAY, demand[: 2 * WEEK] / 1000, color="black", lw=1)
ax.set(xlabel="day", ylabel="demand (GW)")
plt.show()

# %% [markdown]
# **What you should see.** Five high days and two lower ones, twice: working days and weekends. Each day has a low in the early
# morning and a high plateau at daytime.

# %% [markdown]
# ## What to beat
#
# The simplest forecasts repeat what was measured at the same time of yesterday, or of a week ago. We measure them on the last 15% of the
# series, the test part.

# %%
# @title Measure the two simplest forecasts
test_from = int(0.85 * len(demand))
for name, lag in (("yesterday", DAY), ("a week ago", WEEK)):
    error = np.abs(demand[test_from:] - demand[test_from - lag : len(demand) - lag]).mean()
    print(f"{name:10} mean absolute error {error:5.0f} MW")

# %% [markdown]
# ## What the network reads
#
# The network need not learn the weekly rhythm again. It forecasts the *difference* to a week before, and reads the past day of that
# difference, the demand, and the time of day and week. The series is cut in order of time, and scaled by what the training part alone shows.
#
# The answer for each half hour is not one number but five *quantiles*: with probability 5% the truth lies below the first, with 50%
# below the third, and so on. The loss, the pinball loss, is smallest at the right quantiles.

# %%
# @title Cut the series into windows
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
print("windows to train, to choose the best model, and to test:", data.sizes)
print(f"each answer: {task.horizon} half hours ahead, {task.head.parameters} quantiles each")

# %% [markdown]
# ## Training
#
# Three seeds at once. The model with the lowest loss on the validation part is kept, and a run stops when it gets no better.


# %%
# @title Train three GRUs
def build(key):
    rngs = nnx.Rngs(key)
    layer = rx.RNN(rx.GRUCell(task.in_features, 8 if SMALL else 32, rngs=rngs))
    return rx.SequenceModel(layer, task.out_features, read="last", dropout=0.2, rngs=rngs)


plan = training.Plan(steps=20 if SMALL else 400, chunk=10 if SMALL else 25, batch_size=32, seeds=(0, 1, 2), patience=6)
optimizer = training.adam(2e-3, clip_norm=1.0)
history = training.fit(build, task, optimizer, plan, training.Output(title="GRU"))
history.plot(["loss"])

# %% [markdown]
# **What you should see.** The loss falls steeply for about 50 updates and then creeps down, with ups and downs. Thin lines are the seeds, and the thick line is
# their median. Because the best model of each seed is kept, the ups and downs at the end do no harm. ("0/3 solved" is written because this task
# has no criterion that would count as solved.)

# %% [markdown]
# ## The test
#
# The error of the middle quantile beside that of last week, on the same windows, and how often the truth lies in the 90% interval.

# %%
# @title Test the GRUs beside last week
differences = data.scalers.targets.inverse(np.asarray(data.test.targets))[..., 0]  # demand less last week's, in MW
print(f"last week    mean absolute error {np.abs(differences).mean():5.0f} MW")
for run in range(len(history)):
    error, covered = (history.test_metrics[name][run] for name in ("mae", "coverage"))
    print(f"GRU, seed {run}  mean absolute error {error:5.0f} MW; the 90% interval holds {covered:.0%}")

# %% [markdown]
# ## Three days of forecasts
#
# Each day is forecast in one piece, from what was known at its start.

# %%
# @title Draw the forecasts with their intervals
outputs = training.predict(history.best(int(np.argmin(history.test_loss))), task, "test")
quantiles = np.asarray(task.head.all(outputs)) * data.scalers.targets.scale[0] + data.scalers.targets.shift[0]
start = len(demand) - len(parts.test.values) + length  # of the first forecast
color = look("GRU")["color"]
figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained", dpi=90)
for index in range(0, min(3 * horizon, len(quantiles)), horizon):
    rows = start + index + np.arange(horizon)
    fan = (demand[rows - WEEK, None] + quantiles[index]) / 1000
    x, named = rows / DAY, index == 0
    ax.fill_between(x, fan[:, 0], fan[:, 4], color=color, alpha=0.2, lw=0, label="90% interval" if named else None)
    ax.fill_between(x, fan[:, 1], fan[:, 3], color=color, alpha=0.35, lw=0, label="50% interval" if named else None)
    ax.plot(x, fan[:, 2], color=color, lw=1.4, label="middle quantile" if named else None)
    ax.plot(x, demand[rows - WEEK] / 1000, color="0.5", lw=1, ls="--", label="last week" if named else None)
    ax.plot(x, demand[rows] / 1000, color="black", lw=1.2, label="what came" if named else None)
ax.set(xlabel="day of the series", ylabel="demand (GW)")
ax.legend(ncols=3, fontsize=8)
plt.show()

# %% [markdown]
# **What you should see.** The black line is what came. The green line, the middle quantile, follows it, mostly closer than the grey dashed line, which is last
# week's demand. The bands are narrow at the start of each forecast and wider at its end. Where the
# black line leaves the pale band, the forecast was surer than it should have been; one half hour in ten may do so.

# %% [markdown]
# ## Next
#
# [Your own cell](06_your_own_cell.ipynb) goes under the hood.
# [Forecasting](https://github.com/recurrax/recurrax/blob/main/docs/results/forecasting.md) compares networks with better baselines on more
# data, and [Train on your own data](https://github.com/recurrax/recurrax/blob/main/docs/howto/data.md) is the guide.
