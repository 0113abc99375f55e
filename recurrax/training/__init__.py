"""Trains many runs of one model in one compiled program, on any number of devices, and resumes after interruptions."""

from recurrax.training.checkpoint import CheckpointError as CheckpointError
from recurrax.training.clipping import clip_by_norm as clip_by_norm
from recurrax.training.clipping import clip_by_value as clip_by_value
from recurrax.training.clipping import clipped_fraction as clipped_fraction
from recurrax.training.clipping import counted as counted
from recurrax.training.fit import fit as fit
from recurrax.training.history import History as History
from recurrax.training.inference import evaluate as evaluate
from recurrax.training.inference import predict as predict
from recurrax.training.mesh import connect as connect
from recurrax.training.mesh import first_devices as first_devices
from recurrax.training.mesh import make_mesh as make_mesh
from recurrax.training.optimizers import adam as adam
from recurrax.training.optimizers import average as average
from recurrax.training.optimizers import sgd as sgd
from recurrax.training.parameters import parameters as parameters
from recurrax.training.plan import Output as Output
from recurrax.training.plan import Plan as Plan
from recurrax.training.preemption import Preempted as Preempted
from recurrax.training.run import Recipe as Recipe
from recurrax.training.run import Run as Run
