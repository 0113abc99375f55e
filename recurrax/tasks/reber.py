"""The embedded Reber grammar: predict the next symbol of strings from a small automaton.

One example of `EmbeddedReber(length=40)`, the string BTBPVVETE (each step's target is the next symbol):

    step      0  1  2  3  4  5  6  7
    symbol    B  T  B  P  V  V  E  T
    target    T  B  P  V  V  E  T  E

A string is B, then T or P, then a string of Reber's grammar, then the same T or P again, then E. So predicting the
symbol before the last one requires memory of the second symbol. Reber's grammar starts at state 0 and takes each of two
arrows with probability 1/2:

    0 -B-> 1    1 -T-> 2    2 -S-> 2    3 -T-> 3    4 -X-> 3    5 -P-> 4    6 -E-> end
                1 -P-> 3    2 -X-> 4    3 -V-> 5    4 -S-> 6    5 -V-> 6

    variant         symbols       strings                                 error at    right if
    hochreiter1997  B T P S X V E as drawn, the shortest has 9 symbols    every step  no illegal symbol is likelier than
                                                                                      a legal one, at any step

Strings can have any length; here they are cut after `length` steps.

Sources:
    hochreiter1997  Hochreiter, Schmidhuber 1997, experiment 1 (text, figures 3 and 4), with 256 strings for training
    and 256 others for testing; the grammar: Reber 1967, embedded: Smith & Zipser 1989, Fahlman 1991.
"""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .task import CERTAIN, Example, MemoryTask, check_choice, check_size, cross_entropy, draw_bits, one_hot

SYMBOLS = "BTPSXVE"
_REBER = {0: "B1", 1: "T2 P3", 2: "S2 X4", 3: "T3 V5", 4: "X3 S6", 5: "P4 V6", 6: "E7"}


def _automaton() -> tuple[np.ndarray, np.ndarray]:
    """The embedded grammar: the symbol and the next state for both arrows of every state, ``[20, 2]`` each.

    States 0 and 1 precede the branch. Each branch has Reber's seven states and one that repeats the branch symbol. The
    last state but one emits E, and the last state emits nothing (symbol -1).
    """
    arrows = {0: ["B", 1], 1: ["T", 2, "P", 10], 18: ["E", 19], 19: ["", 19]}
    for first, symbol in ((2, "T"), (10, "P")):
        for state, out in _REBER.items():
            arrows[first + state] = [part for arrow in out.split() for part in (arrow[0], first + int(arrow[1]))]
        arrows[first + 7] = [symbol, 18]
    symbols, states = np.zeros((2, 20, 2), np.int32)
    for state, out in arrows.items():
        symbols[state] = [SYMBOLS.find(symbol) if symbol else -1 for symbol in (out[0], out[-2])]
        states[state] = out[1], out[-1]
    return symbols, states


_SYMBOL, _NEXT = _automaton()


@final
@dataclass(frozen=True)
class EmbeddedReber(MemoryTask):
    """The embedded Reber grammar: prediction of the next symbol. The module's docstring shows an example.

    Args:
        length: T, the steps after which strings are cut; at least 8, the steps of the shortest string.
        variant: one of `VARIANTS`.

    Raises:
        TypeError: length is not an int.
        ValueError: length is less than 8, or the variant is unknown.
    """

    length: int
    variant: str = "hochreiter1997"

    name: ClassVar[str] = "embedded_reber"
    VARIANTS: ClassVar[tuple[str, ...]] = ("hochreiter1997",)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("length", self.length, 8)

    @property
    def in_features(self) -> int:
        """D = 7: the alphabet, one-hot."""
        return len(SYMBOLS)

    @property
    def out_features(self) -> int:
        """O = 7: the alphabet."""
        return len(SYMBOLS)

    @property
    def sequence_length(self) -> int:
        """T: the longest string without its last symbol; shorter strings are padded with zeros."""
        return self.length

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        return "every held-out string right"

    def sample(self, key: Array) -> Example:
        """Draws one string: inputs [T, 7], targets [T] int32, weights [T]. key: one PRNG key."""
        choices = draw_bits(key, self.length + 1) & 1

        def step(state: Array, choice: Array) -> tuple[Array, Array]:
            return jnp.asarray(_NEXT)[state, choice], jnp.asarray(_SYMBOL)[state, choice]

        _, symbols = jax.lax.scan(step, jnp.int32(0), choices)
        follows = symbols[1:] >= 0
        inputs = one_hot(symbols[:-1], len(SYMBOLS)) * follows[:, None]
        return Example(inputs, jnp.where(follows, symbols[1:], 0), follows.astype(jnp.float32))

    def loss(self, outputs: Array, example: Example) -> Array:
        """Cross entropy in nats, averaged over the steps of the string. outputs: [T, 7] logits; returns a scalar."""
        return cross_entropy(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """1 if all legal symbols have larger outputs than all others at every step, else 0. outputs: [T, 7]."""
        legal = self.legal(example.inputs)
        least = jnp.min(jnp.where(legal, outputs, jnp.inf), axis=-1)
        most = jnp.max(jnp.where(legal, -jnp.inf, outputs), axis=-1)
        return jnp.all((least > most) | (example.weights == 0)).astype(jnp.float32)

    def legal(self, inputs: Array) -> Array:
        """The symbols that may follow at each step, bool: [T, 7] -> [T, 7]; none after the end or an illegal symbol."""
        arrows = jnp.asarray(_SYMBOL)[:, :, None] == jnp.arange(len(SYMBOLS))  # [states, arrows, symbols]
        after = jnp.where(arrows.any(1), jnp.max(jnp.where(arrows, jnp.asarray(_NEXT)[:, :, None], 0), axis=1), 19)

        def step(state: Array, x: Array) -> tuple[Array, Array]:
            state = jnp.where(x.any(), after[state, jnp.argmax(x)], 19)
            return state, arrows.any(1)[state]

        return jax.lax.scan(step, jnp.int32(0), inputs)[1]

    def chance_level(self) -> float:
        """Loss of the best predictor that knows only the step; exact except for cut strings.

        A string of n steps counts 1/n for each step, so the best guess at step t gives each symbol its share of
        w_t(y) = sum_n P(symbol y follows at t, n steps) / n, and the loss is -sum_ty w_t(y) ln(w_t(y) / sum_y w_t(y)).
        The automaton determines the probabilities: forwards those of the states, and backwards those of the remaining
        lengths.
        """
        w = _shares(self.length).sum(axis=1)
        total = np.broadcast_to(w.sum(axis=1, keepdims=True), w.shape)
        return float(-np.sum(w[w > 0] * np.log(w[w > 0] / total[w > 0])))

    def least_loss(self) -> float:
        """Loss of the best predictor: ln 2 at each step with two possible symbols, averaged over steps."""
        two = _SYMBOL[:, 0] != _SYMBOL[:, 1]
        return float(_shares(self.length).sum(axis=(0, 2)) @ two * np.log(2))

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether every string is right, as published for the training and test set; elementwise on arrays."""
        return accuracy > 1 - 1e-6

    def oracle(self, inputs: Array) -> Array:
        """Logits of the next symbol, equal for all symbols that may follow. [T, 7] -> [T, 7]."""
        return CERTAIN * self.legal(inputs)


@functools.cache
def _shares(T: int) -> np.ndarray:
    """Expectation of 1/n if symbol y follows from state s at step t, for strings of n steps: ``[T, 20, 7]``."""
    states = len(_NEXT)
    step = np.zeros((states, states))
    np.add.at(step, (np.arange(states)[:, None], _NEXT), 0.5)
    emits = np.arange(states) != states - 1
    left = np.zeros((T + 2, states))  # left[m, s]: probability that m more symbols follow from state s
    left[0, -1] = 1
    for m in range(1, T + 2):
        left[m] = np.where(emits, step @ left[m - 1], 0)
    cut = 1 - np.cumsum(left, axis=0)  # cut[m, s]: more than m follow
    shares, now = np.zeros((T, states, len(SYMBOLS))), np.eye(states)[0] @ step
    for t in range(T):
        for s in np.flatnonzero(now * emits):
            for symbol, after in zip(_SYMBOL[s], _NEXT[s], strict=True):
                counts = t + 1 + np.arange(T - t)  # steps n of a string for each number of remaining targets
                weight = left[: T - t, after] @ (1 / counts) + cut[T - t - 1, after] / T
                shares[t, s, symbol] += now[s] / 2 * weight
        now = now @ step
    return shares
