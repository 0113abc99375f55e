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
# # Sequential MNIST on a GPU
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/recurrax/recurrax/blob/main/notebooks/09_sequential_mnist.ipynb)
#
# A network reads an image pixel by pixel and names the digit after the last one. On a GPU this notebook trains on MNIST, 784 steps an
# image. (In Colab choose *Runtime, Change runtime type, GPU*.) On a CPU it falls back to the small digits of scikit-learn, 64 steps
# an image, and takes two to three minutes.

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

import recurrax as rx
from recurrax import datasets, training
from recurrax.datasets.get import get
from recurrax.datasets.load import default_folder
from recurrax.palette import looks
from recurrax.tasks import SequentialImages

SMALL = "RECURRAX_SMALL" in os.environ  # the tests of this notebook set it
print(f"JAX {jax.__version__} runs on: {jax.default_backend()}")
GPU = jax.default_backend() == "gpu"

# %% [markdown]
# ## The images
#
# MNIST is downloaded once, about 11 MB, on a GPU only.


# %%
# @title Load the images and show some
def load():
    if not GPU:
        print("JAX finds no GPU, so these are the 8 x 8 digits of scikit-learn and not MNIST.")
        return datasets.load("digits")
    try:
        return datasets.load("mnist")
    except datasets.MissingData:
        print("Downloading MNIST.")
    try:
        return get("mnist", default_folder())
    except (ConnectionError, ImportError) as error:
        print(f"MNIST cannot be had, so these are the digits of scikit-learn: {error}")
        return datasets.load("digits")


data = load()
task = SequentialImages(data, "pixels")
print(f"{data.name}: {task.sequence_length} pixels an image; images to train, choose and test: {data.sizes}")

figure, axes = plt.subplots(1, 8, figsize=(8, 1.4), layout="constrained", dpi=90)
for ax, image, label in zip(axes, data.train.images, data.train.labels, strict=False):
    ax.imshow(np.asarray(image)[..., 0], cmap="gray_r")
    ax.set_title(int(label))
    ax.axis("off")
plt.show()

# %% [markdown]
# **What you should see.** Eight images and the digits that they show. The network sees none of them as a picture: it reads one grey value after the
# other, row by row from the top left.

# %% [markdown]
# ## Training
#
# A plain RNN, a GRU and an LSTM, three seeds each. The forget gates of the LSTM start with the *chrono* biases, which spread its memory over the
# length of the image.

# %%
# @title Train three cells
T = float(task.sequence_length)
CELLS = {
    "RNN": lambda H, rngs: rx.RNNCell(1, H, rngs=rngs),
    "GRU": lambda H, rngs: rx.GRUCell(1, H, rngs=rngs),
    "LSTM-chrono": lambda H, rngs: rx.LSTMCell(1, H, forget_bias=rx.initializers.Chrono(T), rngs=rngs),
}
if SMALL:
    H, steps, batch, rate = 8, 20, 16, 1e-2
elif data.name == "mnist":
    H, steps, batch, rate = 128, 4000, 100, 1e-3
else:
    H, steps, batch, rate = 32, 800, 32, 1e-2

plan = training.Plan(steps=steps, chunk=steps // 10, batch_size=batch, seeds=(0, 1, 2))
optimizer = training.adam(rate, clip_norm=1.0)
histories = {}
for name, make_cell in CELLS.items():

    def build(key, make_cell=make_cell):
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.RNN(make_cell(H, rngs)), task.out_features, rngs=rngs)

    histories[name] = training.fit(build, task, optimizer, plan, training.Output(title=name))

for name, history in histories.items():
    print(f"{name:12} test accuracy by seed: {', '.join(f'{100 * a:.1f}%' for a in history.test_accuracy)}")

# %%
# @title Draw the learning curves
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained", dpi=90)
for (name, history), style in zip(histories.items(), looks(histories).values(), strict=True):
    labels = [name, *[None] * (len(history) - 1)]
    ax.plot(history.steps, history.accuracy.T, color=style["color"], ls=style["ls"], lw=1.2, label=labels)
ax.axhline(0.1, color="0.4", ls=":", lw=1, label="guessing")
ax.set(xlabel="updates", ylabel="validation accuracy", ylim=(0, 1.02))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# **What you should see.** Each line is one seed, on the digits of scikit-learn. The LSTM with chrono biases (dark blue) comes to about 90%, the GRU (green)
# a little less, and the RNN (orange) stays near 60%: it has lost the top of the image when it reads the bottom. ("0/3 solved" stands in the progress bars because the task
# has no criterion that would count as solved.)

# %% [markdown]
# ## What it believes while it reads
#
# The model gives an output after every pixel. It was trained on the last one only, so what it says before that is its own business, but it
# shows when the answer takes shape.

# %%
# @title Draw the beliefs of the best cell over the pixels of one image
best_name = max(histories, key=lambda name: np.median(histories[name].accuracy[:, -1]))
model = histories[best_name].best(0)
example = task.example("test", jnp.array(3))
beliefs = jax.nn.softmax(model(example.inputs), axis=-1)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", width_ratios=(1, 3), dpi=90)
left.imshow(np.asarray(data.test.images[3])[..., 0], cmap="gray_r")
left.set_title(f"digit {int(example.targets[-1])}")
left.axis("off")
image = right.imshow(beliefs.T, aspect="auto", cmap="viridis", vmin=0, vmax=1)
right.set(xlabel="pixels read", ylabel="digit", yticks=range(10), title=best_name)
figure.colorbar(image, ax=right, label="probability")
plt.show()

# %% [markdown]
# **What you should see.** Time goes to the right, and each row is a digit. At first no digit is likely. From about half of the image on the network
# bets on one digit after the other, because the same strokes begin several digits, and at the last pixel most of the probability lies in the row of the right digit, 5.

# %% [markdown]
# ## Is the recurrence worth it?
#
# A linear classifier that sees all pixels at once is the baseline for every such number. On these small digits it beats the network, which may look at
# each pixel only once and must remember it. Reading pixel by pixel is a test of memory and not the way to recognise images.

# %%
# @title Train a linear classifier on the same pixels
from sklearn.linear_model import LogisticRegression

pixels = {part: np.asarray(getattr(data, part).images, np.float32) for part in ("train", "test")}
mean, deviation = pixels["train"].mean(), pixels["train"].std()
flat = {part: ((images - mean) / deviation).reshape(len(images), -1)[:10_000] for part, images in pixels.items()}
linear = LogisticRegression(C=0.1 if data.name == "digits" else 0.01, max_iter=300)
linear.fit(flat["train"], np.asarray(data.train.labels)[:10_000])
print(
    f"linear classifier: test accuracy {100 * linear.score(flat['test'], np.asarray(data.test.labels)[:10_000]):.1f}%"
)

# %% [markdown]
# ## Next
#
# This is the last notebook. [Sequential digits](https://github.com/recurrax/recurrax/blob/main/docs/results/sequential_digits.md) has more
# cells and orders of reading beside published numbers, and the [gallery of results](https://github.com/recurrax/recurrax/blob/main/docs/results/index.md)
# all other experiments. Back to the first: [An LSTM in five minutes](00_lstm_in_five_minutes.ipynb).
