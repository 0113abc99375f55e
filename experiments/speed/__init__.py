"""What does a training step cost: the engines of recurrax beside Flax's own runner?

    python -m experiments.speed              # 2 CPU cores, about three minutes
    python -m experiments.speed --help

One training step is the jitted value and gradient, with respect to all parameters, of mean(y^2) of one layer. All
implementations of a shape run in one process, in turn, each call blocked on; medians and quartiles over the rounds,
with compilation apart. Ratios travel from machine to machine, milliseconds do not. ``backend="auto"`` follows from it.
"""
