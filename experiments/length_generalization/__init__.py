"""Length generalisation: trained on sequences of 50 to 100 steps, how long may they be in the test?

    python -m experiments.length_generalization                       # 2 CPU cores, under an hour
    python -m experiments.length_generalization --preset long         # trained on 50 to 200, more tasks, some hours
    python -m experiments.length_generalization --preset accelerator  # the same, with the paper's budget
    python -m experiments.length_generalization --help

Temporal order as Pascanu, Mikolov & Bengio (2013) define it; their networks, tanh, with clipping and Omega, and LSTM
and GRU with Adam. Every example of a batch has a length of its own. Each seed is tested at every length on 10,000
fresh sequences, whether it solved the training lengths or not.

Expected: the training lengths are learned, by the plain network more slowly; far longer ones are another matter.
"""
