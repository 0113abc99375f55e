"""The equations of every cell in NumPy, as they are written in the papers: the oracle of its values.

A kernel is stored as ``[G, H, D]``, so a row of inputs is multiplied by its transpose.
"""

import functools
from typing import Any

import numpy as np
from flax import nnx
from scipy.signal import cont2discrete


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


def softplus(a: Any) -> Any:
    return np.log1p(np.exp(a))


def silu(a: Any) -> Any:
    return a * sigmoid(a)


def gated(p: Any, h: Any, x: Any, *names: str) -> dict[str, Any]:
    """The sums of each gate."""
    parts = zip(names, p.kernel, p.recurrent_kernel, p.bias, strict=True)
    return {name: x @ W.T + h @ U.T + b for name, W, U, b in parts}


def peephole_equations(p: Any, carry: Any, x: Any) -> Any:
    """Gers & Schmidhuber (2000)."""
    c, h = carry
    a = gated(p, h, x, "f", "i", "c", "o")
    f, i = sigmoid(a["f"] + p.peephole[0] * c), sigmoid(a["i"] + p.peephole[1] * c)
    c_tilde = np.tanh(a["c"])
    c = f * c + i * c_tilde
    o = sigmoid(a["o"] + p.peephole[2] * c)
    h = o * np.tanh(c)
    return (c, h), h, {"f": f, "i": i, "c_tilde": c_tilde, "o": o}


def projected_equations(p: Any, carry: Any, x: Any) -> Any:
    """Sak, Senior & Beaufays (2014): the recurrent weights see r = P h."""
    c, h = carry
    a = gated(p, h @ p.projection.T, x, "f", "i", "c", "o")
    f, i, c_tilde, o = sigmoid(a["f"]), sigmoid(a["i"]), np.tanh(a["c"]), sigmoid(a["o"])
    c = f * c + i * c_tilde
    h = o * np.tanh(c)
    return (c, h), h @ p.projection.T, {"f": f, "i": i, "c_tilde": c_tilde, "o": o}


def multiplicative_equations(p: Any, carry: Any, x: Any) -> Any:
    """Krause et al. (2016), equations 18 to 22."""
    c, h = carry
    m = (x @ p.kernel[4].T) * (h @ p.recurrent_kernel[4].T)
    f, i, z, o = (x @ p.kernel[g].T + m @ p.recurrent_kernel[g].T + p.bias[g] for g in range(4))
    f, i, o = sigmoid(f), sigmoid(i), sigmoid(o)
    c = f * c + i * z
    h = np.tanh(c * o)
    return (c, h), h, {"f": f, "i": i, "c_tilde": z, "o": o}


def normalized(a: Any) -> Any:
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)


def layer_norm_lstm_equations(p: Any, carry: Any, x: Any) -> Any:
    """Ba et al. (2016), each gate normalised by itself."""
    c, h = carry
    f, i, z, o = (
        p.scale[0, g] * normalized(x @ p.kernel[g].T)
        + p.scale[1, g] * normalized(h @ p.recurrent_kernel[g].T)
        + p.bias[g]
        for g in range(4)
    )
    f, i, z, o = sigmoid(f), sigmoid(i), np.tanh(z), sigmoid(o)
    c = f * c + i * z
    h = o * np.tanh(p.state_scale * normalized(c) + p.state_bias)
    return (c, h), h, {"f": f, "i": i, "c_tilde": z, "o": o}


def layer_norm_gru_equations(p: Any, h: Any, x: Any) -> Any:
    a = [p.scale[0, g] * normalized(x @ p.kernel[g].T) + p.bias[g] for g in range(3)]
    m = [p.scale[1, g] * normalized(h @ p.recurrent_kernel[g].T) for g in range(3)]
    r, z = sigmoid(a[0] + m[0]), sigmoid(a[1] + m[1])
    n = np.tanh(a[2] + r * m[2])
    h = (1 - z) * n + z * h
    return h, h, {"r": r, "z": z, "n": n}


def mgu_equations(p: Any, h: Any, x: Any) -> Any:
    """Zhou et al. (2016), with the product reset as in PyTorch's GRU."""
    f = sigmoid(x @ p.kernel[0].T + p.bias[0] + h @ p.recurrent_kernel[0].T)
    n = np.tanh(x @ p.kernel[1].T + p.bias[1] + f * (h @ p.recurrent_kernel[1].T + p.recurrent_bias))
    h = (1 - f) * h + f * n
    return h, h, {"f": f, "n": n}


def ind_rnn_equations(p: Any, h: Any, x: Any) -> Any:
    """Li et al. (2018), equation 2."""
    h = np.maximum(x @ p.kernel[0].T + p.recurrent * h + p.bias[0], 0)
    return h, h, {}


def orthogonal_equations(p: Any, h: Any, x: Any) -> Any:
    """The exponential by its power series, which SciPy's does not use."""
    A = p.square - p.square.T
    U, term = np.eye(len(A)), np.eye(len(A))
    for n in range(1, 60):
        term = term @ A / n
        U = U + term
    h = np.tanh(x @ p.kernel[0].T + h @ U.T + p.bias[0])
    return h, h, {}


def antisymmetric_equations(p: Any, h: Any, x: Any, step: float = 0.1, damping: float = 0.01) -> Any:
    """Chang et al. (2019), equation 12."""
    U = p.square - p.square.T - damping * np.eye(len(p.square))
    h = h + step * np.tanh(h @ U.T + x @ p.kernel[0].T + p.bias[0])
    return h, h, {}


def co_rnn_equations(p: Any, carry: Any, x: Any, step: float = 0.1) -> Any:
    """Rusch & Mishra (2021), equation 3, gamma = epsilon = 1."""
    z, h = carry
    force = np.tanh(h @ p.recurrent_kernel[0].T + z @ p.recurrent_kernel[1].T + x @ p.kernel[0].T + p.bias[0])
    z = z + step * (force - h - z)
    h = h + step * z
    return (z, h), h, {}


def lem_equations(p: Any, carry: Any, x: Any) -> Any:
    """Rusch et al. (2022), equation 3, Delta t = 1."""
    z, h = carry
    a = [x @ W.T + b for W, b in zip(p.kernel, p.bias, strict=True)]
    slow, fast = sigmoid(a[0] + h @ p.recurrent_kernel[0].T), sigmoid(a[1] + h @ p.recurrent_kernel[1].T)
    z = (1 - slow) * z + slow * np.tanh(a[2] + h @ p.recurrent_kernel[2].T)
    h = (1 - fast) * h + fast * np.tanh(a[3] + z @ p.recurrent_kernel[3].T)
    return (z, h), h, {}


def cfc_equations(p: Any, h: Any, x: Any) -> Any:
    """Hasani et al. (2022): the mode without a backbone of their package, for steps of one unit of time."""
    a = gated(p, h, x, "p", "q", "s")
    s = sigmoid(a["s"])
    h = np.tanh(a["p"]) * (1 - s) + s * np.tanh(a["q"])
    return h, h, {}


def slstm_equations(p: Any, carry: Any, x: Any) -> Any:
    """Beck et al. (2024), equations 8 to 12, from the numbers that m scales: nothing is stabilised here."""
    c, n, m, h = carry
    heads, size = p.recurrent_kernel.shape[1:3]
    a = []
    for g in range(4):
        blocks = [h[..., k * size : (k + 1) * size] @ p.recurrent_kernel[g, k].T for k in range(heads)]
        a.append(x @ p.kernel[g].T + np.concatenate(blocks, -1) + p.bias[g])
    f, i, z, o = sigmoid(a[0]), np.exp(a[1]), np.tanh(a[2]), sigmoid(a[3])
    c, n = f * np.exp(m) * c + i * z, f * np.exp(m) * n + i
    new = np.maximum(np.log(f) + m, a[1])  # only how c and n are stored depends on it
    h = o * c / n
    scaled = {"f": f * np.exp(m - new), "i": i * np.exp(-new), "c_tilde": z, "o": o}
    return (c * np.exp(-new), n * np.exp(-new), new, h), h, scaled


def rg_lru_equations(p: Any, h: Any, x: Any) -> Any:
    """De et al. (2024), equations 1 to 4; their a is sigmoid(Lambda), so that log a = -softplus(-Lambda)."""
    u, r, i = (x @ W.T + b for W, b in zip(p.kernel, p.bias, strict=True))
    a = (1 / (1 + np.exp(p.decay))) ** (8 * sigmoid(r))
    h = a * h + np.sqrt(1 - a**2) * sigmoid(i) * u
    return h, h, {}


def qrnn_equations(p: Any, c: Any, x: Any) -> Any:
    """Bradbury et al. (2017), equation 4."""
    z, f, o = (x @ W.T + b for W, b in zip(p.kernel, p.bias, strict=True))
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
    return c, sigmoid(o) * c, {}


def hgrn_equations(p: Any, h: Any, x: Any) -> Any:
    """Qin et al. (2023), equations 2 to 5, without the norm."""
    real, imaginary, f, *g = (x @ W.T + b for W, b in zip(p.kernel, p.bias, strict=True))
    gamma = sigmoid(p.bound) if hasattr(p, "bound") else 0
    f = gamma + (1 - gamma) * sigmoid(f)
    h = f * np.exp(1j * p.theta) * h + (1 - f) * (silu(real) + 1j * silu(imaginary))
    both = np.concatenate([h.real, h.imag], -1) * sigmoid(np.concatenate(g, -1))
    return h, both @ np.concatenate(list(p.output_kernel), -1).T, {"f": f}


def sru_equations(p: Any, carry: Any, x: Any) -> Any:
    """Lei et al. (2018), equations 1 to 4; for a highway bias of 0 the scale of section 3.2 is sqrt(3)."""
    c, _ = carry
    f = sigmoid(x @ p.kernel[0].T + p.recurrent[0] * c + p.bias[0])
    r = sigmoid(x @ p.kernel[1].T + p.recurrent[1] * c + p.bias[1])
    c = f * c + (1 - f) * (x @ p.kernel[2].T)
    passing = x @ p.skip_kernel[0].T if hasattr(p, "skip_kernel") else x
    h = r * c + (1 - r) * passing * np.sqrt(3)
    return (c, h), h, {"f": f, "r": r}


def discrete(rate: Any, step: Any) -> Any:
    """Zero-order hold of dh/dt = rate h + u, by SciPy, state by state."""
    pairs = [cont2discrete((np.array([[r]]), np.eye(1), np.eye(1), np.zeros((1, 1))), s, "zoh")[:2]
             for r, s in zip(rate, step, strict=True)]  # fmt: skip
    return np.array([(a[0, 0], b[0, 0]) for a, b in pairs]).T


def s5_equations(p: Any, h: Any, x: Any) -> Any:
    """Smith et al. (2023), sampled by SciPy."""
    a, gain = discrete(-np.exp(p.rho) + 1j * p.omega, np.exp(p.log_step))
    B, C = (part[0].T + 1j * part[1].T for part in (p.input_kernel, p.output_kernel))
    h = a * h + gain * (x @ B)
    return h, (h @ C).real + x @ p.skip_kernel[0].T, {}


def s4d_equations(p: Any, h: Any, x: Any) -> Any:
    """Gu et al. (2022), channel by channel, sampled by SciPy."""
    u = x @ p.kernel[0].T + p.bias[0]
    channels = u.shape[-1]
    states = len(p.rho) // channels
    h, y = np.array(h), np.zeros(u.shape)
    for k in range(channels):
        own = slice(k * states, (k + 1) * states)
        a, gain = discrete(-np.exp(p.rho[own]) + 1j * p.omega[own], np.full(states, np.exp(p.log_step[k])))
        h[..., own] = a * h[..., own] + gain * u[..., k : k + 1]
        both = h[..., own] @ (p.c[0, own] + 1j * p.c[1, own])
        y[..., k] = both.real + both.conj().real + p.skip[k] * u[..., k]
    return h, y, {}


def mamba_equations(p: Any, h: Any, x: Any) -> Any:
    """Gu & Dao (2023), algorithm 2, channel by channel and state by state."""
    u, step = x @ p.kernel[0].T + p.bias[0], softplus(x @ p.kernel[1].T + p.bias[1])
    B, C = x @ p.state_kernel[0].T, x @ p.state_kernel[1].T
    h, y, N = np.array(h), p.skip * u, B.shape[-1]
    for k in range(u.shape[-1]):
        for n in range(N):
            at = k * N + n
            h[..., at] = np.exp(-np.exp(p.log_rate[at]) * step[..., k]) * h[..., at]
            h[..., at] += step[..., k] * B[..., n] * u[..., k]
            y[..., k] += C[..., n] * h[..., at]
    return h, y, {}


def memory(S: Any, decay: Any, k: Any, v: Any, beta: Any = None) -> Any:
    """One head's matrix after a step, written as the papers write it: ``[K, V]``; decay: a number or ``[K]``."""
    S = np.broadcast_to(decay, k.shape)[:, None] * S
    if beta is None:
        return S + np.outer(k, v)
    return (np.eye(len(k)) - beta * np.outer(k, k)) @ S + beta * np.outer(k, v)


def by_heads(p: Any, S: Any, x: Any, step: Any) -> Any:
    """``step(x, head, S) -> (S, read)`` of one example and one head, over all of them."""
    if x.ndim > 1:
        rows = [by_heads(p, S[k], x[k], step) for k in range(len(x))]
        return tuple(np.stack(part) for part in zip(*rows, strict=True))
    pairs = [step(x, head, S[head]) for head in range(len(S))]
    return np.stack([new for new, _ in pairs]), np.concatenate([y for _, y in pairs])


def rows_of(head: int, size: int) -> slice:
    return slice(head * size, (head + 1) * size)


def delta_equations(p: Any, S: Any, x: Any, decays: bool = False) -> Any:
    """Yang et al. (2024), equation 4; with decays Yang, Kautz & Hatamizadeh (2025), equation 10."""
    size = S.shape[-1]

    def step(x: Any, head: int, S: Any) -> Any:
        q, k, v = (silu(W[rows_of(head, size)] @ x) for W in p.kernel)
        q, k = (a / np.sqrt(a @ a + 1e-6) for a in (q, k))
        gates = p.gate_kernel[:, head] @ x + p.gate_bias[:, head]
        decay = np.exp(-np.exp(p.log_rate[head]) * softplus(gates[1])) if decays else 1.0
        S = memory(S, decay, k, v, sigmoid(gates[0]))
        return S, S.T @ q / np.sqrt(size)

    return *by_heads(p, S, x, step), {}


def gla_equations(p: Any, S: Any, x: Any) -> Any:
    """Yang et al. (2024), equation 3."""
    size = S.shape[-1]

    def step(x: Any, head: int, S: Any) -> Any:
        own = rows_of(head, size)
        q, k, v, a = (W[own] @ x for W in p.kernel)
        S = memory(S, sigmoid(a + p.bias[0, own]) ** (1 / 16), k, v)
        return S, S.T @ q / np.sqrt(size)

    return *by_heads(p, S, x, step), {}


def mlstm_equations(p: Any, carry: Any, x: Any) -> Any:
    """Beck et al. (2024), equations 19 to 27, not stabilised: the memory is e^m times what is stored."""
    stored, m = carry
    size = stored.shape[-2]
    f, i = (x @ W.T + b for W, b in zip(p.gate_kernel, p.gate_bias, strict=True))

    def step(x: Any, head: int, S: Any) -> Any:
        own = rows_of(head, size)
        q, k, v = (W[own] @ x for W in p.kernel[:3])
        f, i = p.gate_kernel[:, head] @ x + p.gate_bias[:, head]
        S = memory(S, sigmoid(f), k / np.sqrt(size), np.exp(i) * np.append(v, 1.0))
        read = S.T @ q
        o = sigmoid(p.kernel[3, own] @ x + p.bias[0, own])
        return S, o * read[:-1] / max(abs(read[-1]), 1.0)

    S, y = by_heads(p, np.exp(m)[..., None, None] * stored, x, step)
    new = np.maximum(np.log(sigmoid(f)) + m, i)
    return (np.exp(-new)[..., None, None] * S, new), y, {}


def mamba2_equations(p: Any, S: Any, x: Any) -> Any:
    """Dao & Gu (2024), the scalar times identity of section 7."""
    size = S.shape[-1]

    def step(x: Any, head: int, S: Any) -> Any:
        own = rows_of(head, size)
        u = p.kernel[0, own] @ x + p.bias[0, own]
        B, C = p.state_kernel @ x
        delta = softplus(p.gate_kernel[0, head] @ x + p.gate_bias[0, head])
        S = memory(S, np.exp(-delta * np.exp(p.log_rate[head])), B, delta * u)
        return S, S.T @ C + p.skip[head] * u

    return *by_heads(p, S, x, step), {}


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
    "PeepholeLSTM": peephole_equations,
    "ProjectedLSTM": projected_equations,
    "MultiplicativeLSTM": multiplicative_equations,
    "LayerNormLSTM": layer_norm_lstm_equations,
    "LayerNormGRU": layer_norm_gru_equations,
    "MGU": mgu_equations,
    "IndRNN": ind_rnn_equations,
    "OrthogonalRNN": orthogonal_equations,
    "AntisymmetricRNN": antisymmetric_equations,
    "coRNN": co_rnn_equations,
    "LEM": lem_equations,
    "CfC": cfc_equations,
    "sLSTM": slstm_equations,
    "RG-LRU": rg_lru_equations,
    "QRNN": qrnn_equations,
    "HGRN": hgrn_equations,
    "SRU": sru_equations,
    "S5": s5_equations,
    "S4D": s4d_equations,
    "Mamba": mamba_equations,
    "Mamba2": mamba2_equations,
    "mLSTM": mlstm_equations,
    "DeltaNet": delta_equations,
    "GatedDeltaNet": functools.partial(delta_equations, decays=True),
    "GLA": gla_equations,
    "CIFG": functools.partial(lstm_equations, gates="f c_tilde o", coupled=True),
}


class Arrays:
    """The parameters of a cell as NumPy arrays, under their names."""

    def __init__(self, cell: Any):
        for name, value in vars(cell).items():
            if isinstance(value, nnx.Param):
                setattr(self, name, np.asarray(value[...]))
