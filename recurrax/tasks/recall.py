"""Recall under noise: one bit is marked in a noisy sequence, and the answer at the end is this bit.

One example of `Recall(delay=8)`, noise 0.1 (``.`` is zero; only the last step counts, class 1 stands for +1):

    step       0     1     2     3     4     5     6     7     8     9    10    11    12
    value    0.07 -0.02  1.11  0.04 -0.13  0.00  0.09 -0.08  0.15 -0.05  0.02 -0.11  0.06
    marker     .     .     1     .     .     .     .     .     .     .     .     .     .
    target     .     .     .     .     .     .     .     .     .     .     .     .     1

The bit b = +-1 is shown at the cue, one of the first five steps. Independent noise with standard deviation sigma =
`noise` is added to the value of EVERY step, including the cue. The answer is due at step T-1 with T = delay + 5, at
least `delay` steps later. The loss is the cross entropy of two classes at this step. With `distractors` other steps
show +-1 too, but without the marker, so the network must tell the bit from values that look like it.

    variant  cue             noise                inputs
    marked   at step 0 .. 4  N(0, noise^2), all   (value, marker)

Sources: the definition is ours. It resembles the latching of a bit against noise of Bengio, Simard & Frasconi (1994),
and the 2-sequence problem with noise on the informative elements (variance 0.2) of Hochreiter & Schmidhuber (1997),
experiment 3b. There the bit has a fixed place at the start, so that the network need not select it by a marker.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax.numpy as jnp
from jax import Array

from .task import (
    CERTAIN,
    Classification,
    Example,
    as_integers,
    as_normal,
    as_uniform,
    at_step,
    check_choice,
    check_size,
    draw_bits,
)

CUE_STEPS = 5  # the cue is one of the first five steps
SHARE = 0.9  # share of the way from guessing to the ceiling that counts as solved


@final
@dataclass(frozen=True)
class Recall(Classification):
    """Recall under noise: the sign of the marked value. The module's docstring shows an example.

    Args:
        delay: least number of steps between the cue and the answer, at least 1.
        variant: one of `VARIANTS`.
        noise: sigma, the standard deviation of the noise at every step, in units of the bit. With the default the bit
            is always readable.
        distractors: probability of an unmarked +-1 at every step but the cue, independent of the bit.

    Raises:
        TypeError: delay is not an int, or noise or distractors is not a number.
        ValueError: delay is less than 1, noise or distractors is negative or too large, or the variant is unknown.
    """

    delay: int
    variant: str = "marked"
    noise: float = 0.1
    distractors: float = 0.0

    name: ClassVar[str] = "recall"
    VARIANTS: ClassVar[tuple[str, ...]] = ("marked",)
    value_channel: ClassVar[int] = 0
    marker_channel: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for invalid settings."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("delay", self.delay, 1)
        _check_number("noise", self.noise, math.inf)
        _check_number("distractors", self.distractors, 1)

    @property
    def in_features(self) -> int:
        """D = 2: value and marker."""
        return 2

    @property
    def out_features(self) -> int:
        """O = 2: the classes -1 and +1."""
        return 2

    @property
    def sequence_length(self) -> int:
        """T = delay + 5."""
        return self.delay + CUE_STEPS

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        least = 0.5 + SHARE * (self.ceiling() - 0.5)
        return f"held-out accuracy >= {least:.3f}, {SHARE:.0%} of the way from guessing to {self.ceiling():.3f}"

    def sample(self, key: Array) -> Example:
        """Draws one example: inputs [T, 2], targets [T] int32, weights [T] 1 at step T-1. key: one PRNG key."""
        signal, marker, noise, answer = self.draw(key, self.noise)
        last = at_step(self.sequence_length - 1, self.sequence_length)
        return Example(jnp.stack([signal + noise, marker], axis=-1), jnp.where(last > 0, answer, 0), last)

    def draw(self, key: Array, noise: float) -> tuple[Array, Array, Array, Array]:
        """Draws the parts of an example: signal, marker and noise, each [T] float32, and the answer, 0 or 1.

        A key gives the same example at every noise level. key: one PRNG key; noise: standard deviation.
        """
        T = self.sequence_length
        bits = draw_bits(key, 3 * T + 2 if self.distractors else T + 2)
        answer, cue = as_integers(bits[T : T + 2], 0, jnp.array([2, CUE_STEPS]))
        marker = at_step(cue, T)
        signal = marker * (2 * answer - 1).astype(jnp.float32)
        if self.distractors:
            shown, signs = as_uniform(bits[T + 2 : 2 * T + 2]) < self.distractors, as_integers(bits[2 * T + 2 :], 0, 2)
            signal += jnp.where(shown, 1 - marker, 0) * (2 * signs - 1)
        return signal, marker, as_normal(bits[:T], noise), answer

    def chance_level(self) -> float:
        """Loss without knowledge of the bit: its entropy, ln 2, because both values are equally likely."""
        return math.log(2)

    def ceiling(self) -> float:
        """Accuracy of an ideal observer, Phi(1 / noise); 1 without noise.

        The only information about the bit b is the value at the cue, v = b + noise z with z ~ N(0, 1). Its log odds are
        ln N(v; 1, noise^2) - ln N(v; -1, noise^2) = 2 v / noise^2, so the best answer is the sign of v. It is right if
        noise b z > -1, with probability Phi(1 / noise).
        """
        return 0.5 * math.erfc(-1 / (self.noise * math.sqrt(2))) if self.noise else 1.0

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether the accuracy is at least 9/10 of the way from guessing, 1/2, to `ceiling`; elementwise on arrays.

        The published criteria, e.g. no wrong answer in 256, cannot be met if noise hides the bit itself.
        """
        return accuracy >= 0.5 + SHARE * (self.ceiling() - 0.5)

    def oracle(self, inputs: Array) -> Array:
        """The best answer at every step if the sequence ended there, as logits with the log odds 2 v / noise^2.

        Log odds are limited to those of noise 0.2, which are practically certain: 50 at v = 1. [T, 2] -> [T, 2].
        """
        value, marker = inputs[:, self.value_channel], inputs[:, self.marker_channel]
        log_odds = jnp.cumsum(marker * value) * min(2 / self.noise**2 if self.noise else math.inf, CERTAIN)
        return jnp.stack([-log_odds, log_odds], axis=-1) / 2


def _check_number(what: str, value: float, most: float) -> None:
    """Raises unless the value is a number (TypeError), finite and in [0, most] (ValueError)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = type(value).__name__
        raise TypeError(f"{what}={value!r} is a {kind}; allowed is a float >= 0; pass {what}=float(...)")
    if not (0 <= value <= most and math.isfinite(value)):
        allowed = "a finite float >= 0" if most == math.inf else f"a float in [0, {most:g}]"
        raise ValueError(f"{what}={value} is out of range; allowed is {allowed}; pass e.g. {what}=0.5")
