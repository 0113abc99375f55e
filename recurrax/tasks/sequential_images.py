"""Images read as sequences; the class is due after the last pixel.

    variant    one step is     T               D                source
    pixels     a pixel         height x width  channels         Le, Jaitly & Hinton (2015): sequential MNIST
    permuted   a pixel         height x width  channels         the same, in one fixed random order
    rows       a row           height          width x channels the usual short form

Pixels are standardised with the mean and standard deviation of each channel over the training split. The order of
"permuted" is `recurrax.datasets.permutation`, the same for every image. Published implementations use different
permutations, so their results can be compared only roughly. Loss and accuracy are those of the last step.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
from jax import Array

from recurrax.datasets import permutation
from recurrax.tasks.finite import FiniteTask
from recurrax.tasks.task import Classification, Example, check_choice


@final
@dataclasses.dataclass(frozen=True)
class SequentialImages(FiniteTask, Classification):
    """Classification of images pixel by pixel or row by row.

    Args:
        data: images, e.g. ``recurrax.datasets.load("digits")``.
        variant: the variant, a row of the table above.

    Raises:
        ValueError: the variant is unknown.
    """

    name: ClassVar[str] = "sequential_images"
    VARIANTS: ClassVar[tuple[str, ...]] = ("pixels", "permuted", "rows")
    variant: str = "pixels"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("variant", self.variant, self.VARIANTS)

    @property
    def in_features(self) -> int:
        """D, see the table."""
        _, width, channels = self._shape
        return width * channels if self.variant == "rows" else channels

    @property
    def out_features(self) -> int:
        """O, the number of classes."""
        return int(np.asarray(self.data.train.labels).max()) + 1

    @property
    def sequence_length(self) -> int:
        """T, see the table."""
        height, width, _ = self._shape
        return height if self.variant == "rows" else height * width

    def example(self, split: str, index: Array) -> Example:
        """One image as a sequence; its class is the target of the last step."""
        images, labels = getattr(self.data, split)
        mean, scale = self._standard
        xs = (images[index].astype(jnp.float32) - mean) * scale
        xs = xs.reshape(self.sequence_length, self.in_features)
        if self.variant == "permuted":
            xs = xs[permutation(self.sequence_length)]
        last = jnp.arange(self.sequence_length) == self.sequence_length - 1
        return Example(xs, jnp.where(last, labels[index].astype(jnp.int32), 0), last.astype(jnp.float32))

    def chance_level(self) -> float:
        """Test loss of the training split's class frequencies p: -sum_c q_c ln p_c with test frequencies q."""
        p, q = (
            np.bincount(np.asarray(labels), minlength=self.out_features) / len(labels)
            for labels in (self.data.train.labels, self.data.test.labels)
        )
        return float(-np.sum(q * np.log(p, where=q > 0, out=np.zeros_like(q))))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.data.train.images.shape[1:]

    @functools.cached_property
    def _standard(self) -> tuple[Any, Any]:
        """Mean and inverse standard deviation of each channel over the training split."""
        pixels = np.asarray(self.data.train.images)
        mean, deviation = (f(pixels, axis=(0, 1, 2), dtype=np.float64) for f in (np.mean, np.std))
        return np.float32(mean), np.float32(1 / deviation)
