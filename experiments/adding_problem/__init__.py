"""Which cells solve the adding problem, and after how many updates?

    python -m experiments.adding_problem                             # 2 CPU cores, four to five minutes
    python -m experiments.adding_problem --cells LSTM-chrono --lengths 200
    python -m experiments.adding_problem --preset bai2018            # a GPU; so are keller2023 and the others
    python -m experiments.adding_problem --help

The learning rate is chosen for each cell from the same grid, with seeds that are not reported; then every cell has the
same budget (see `experiments.protocol`). A network that keeps one of the two values and guesses the other is at half of
chance, 1/12 for the sum: that second plateau is reported as such and not as learning.

Presets and what they stand beside:

    default           T = 100, 32 units; the tanh RNN and the IRNN of Le, Jaitly & Hinton (2015) at the LSTM's budget
    bai2018           T = 600, about 70,000 parameters, markers anywhere: Bai, Kolter & Koltun (2018), table 1
    keller2023        IRNN, T = 100 and 200: updates to MSE 0.05, Keller et al. (2023)
    keller2023-chrono chrono LSTM, T = 400 and 1000, likewise
    lem2000           T = 2000: updates to MSE 0.05, beside LEM, Rusch et al. (2022)
"""
