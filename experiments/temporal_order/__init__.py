"""Temporal order with clipping and Omega: does holding the norm of the error help where plain gradient descent fails?

    python -m experiments.temporal_order                       # 2 CPU cores, some twenty minutes
    python -m experiments.temporal_order --preset long         # to T = 50, some hours
    python -m experiments.temporal_order --preset accelerator  # to T = 250
    python -m experiments.temporal_order --help

Pascanu, Mikolov & Bengio (2013), section 4.1: the order of two symbols among T; 50 units, plain SGD at rate 0.01,
batches of 20; three initialisations; without clipping (SGD), clipped at norm 1 (SGD-C), and clipped with the
regulariser Omega (SGD-CR). Success is less than 1% of 10,000 wrong. LSTM and GRU beside them with the same optimiser
and budget, and all with Adam. The paper's budget is 5 million updates; these are reduced, and a run that needs more
is censored.

Expected: SGD-CR solves with tanh what SGD does not, in a fraction of the updates; sigmoid networks need more than the
budget.
"""
