"""Experiments: one question each, which ends in a table, a figure and a record. See `experiments.lab`."""

import recurrax.cli as _cli  # noqa: F401  # sets what must be set before SciPy is loaded

# In the order in which they are best read.
EXPERIMENTS = (
    "vanishing_gradients", "exploding_gradients", "initialization", "gates", "noise", "claims", "adding_problem",
    "copy_memory", "temporal_order", "length_generalization", "sequential_digits", "hochreiter1997",
    "memory_capacity", "long_dependencies", "transformer",
)  # fmt: skip
# Real data from `recurrax datasets get`.
APPLICATIONS = (
    "language_model", "pronunciation", "translation", "speech", "forecasting", "glucose", "activity", "anomaly",
)  # fmt: skip
# Whose committed record is that of the preset "table".
TABLES = (*APPLICATIONS, "claims", "memory_capacity", "long_dependencies", "transformer")
BENCHMARKS = (
    "benchmarks.speed", "benchmarks.engine_options", "benchmarks.ensembles", "benchmarks.zoo", "benchmarks.token_cost",
    "benchmarks.streaming",
)  # fmt: skip
