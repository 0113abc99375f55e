"""Gradient flow: what of a loss at the last step reaches the past, for any `(carry, x) -> (carry, y)`."""

from recurrax.gradflow.gates import gate_activations as gate_activations
from recurrax.gradflow.gates import time_constants as time_constants
from recurrax.gradflow.gradients import state_gradients as state_gradients
from recurrax.gradflow.jacobians import jacobian_norms as jacobian_norms
from recurrax.gradflow.profile import Profile as Profile
from recurrax.gradflow.profile import band as band
from recurrax.gradflow.profile import by_lag as by_lag
from recurrax.gradflow.profile import slope as slope
