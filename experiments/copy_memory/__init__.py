"""Which cells copy ten symbols after a delay, how long a delay, and after how many updates?

    python -m experiments.copy_memory                              # 2 CPU cores, some ten minutes
    python -m experiments.copy_memory --cells LSTM-chrono --delays 100
    python -m experiments.copy_memory --preset tallec2018          # a GPU; so are lezcano2019 and accelerator
    python -m experiments.copy_memory --help

The learning rate is chosen for each cell from the same grid, with seeds that are not reported; then every cell has the
same budget (see `experiments.protocol`). Solved is a cross entropy below half of what a network without memory reaches,
10 ln 8 / (T + 20). That says little of whole sequences, so their share, and that of single symbols, stand beside it.

Presets and what they stand beside:

    default      T = 10, 30 and 50, 64 units
    tallec2018   T = 500, 128 units: the chrono LSTM beside the standard one, Tallec & Ollivier (2018)
    lezcano2019  T = 1000, 190 units, batches of 128: Lezcano-Casado & Martinez-Rubio (2019)
"""
