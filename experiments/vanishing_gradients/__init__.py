"""Do gradients vanish in a plain RNN and not in a GRU or LSTM, and does that decide what they learn?

    python -m experiments.vanishing_gradients              # 2 CPU cores, a minute or two
    python -m experiments.vanishing_gradients --help

Four measurements: (a) the gradient against lag at initialisation, with controls whose slope is known in closed form;
(b) training on adding and copy, all seeds of a cell in one program, with the same budget and optimiser for every cell;
(c) the gradient against lag after training; (d) the gates that carry the memory.

Expected: at initialisation the gradient of the tanh RNN and of an LSTM with forget bias 0 falls by a constant factor
per step, that of an IRNN does not; within the budget GRU and LSTM solve adding at T = 100 and the tanh RNN does not.
"""
