"""The copy task: read some symbols, wait, and repeat them in order.

One example of `Copy(delay=5)`, variant arjovsky2016 (``.`` is the blank, 9 the marker):

    step     0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24
    input    3  1  8  2  2  5  7  4  6  1  .  .  .  .  9  .  .  .  .  .  .  .  .  .  .
    target   .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  3  1  8  2  2  5  7  4  6  1

The inputs contain M symbols. In every variant they are independent and uniform, the sequence has T = delay + 2M steps,
and the first symbol is due at step delay + M, or earlier in henaff2016. The rest depends on the variant:

    variant       M   data   blank  marker, at steps        input        classes  loss on        correct
    arjovsky2016  10  1..8   0      9, delay+9              one-hot, 10  9        all steps      recalled symbols
    bai2018       10  1..8   0      9, delay+9 to the end   scalar       10       all steps      recalled symbols
    s4            10  1..8   0      9, delay+10 to the end  one-hot, 10  10       last 10 steps  recalled symbols
    pascanu2013   10  0..4   5      6, delay+10             one-hot, 7   6        all steps      whole sequences
    martens2011   5   0..1   2      3, delay+5              one-hot, 4   3        all steps      whole sequences
    henaff2016    10  1..8   0      9, w+9, w = 1 .. delay  one-hot, 10  9        all steps      recalled symbols
    gu2023        16  1..14  0      15, delay+16 to the end one-hot, 16  16       last 16 steps  recalled symbols

henaff2016, "variable copy", draws the wait w for each example and ends with blanks, so a network cannot count the steps
until the answer. gu2023, "selective copy", scatters the symbols in order at random places among `delay` blanks in the
first delay + M steps. So a network must choose what to store by content, not by time.

Sources:
    arjovsky2016  Arjovsky, Shah, Bengio 2016; amarshah/complex_RNN memory_problem.py. The code trains on
                  100,000 fixed examples.
    bai2018       Bai, Kolter, Koltun 2018; locuslab/TCN TCN/copy_memory/utils.py. The tenth class, the
                  marker, is never a target. The code trains on 10,000 fixed examples.
    s4            Gu, Goel, Re 2021; state-spaces/s4 src/dataloaders/datasets/copying.py, with its loader's
                  defaults: A = 10 tokens, A - 2 of them data, M = 10 to memorise; `variable`, `lag` and
                  `reverse` off. The code embeds the tokens, as a linear map of one-hot inputs does.
    pascanu2013   Pascanu, Mikolov, Bengio 2013; pascanur/trainingRNNs memorization.py, "noiseless
                  memorisation", 5^10 messages. As in s4, the first symbol is due at the first marker, not after it.
    martens2011   Martens, Sutskever 2011, 5-bit memorisation, 2^5 messages, as the same code has it with n_values = 2
                  and n_pos = 5; their 20-bit problem is pascanu2013.
    henaff2016    Henaff, Szlam, LeCun 2016, in the words of Tallec, Ollivier 2018: the wait "is drawn at random
                  between 1 and T". No code was found; that the rest is blank, and counts, is ours.
    gu2023        Gu, Dao 2023, section 4.1 and appendix E.1: 16 tokens, the blank one of them, and 16 to memorise; the
                  code of s4 with `variable` on, A = M = 16. There the length, 4096 steps, is delay + 16; so it is with
                  Feng et al. 2024 (minGRU).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import jax.numpy as jnp
from jax import Array

from .task import (
    CERTAIN,
    Example,
    MemoryTask,
    as_distinct,
    as_integers,
    check_choice,
    check_size,
    cross_entropy,
    draw_bits,
    one_hot,
    weighted_mean,
)


class _Layout(NamedTuple):
    """The settings of a variant, a row of the table above."""

    first: int  # the first data symbol; the others follow it
    symbols: int
    blank: int
    marker: int
    marked: tuple[int, int]  # steps [start, stop) of the marker, relative to the first recall step
    in_features: int  # 1 for the symbol as a float, more for one-hot inputs
    classes: int
    memorized: int = 10  # M
    recall_only: bool = False  # whether the loss counts only the recall steps
    whole: bool = False  # whether an answer is right only if all of its steps are right
    variable: bool = False  # whether the wait is random
    scattered: bool = False  # whether the data are at random places


_LAYOUTS = {
    "arjovsky2016": _Layout(1, 8, 0, 9, (-1, 0), in_features=10, classes=9),
    "bai2018": _Layout(1, 8, 0, 9, (-1, 10), in_features=1, classes=10),
    "s4": _Layout(1, 8, 0, 9, (0, 10), in_features=10, classes=10, recall_only=True),
    "pascanu2013": _Layout(0, 5, 5, 6, (0, 1), in_features=7, classes=6, whole=True),
    "martens2011": _Layout(0, 2, 2, 3, (0, 1), in_features=4, classes=3, memorized=5, whole=True),
    "henaff2016": _Layout(1, 8, 0, 9, (-1, 0), in_features=10, classes=9, variable=True),
    "gu2023": _Layout(1, 14, 0, 15, (0, 16), 16, classes=16, memorized=16, recall_only=True, scattered=True),
}


@final
@dataclass(frozen=True)
class Copy(MemoryTask):
    """The copy task: recall M symbols after `delay` steps. The module's docstring shows an example.

    Args:
        delay: steps between the last symbol read and the first symbol due, at least 1; T in the papers, L in S4. In
            henaff2016 it is the longest wait, and in gu2023 the number of blanks among the symbols.
        variant: one of `VARIANTS`.

    Raises:
        TypeError: delay is not an int.
        ValueError: delay is less than 1, or the variant is unknown.
    """

    delay: int
    variant: str = "arjovsky2016"

    name: ClassVar[str] = "copy"
    VARIANTS: ClassVar[tuple[str, ...]] = tuple(_LAYOUTS)

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that no source defines."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("delay", self.delay, 1)

    @property
    def in_features(self) -> int:
        """D: the size of the one-hot input, or 1 for the scalar of bai2018."""
        return self._layout.in_features

    @property
    def out_features(self) -> int:
        """O: the number of classes."""
        return self._layout.classes

    @property
    def sequence_length(self) -> int:
        """T = delay + 2M: read, wait, recall."""
        return self.delay + 2 * self._layout.memorized

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        if self._layout.whole:
            return "more than 99% of held-out sequences without a wrong step"
        return "held-out recall accuracy >= 0.99"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, D], targets [T] int32, weights [T]. key: one PRNG key."""
        layout, M, T = self._layout, self._layout.memorized, self.sequence_length
        bits = draw_bits(key, M + (T - M if layout.scattered else layout.variable))
        data = as_integers(bits[:M], layout.first, layout.first + layout.symbols)
        places = jnp.sort(as_distinct(bits[M:], M)) if layout.scattered else jnp.arange(M)
        recall = M + (as_integers(bits[M], 1, self.delay + 1) if layout.variable else self.delay)
        from_recall = jnp.arange(T) - recall
        start, stop = layout.marked
        blanks = jnp.full(T, layout.blank, jnp.int32)
        marked = jnp.where((start <= from_recall) & (from_recall < stop), layout.marker, blanks)
        symbols, targets = marked.at[places].set(data), blanks.at[recall + jnp.arange(M)].set(data)
        weights = ((from_recall >= 0) | (not layout.recall_only)).astype(jnp.float32)
        inputs = symbols[:, None].astype(jnp.float32) if self.in_features == 1 else one_hot(symbols, self.in_features)
        return Example(inputs, targets, weights)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Cross entropy in nats, mean over the steps that count. outputs: [T, O] logits; returns a scalar."""
        return cross_entropy(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Share of correctly recalled symbols; for "whole sequences" 1 if all T steps are right, else 0.

        The first definition is ours: blanks are easy, and at a long delay nearly all steps are blanks.
        """
        right = jnp.argmax(outputs, axis=-1) == example.targets
        if self._layout.whole:
            return jnp.all(right).astype(jnp.float32)
        return weighted_mean(right, (example.targets != self._layout.blank).astype(jnp.float32))

    def chance_level(self) -> float:
        """Loss of a predictor that knows the step but not the data: K data symbols, T = delay + 2M steps.

        Blanks are then certain and cost 0, and each of the M recalled symbols costs at least its entropy, ln K. The
        mean over all steps is M ln K / T; if only the recall steps count, it is ln K.

        In henaff2016 the step does not tell whether a symbol is due: with p_t the probability that one is due, the best
        guess costs p_t ln K + H(p_t) at step t, where H is the entropy of a bit. A predictor that sees the marker but
        remembers nothing still has a loss of M ln K / T.
        """
        layout, T = self._layout, self.sequence_length
        M, entropy = layout.memorized, math.log(layout.symbols)
        if layout.recall_only:
            return entropy
        if not layout.variable:
            return M * entropy / T
        waits = [sum(0 <= step - M - wait < M for wait in range(1, self.delay + 1)) for step in range(T)]
        return (M * entropy + sum(_bit(count / self.delay) for count in waits)) / T

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Mean accuracy > 0.99 for whole sequences (published: less than 1% of 10,000 wrong), else >= 0.99.

        The second criterion is ours: the other sources publish loss curves without a criterion, and one recalled symbol
        of ten can already give a loss 20% below chance. Guessing recalls 1/8 of the symbols.
        """
        return accuracy > 0.99 if self._layout.whole else accuracy >= 0.99

    def oracle(self, inputs: Array) -> Array:
        """Certain and correct logits: the data in order from the first marker on, else blanks. [T, D] -> [T, O].

        The first answer is due at that marker or one step later, depending on the variant.
        """
        layout, T = self._layout, len(inputs)
        symbols = (jnp.argmax(inputs, axis=-1) if self.in_features > 1 else jnp.round(inputs[:, 0])).astype(jnp.int32)
        data = (symbols >= layout.first) & (symbols < layout.first + layout.symbols)
        order = jnp.where(data, jnp.cumsum(data) - 1, layout.memorized)
        memory = jnp.full(layout.memorized, layout.blank).at[order].set(symbols, mode="drop")
        marks = symbols == layout.marker
        since = jnp.arange(T) - jnp.where(jnp.any(marks), jnp.argmax(marks), T) + layout.marked[0]
        due = (since >= 0) & (since < layout.memorized)
        return CERTAIN * one_hot(jnp.where(due, memory[since], layout.blank), self.out_features)

    @property
    def _layout(self) -> _Layout:
        return _LAYOUTS[self.variant]


def _bit(p: float) -> float:
    """Entropy in nats of a bit that is 1 with probability p."""
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)
