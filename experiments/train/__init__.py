"""What does each cell reach on a task, over seeds and a grid of settings?

    python -m experiments.train                                        # 2 CPU cores, two to three minutes
    python -m experiments.train --task copy --length 20 --cells LSTM --sweep.learning-rate 1e-3 3e-3 --seeds 0 1 2
    python -m experiments.train --help

All seeds at all points of the sweep train in one compiled program; cells and sizes queue one after another. The same
command goes on where it was stopped, by SIGKILL too. The default is a grid stated in advance, the same for every cell,
on seeds that chose no setting.

Expected at the default (adding, T = 100): GRU and LSTM solve it at the larger learning rates, the tanh RNN at none.
"""
