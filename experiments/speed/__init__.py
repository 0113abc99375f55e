"""What does a layer cost: recurrax beside Flax, Haiku, Equinox, Keras and PyTorch, in one process.

    python -m experiments.speed                                # 2 CPU cores, an hour
    python -m experiments.speed --parts peers --cells LSTM     # one comparison alone
    python -m experiments.speed --tune 32 100 2 128            # the fastest engine for a shape, on this device
    python -m experiments.speed --help

Measured: a training step (value and gradient, with respect to all parameters, of mean(y^2) of one layer), a forward
pass, and one streaming step. The implementations of a case take turns, every call is waited for; compilation and
memory stand apart. Then how the cost grows with T, H, B and the number of runs, what the engines keep in memory, the
engines that are parallel over time, and what import and first call cost. Ratios travel from machine to machine,
milliseconds do not. What an interrupted run has measured is kept, as long as code, versions and device are the same.
"""
