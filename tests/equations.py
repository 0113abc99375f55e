"""The equations of every cell in NumPy, as they are written in the papers: the oracle of its values.

A kernel is stored as ``[G, H, D]``, so a row of inputs is multiplied by its transpose.
"""

import functools
from typing import Any

import numpy as np
from flax import nnx


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def elman_equations(p: Any, h: Any, x: Any, phi: Any = np.tanh) -> Any:
    h = phi(x @ p.kernel[0].T + h @ p.recurrent_kernel[0].T + p.bias[0])
    return h, h, {}


def lstm_equations(p: Any, carry: Any, x: Any, gates: str = "f i c_tilde o", coupled: bool = False) -> Any:
    """Gers et al. (2000); a gate that Greff et al. (2017) took away is 1, a coupled input gate 1 - f."""
    c, h = carry
    sums = zip(gates.split(), p.kernel, p.recurrent_kernel, p.bias, strict=True)
    has = {g: (np.tanh if g == "c_tilde" else sigmoid)(x @ W.T + h @ U.T + b) for g, W, U, b in sums}
    full = {"f": 1, "i": 1 - has["f"] if coupled else 1, "o": 1} | has
    c = full["f"] * c + full["i"] * full["c_tilde"]
    h = full["o"] * np.tanh(c)
    return (c, h), h, has


def equations_of_1997(p: Any, carry: Any, x: Any, size: int = 1, out: bool = True, g: Any = None, h: Any = None) -> Any:
    """Hochreiter & Schmidhuber (1997), equations 3 to 5 and 7 to 9 of the appendix, unit by unit for one example.

    A block of `size` cells has one input gate and, if `out`, one output gate; units are numbered input gates first,
    then output gates, then cells.
    """
    if x.ndim > 1:
        rows = [equations_of_1997(p, [c[k] for c in carry], x[k], size, out, g, h) for k in range(len(x))]
        stack = [np.stack(part) for part in zip(*(row[0] for row in rows), strict=True)]
        return tuple(stack), stack[-1], {name: np.stack([row[2][name] for row in rows]) for name in rows[0][2]}
    g, h = g or (lambda a: 4 * sigmoid(a) - 2), h or (lambda a: 2 * sigmoid(a) - 1)
    c, *gates, y = carry
    cells = len(c)
    blocks = cells // size
    seen = np.concatenate([*(gate[::size] for gate in gates), y])
    units = len(gates) * blocks + cells

    def net(unit: int) -> Any:
        total = sum(x[d] * p.kernel[d, unit] for d in range(len(x)))
        if hasattr(p, "recurrent_kernel"):
            total += sum(seen[other] * p.recurrent_kernel[other, unit] for other in range(units))
        return total + (p.bias[unit] if hasattr(p, "bias") and unit < len(p.bias) else 0)

    new = np.zeros((4, cells))  # c, i, o, y
    candidates = np.zeros(cells)
    for v in range(cells):
        block = v // size
        candidates[v] = g(net(units - cells + v))
        new[1, v] = sigmoid(net(block))
        new[2, v] = sigmoid(net(blocks + block)) if out else 1
        new[0, v] = c[v] + new[1, v] * candidates[v]
        new[3, v] = new[2, v] * h(new[0, v])
    state = tuple(new) if out else (new[0], new[1], new[3])
    return state, new[3], {"i": new[1], "o": new[2], "c_tilde": candidates}


def gru_equations(p: Any, h: Any, x: Any) -> Any:
    """PyTorch's documentation of nn.GRU, with one bias for r and z; gates r, z, n."""
    r = sigmoid(x @ p.kernel[0].T + p.bias[0] + h @ p.recurrent_kernel[0].T)
    z = sigmoid(x @ p.kernel[1].T + p.bias[1] + h @ p.recurrent_kernel[1].T)
    n = np.tanh(x @ p.kernel[2].T + p.bias[2] + r * (h @ p.recurrent_kernel[2].T + p.recurrent_bias))
    h = (1 - z) * n + z * h
    return h, h, {"r": r, "z": z, "n": n}


def gru_equations_of_2014(p: Any, h: Any, x: Any) -> Any:
    """Cho et al. (2014), the reset before the matrix product; their z is 1 - z here."""
    r = sigmoid(x @ p.kernel[0].T + p.bias[0] + h @ p.recurrent_kernel[0].T)
    z = sigmoid(x @ p.kernel[1].T + p.bias[1] + h @ p.recurrent_kernel[1].T)
    n = np.tanh(x @ p.kernel[2].T + p.bias[2] + (r * h) @ p.recurrent_kernel[2].T)
    h = (1 - z) * n + z * h
    return h, h, {"r": r, "z": z, "n": n}


def diagonal_equations(p: Any, h: Any, x: Any) -> Any:
    h = np.exp(-np.exp(p.nu)) * h + x @ p.kernel[0].T + p.bias[0]
    return h, h, {}


def lru_equations(p: Any, h: Any, x: Any) -> Any:
    """Orvieto et al. (2023), equation 7 and the listing of appendix A."""
    B, C = (part[0].T + 1j * part[1].T for part in (p.input_kernel, p.output_kernel))
    h = np.exp(-np.exp(p.nu)) * np.exp(1j * np.exp(p.theta)) * h + np.exp(p.log_gamma) * (x @ B)
    return h, (h @ C).real + x @ p.skip_kernel[0].T, {}


def min_gru_equations(p: Any, h: Any, x: Any) -> Any:
    """Feng et al. (2024), section 3.1; their z is 1 - z here."""
    z, n = sigmoid(x @ p.kernel[0].T + p.bias[0]), x @ p.kernel[1].T + p.bias[1]
    h = (1 - z) * n + z * h
    return h, h, {"z": z, "n": n}


def min_lstm_equations(p: Any, h: Any, x: Any) -> Any:
    """Feng et al. (2024), section 3.2."""
    f, i = (sigmoid(x @ p.kernel[g].T + p.bias[g]) for g in (0, 1))
    f, i, c_tilde = f / (f + i), i / (f + i), x @ p.kernel[2].T + p.bias[2]
    h = f * h + i * c_tilde
    return h, h, {"f": f, "i": i, "c_tilde": c_tilde}


EQUATIONS: dict[str, Any] = {
    "RNN": elman_equations,
    "RNN-relu": functools.partial(elman_equations, phi=lambda a: np.maximum(a, 0)),
    "RNN-identity": functools.partial(elman_equations, phi=lambda a: a),
    "LSTM": lstm_equations,
    "LSTM-chrono": lstm_equations,
    "GRU": gru_equations,
    "GRU-reset-before": gru_equations_of_2014,
    "NoForgetGate": functools.partial(lstm_equations, gates="i c_tilde o"),
    "NoInputGate": functools.partial(lstm_equations, gates="f c_tilde o"),
    "NoOutputGate": functools.partial(lstm_equations, gates="f i c_tilde"),
    "Hochreiter1997": equations_of_1997,
    "DiagonalRNN": diagonal_equations,
    "LRU": lru_equations,
    "MinGRU": min_gru_equations,
    "MinLSTM": min_lstm_equations,
    "CIFG": functools.partial(lstm_equations, gates="f c_tilde o", coupled=True),
}


class Arrays:
    """The parameters of a cell as NumPy arrays, under their names."""

    def __init__(self, cell: Any):
        for name, value in vars(cell).items():
            if isinstance(value, nnx.Param):
                setattr(self, name, np.asarray(value[...]))
