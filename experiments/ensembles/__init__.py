"""What do many seeds cost in one program, and what does the trainer cost beside a bare loop?

    python -m experiments.ensembles              # 2 CPU cores, about eight minutes
    python -m experiments.ensembles --help

Eight runs in one compiled program against the same eight one after another, each compiled as it comes, all by `fit`:
eight seeds, then four learning rates with two seeds. And `fit` with its evaluations, metrics and checkpoints against
the same updates in a bare jitted scan. In turn, in one process; medians over the rounds.

Expected: one program compiles once in place of eight times; whether it then also runs faster depends on how far one run
alone leaves the device idle, which two CPU cores are not. The trainer costs a few per cent.
"""
