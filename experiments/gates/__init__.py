"""What do the gates learn, and which of them are needed?

    python -m experiments.gates              # 2 CPU cores, three to four minutes
    python -m experiments.gates --help

LSTM, GRU and the LSTM with a gate less (NFG, NIG, NOG of Greff et al., 2017) or two of them coupled (CIFG), on adding
and on copy memory: seeds solved, updates to the criterion, and the gates of the trained models: how far open in each
phase of the task (marked and unmarked steps; reading, waiting, recalling), how often nearly shut and nearly open, and
the time constants of the keep gate. The grid and the budget are the same for every cell.
"""
