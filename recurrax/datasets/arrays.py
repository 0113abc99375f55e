"""What a data set is: three splits of equal arrays, on the device, and the SHA-256 of all of them."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Generic, NamedTuple, TypeVar, final

import jax
import jax.numpy as jnp
import numpy as np

SPLITS = ("train", "validation", "test")
Array = jax.Array | np.ndarray  # NumPy on the way in, on the device in a `Dataset`
Arrays = TypeVar("Arrays", bound=tuple)


class Images(NamedTuple):
    """Images and their classes: ``images: [N, height, width, channels]`` and ``labels: [N]``, both uint8."""

    images: Array
    labels: Array


class Rolls(NamedTuple):
    """Piano rolls: ``rolls: [N, frames, 88]`` uint8, 0 or 1, zero after a piece's ``lengths: [N]`` frames, int32."""

    rolls: Array
    lengths: Array


@final
@dataclasses.dataclass(frozen=True)
class Dataset(Generic[Arrays]):
    """Splits of a data set as `Images` or `Rolls`; two are equal if their names and all their bytes are.

    Args:
        name: as `load` takes it.
        source: where the arrays come from, with any doubt about them; a record carries it beside ``sha256``.
        train: what is learnt from.
        validation: what chooses among models and settings.
        test: what chooses nothing.

    Raises:
        ValueError: a split is empty.
    """

    name: str
    source: str = dataclasses.field(compare=False)
    train: Arrays = dataclasses.field(compare=False, repr=False)
    validation: Arrays = dataclasses.field(compare=False, repr=False)
    test: Arrays = dataclasses.field(compare=False, repr=False)
    sha256: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256()
        for split in SPLITS:
            arrays = getattr(self, split)
            if len(arrays[0]) == 0:
                raise ValueError(f"{self.name} has an empty {split} split; allowed: one or more examples in each.")
            for array in map(np.ascontiguousarray, arrays):
                digest.update(f"{array.dtype} {array.shape}".encode())
                digest.update(array.tobytes())
            object.__setattr__(self, split, type(arrays)(*map(jnp.asarray, arrays)))
        object.__setattr__(self, "sha256", digest.hexdigest())

    @property
    def sizes(self) -> tuple[int, ...]:
        """Examples of the three splits."""
        return tuple(len(getattr(self, split)[0]) for split in SPLITS)


def by_content(images: Array, labels: Array) -> Images:
    """The same images in an order that nothing but their bytes decides: by SHA-256 of pixels and label.

    TFDS stores examples in an order of its own; held-out images are the first ones in this order.
    """
    images, labels = np.asarray(images), np.asarray(labels, np.uint8)
    digests = [
        hashlib.sha256(image.tobytes() + label.tobytes()).digest() for image, label in zip(images, labels, strict=True)
    ]
    order = sorted(range(len(labels)), key=digests.__getitem__)
    return Images(images[order], labels[order])


def part(arrays: Images, start: int, stop: int | None = None) -> Images:
    """Examples ``start`` to ``stop``."""
    return Images(*(array[start:stop] for array in arrays))
