"""Recall under noise: one bit is marked among noise; at the end, give it.

One example of `Recall(delay=8)`, noise 0.1 (`.` is zero; only the last step counts, class 1 stands for +1):

    step       0     1     2     3     4     5     6     7     8     9    10    11    12
    value    0.07 -0.02  1.11  0.04 -0.13  0.00  0.09 -0.08  0.15 -0.05  0.02 -0.11  0.06
    marker     .     .     1     .     .     .     .     .     .     .     .     .     .
    target     .     .     .     .     .     .     .     .     .     .     .     .     1

The bit b = +-1 stands at the cue, one of the first five steps; independent noise of standard deviation sigma = `noise`
is added to the value of EVERY step, the cue's too. The answer is due at step T-1 with T = delay + 5, that is at least
`delay` steps later. The loss is the cross entropy of two classes at that step.

    variant  cue             noise                inputs
    marked   at step 0 .. 4  N(0, noise^2), all   (value, marker)

Sources: the definition is ours. It is the latching of a bit against noise of Bengio, Simard & Frasconi (1994), and the
2-sequence problem with noise on the informative elements of Hochreiter & Schmidhuber (1997), experiment 3b, variance
0.2, but for the marker: there the bit is known by its place, at the start, so that nothing must be selected.
"""

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
from jax import Array

from .task import Example, Task, as_integers, check_choice, check_size, cross_entropy, draw_bits

CUE_STEPS = 5  # the cue is one of the first
SHARE = 0.9  # of the way from guessing to the ceiling that counts as solved
CERTAIN = 50.0  # log odds of an oracle without noise


@final
@dataclass(frozen=True)
class Recall(Task):
    """The sign of the one marked value; the module's docstring draws an example.

    Args:
        delay: least number of steps between the cue and the answer, at least 1.
        variant: one of `VARIANTS`.
        noise: sigma, standard deviation of the noise at every step, in units of the bit. At the default the bit can
            always be read.

    Raises:
        TypeError: delay is not an int, or noise no number.
        ValueError: delay is less than 1, noise is negative or not finite, or the variant is unknown.
    """

    delay: int
    variant: str = "marked"
    noise: float = 0.1

    name: ClassVar[str] = "recall"
    VARIANTS: ClassVar[tuple[str, ...]] = ("marked",)
    value_channel: ClassVar[int] = 0
    marker_channel: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuses what is not defined."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("delay", self.delay, 1)
        if isinstance(self.noise, bool) or not isinstance(self.noise, int | float):
            kind = type(self.noise).__name__
            raise TypeError(f"noise={self.noise!r} is a {kind}; allowed is a float >= 0; pass noise=float(...)")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise={self.noise} is out of range; allowed is a finite float >= 0; pass e.g. noise=0.5")

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
        last = jnp.arange(self.sequence_length) == self.sequence_length - 1
        return Example(
            jnp.stack([signal + noise, marker], axis=-1), jnp.where(last, answer, 0), last.astype(jnp.float32)
        )

    def draw(self, key: Array, noise: float) -> tuple[Array, Array, Array, Array]:
        """What `sample` adds up: signal, marker and noise apart, each [T] float32, and the answer, 0 or 1.

        A key gives the same example at every level of noise. key: one PRNG key; noise: standard deviation.
        """
        T = self.sequence_length
        bits = draw_bits(key, T + 2)
        answer, cue = as_integers(bits[T:], 0, jnp.array([2, CUE_STEPS]))
        marker = (jnp.arange(T) == cue).astype(jnp.float32)
        signal = marker * (2 * answer - 1).astype(jnp.float32)
        halves = jnp.stack([bits[:T] >> 20, (bits[:T] >> 4) & 4095])
        return signal, marker, jnp.sum(jnp.asarray(_quantiles(noise))[halves], axis=0), answer

    def loss(self, outputs: Array, example: Example) -> Array:
        """Cross entropy in nats of the last step. outputs: [T, 2] logits; returns a scalar."""
        return cross_entropy(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """1 if the likelier class at the last step is right, else 0. outputs: [T, 2]."""
        right = jnp.argmax(outputs[-1], axis=-1) == example.targets[-1]
        return right.astype(jnp.float32)

    def chance_level(self) -> float:
        """Loss of knowing nothing of the bit: its entropy, ln 2, for both values are equally likely."""
        return math.log(2)

    def ceiling(self) -> float:
        """Accuracy of a perfect observer, Phi(1 / noise); 1 without noise.

        All that is known of the bit b is the value at the cue, v = b + noise z with z ~ N(0, 1). Its log odds are
        ln N(v; 1, noise^2) - ln N(v; -1, noise^2) = 2 v / noise^2, so the best answer is the sign of v, which is right
        where noise b z > -1: with probability Phi(1 / noise).
        """
        return 0.5 * math.erfc(-1 / (self.noise * math.sqrt(2))) if self.noise else 1.0

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Accuracy at least nine tenths of the way from guessing, 1/2, to `ceiling`; elementwise on arrays.

        The published criteria, e.g. none of 256 wrong, cannot be met where noise hides the bit itself.
        """
        return accuracy >= 0.5 + SHARE * (self.ceiling() - 0.5)

    def oracle(self, inputs: Array) -> Array:
        """The best answer if the sequence ended here, at every step, as logits with the log odds 2 v / noise^2.

        Log odds are kept below those of noise 0.2, which are certain: 50 at v = 1. [T, 2] -> [T, 2].
        """
        value, marker = inputs[:, self.value_channel], inputs[:, self.marker_channel]
        log_odds = jnp.cumsum(marker * value) * min(2 / self.noise**2 if self.noise else math.inf, CERTAIN)
        return jnp.stack([-log_odds, log_odds], axis=-1) / 2


@functools.cache
def _quantiles(noise: float) -> np.ndarray:
    """4096 equally likely values whose sum of two has the distribution N(0, noise^2), float32.

    From a table, as the inverse of the error function may be rounded otherwise in a batch than alone. The distribution
    function of the sum is right to 1e-4, beyond what accuracies are measured to.
    """
    values = np.array([NormalDist().inv_cdf((i + 0.5) / 4096) for i in range(4096)])
    return (noise / math.sqrt(2) * values / values.std()).astype(np.float32)
