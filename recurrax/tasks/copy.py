"""The copy task: read ten symbols, wait, repeat them in order.

One example of `Copy(delay=5)`, variant arjovsky2016 (`.` is the blank, 9 the marker):

    step     0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24
    input    3  1  8  2  2  5  7  4  6  1  .  .  .  .  9  .  .  .  .  .  .  .  .  .  .
    target   .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  3  1  8  2  2  5  7  4  6  1

In every variant the sequence has T = delay + 20 steps, each symbol is due delay + 10 steps after it was read,
and the data symbols are independent and uniform. The rest differs:

    variant       data  blank  marker, at steps        input        classes  loss on        correct
    arjovsky2016  1..8  0      9, delay+9              one-hot, 10  9        all steps      recalled symbols
    bai2018       1..8  0      9, delay+9 to the end   scalar       10       all steps      recalled symbols
    s4            1..8  0      9, delay+10 to the end  one-hot, 10  10       last 10 steps  recalled symbols
    pascanu2013   0..4  5      6, delay+10             one-hot, 7   6        all steps      whole sequences

Sources:
    arjovsky2016  Arjovsky, Shah, Bengio 2016; amarshah/complex_RNN memory_problem.py. The code trains on
                  100,000 fixed examples.
    bai2018       Bai, Kolter, Koltun 2018; locuslab/TCN TCN/copy_memory/utils.py. The tenth class, the
                  marker, is never a target. The code trains on 10,000 fixed examples.
    s4            Gu, Goel, Re 2021; state-spaces/s4 src/dataloaders/datasets/copying.py, with its loader's
                  defaults: A = 10 tokens, A - 2 of them data, M = 10 to memorise; `variable`, `lag` and
                  `reverse` off. The code embeds the tokens, as a linear map of one-hot inputs does.
    pascanu2013   Pascanu, Mikolov, Bengio 2013; pascanur/trainingRNNs memorization.py, "noiseless
                  memorisation". As in s4, the first symbol is due at the first marker, not one step after it.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import jax
import jax.numpy as jnp
from jax import Array

from .task import Example, Task, as_integers, check_choice, check_size, cross_entropy, draw_bits

MEMORIZED = 10  # symbols to remember, in every variant


class _Layout(NamedTuple):
    """What sets a variant apart: a row of the table above."""

    first: int  # the data symbols are first, ..., first + symbols - 1
    symbols: int
    blank: int
    marker: int
    marked: tuple[int, int]  # steps [start, stop) that show the marker, counted from the first recall step
    in_features: int  # 1: the symbol itself as a float; more: one-hot
    classes: int
    recall_only: bool  # the loss counts the recall steps only


_LAYOUTS = {
    "arjovsky2016": _Layout(1, 8, 0, 9, (-1, 0), in_features=10, classes=9, recall_only=False),
    "bai2018": _Layout(1, 8, 0, 9, (-1, MEMORIZED), in_features=1, classes=10, recall_only=False),
    "s4": _Layout(1, 8, 0, 9, (0, MEMORIZED), in_features=10, classes=10, recall_only=True),
    "pascanu2013": _Layout(0, 5, 5, 6, (0, 1), in_features=7, classes=6, recall_only=False),
}


@final
@dataclass(frozen=True)
class Copy(Task):
    """Recall ten symbols after `delay` steps; the module's docstring draws an example.

    Args:
        delay: steps between the last symbol read and the first one due, at least 1; T in the papers, L in S4.
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
        """Refuses what no source defines."""
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
        """T = delay + 20: read, wait, recall."""
        return self.delay + 2 * MEMORIZED

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        if self.variant == "pascanu2013":
            return "more than 99% of held-out sequences without a wrong step"
        return "held-out recall accuracy >= 0.99"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, D], targets [T] int32, weights [T]. key: one PRNG key."""
        layout = self._layout
        from_recall = jnp.arange(self.sequence_length) - (self.sequence_length - MEMORIZED)
        start, stop = layout.marked
        marked = (start <= from_recall) & (from_recall < stop)
        data = as_integers(draw_bits(key, MEMORIZED), layout.first, layout.first + layout.symbols)
        blanks = jnp.full(self.sequence_length, layout.blank, jnp.int32)
        symbols = jnp.where(marked, layout.marker, blanks).at[:MEMORIZED].set(data)
        targets = blanks.at[-MEMORIZED:].set(data)
        weights = (from_recall >= 0) | (not layout.recall_only)
        if self.in_features == 1:
            return Example(symbols[:, None].astype(jnp.float32), targets, weights.astype(jnp.float32))
        inputs = jax.nn.one_hot(symbols, self.in_features, dtype=jnp.float32)
        return Example(inputs, targets, weights.astype(jnp.float32))

    def loss(self, outputs: Array, example: Example) -> Array:
        """Cross entropy in nats, mean over the steps that count. outputs: [T, O] logits; returns a scalar."""
        return cross_entropy(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Share of the ten recalled symbols that are right; pascanu2013: 1 if all T steps are right, else 0.

        The first is ours: blanks are easy and, at a long delay, nearly all of the steps.
        """
        right = jnp.argmax(outputs, axis=-1) == example.targets
        if self.variant == "pascanu2013":
            return jnp.all(right).astype(jnp.float32)
        return jnp.mean(right[-MEMORIZED:], dtype=jnp.float32)

    def chance_level(self) -> float:
        """Loss of knowing the step but not the data: K = 8 or 5 data symbols, T = delay + 20 steps.

        Blanks are then certain and cost 0; each of the 10 recalled symbols costs at best its entropy, ln K.
        The mean over all steps is 10 ln K / T; over the recall steps, all that s4 counts, it is ln K.
        """
        counted = MEMORIZED if self._layout.recall_only else self.sequence_length
        return MEMORIZED * math.log(self._layout.symbols) / counted

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Mean accuracy > 0.99 for pascanu2013 (published: less than 1% of 10,000 wrong), else >= 0.99.

        The second is ours: the other sources publish loss curves without a criterion, and a loss 20% below
        chance can be one symbol of ten. Guessing recalls 1/8 of the symbols.
        """
        return accuracy > 0.99 if self.variant == "pascanu2013" else accuracy >= 0.99

    def oracle(self, inputs: Array) -> Array:
        """Logits that are certain and right: blanks, then the first ten inputs. [T, D] -> [T, O]."""
        symbols = jnp.argmax(inputs, axis=-1) if self.in_features > 1 else jnp.round(inputs[:, 0])
        answers = jnp.full(self.sequence_length, self._layout.blank, jnp.int32)
        answers = answers.at[-MEMORIZED:].set(symbols[:MEMORIZED].astype(jnp.int32))
        return 50.0 * jax.nn.one_hot(answers, self.out_features, dtype=jnp.float32)

    @property
    def _layout(self) -> _Layout:
        return _LAYOUTS[self.variant]
