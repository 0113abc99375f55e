"""When do gradients explode, what does that do to the loss surface and to training, and what does clipping change?

    python -m experiments.exploding_gradients                          # 2 CPU cores, three to four minutes
    python -m experiments.exploding_gradients --training-radii 0.9 1.1 --learning-rate 0.03 --steps 2000
    python -m experiments.exploding_gradients --help

(a) The slope of ln |dL/ds| against lag, of ln sigma_max of the Jacobian product, and the largest Lyapunov exponent of
linear and tanh networks, beside ln rho of their spectral radius; (b) the loss surface of one unit, the walls in it, and
gradient descent from the same starts with and without clipping; (c) plain SGD of tanh and ReLU networks on adding from
every spectral radius, without clipping, clipped by norm, by value, and between the steps of the backward pass: every
seed. Pascanu, Mikolov & Bengio (2013), sections 2 and 3.

Diverged is a loss that is not finite or a last held-out loss above 10 times chance. Expected: a linear network's slope
is ln rho; saturation keeps a driven tanh network below 0 far beyond rho = 1; ReLU networks diverge from a large radius
unless the norm is clipped; no network solves the task.
"""

from experiments.exploding_gradients.config import PRESETS as PRESETS
from experiments.exploding_gradients.config import Config as Config
from experiments.exploding_gradients.networks import parts as parts
from experiments.exploding_gradients.page import draw as draw
from experiments.exploding_gradients.page import page as page
