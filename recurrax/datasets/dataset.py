"""The data set: three splits with the same arrays, on the device, and their SHA-256."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar, final

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.datasets.scaler import Scalers

SPLITS = ("train", "validation", "test")
Array = jax.Array | np.ndarray  # NumPy before, and on the device inside a `Dataset`
Split = TypeVar("Split")


class Images(NamedTuple):
    """Images and classes: ``images: [N, height, width, channels]`` and ``labels: [N]``, both uint8."""

    images: Array
    labels: Array


class Rolls(NamedTuple):
    """Piano rolls: ``rolls: [N, frames, 88]`` uint8, 0 or 1, zero after a piece's ``lengths: [N]`` frames, int32."""

    rolls: Array
    lengths: Array


class Steps(NamedTuple):
    """One long sequence, or several concatenated ones, for a `recurrax.tasks.Stream`.

    inputs: ``[N, F]`` values, or ``[N]`` tokens.
    targets: the values to predict at each step, ``[N, ...]``.
    resets: ``[N]`` bool, the steps at which a document or a series begins.
    weights: ``[N]`` float32, 0 if a target is missing; None if no target is missing.
    """

    inputs: Array
    targets: Array
    resets: Array
    weights: Array | None = None


@final
@dataclasses.dataclass(frozen=True)
class Dataset(Generic[Split]):
    """Splits of a data set as `Images`, `Rolls`, `Arrays` or `Steps`.

    Two data sets are equal if their names, bytes and scalers are equal.

    Args:
        name: the name for `load`, or any other name.
        source: the origin of the arrays, with any doubts about them; records store it with ``sha256``.
        train: the examples for training.
        validation: the examples for choosing models and settings.
        test: the examples for the final test.
        scalers: how inputs and targets were scaled, see `scale`.

    Raises:
        ValueError: a split is empty.
    """

    name: str
    source: str = dataclasses.field(compare=False)
    train: Split = dataclasses.field(compare=False, repr=False)
    validation: Split = dataclasses.field(compare=False, repr=False)
    test: Split = dataclasses.field(compare=False, repr=False)
    scalers: Scalers = dataclasses.field(default=Scalers(), compare=False, repr=False)
    sha256: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        splits = [getattr(self, split) for split in SPLITS]
        for name, split in zip(SPLITS, splits, strict=True):
            if count(split) == 0:
                raise ValueError(f"{self.name} has an empty {name} split; allowed: one or more examples in each.")
            object.__setattr__(self, name, jax.tree.map(jnp.asarray, split))
        found = content_hash((getattr(self, name) for name in SPLITS), repr(self.scalers) if any(self.scalers) else "")
        object.__setattr__(self, "sha256", found)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of examples in the three splits; for `Steps` numbers of steps."""
        return tuple(count(getattr(self, split)) for split in SPLITS)


def count(split: Any) -> int:
    """Number of examples in a split: the length of its first array."""
    return len(jax.tree.leaves(split)[0])


def content_hash(splits: Iterable[Any], more: str = "") -> str:
    """SHA-256 of the arrays of splits: of their dtypes, shapes, bytes and paths in a tree."""
    digest = hashlib.sha256()
    for split in splits:
        for path, leaf in jax.tree_util.tree_leaves_with_path(split):
            array = np.ascontiguousarray(leaf)
            place = "" if isinstance(split, Images | Rolls) else jax.tree_util.keystr(path)
            digest.update(f"{place}{array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    digest.update(more.encode())
    return digest.hexdigest()


def by_content(images: Array, labels: Array) -> Images:
    """The images sorted by the SHA-256 of pixels and label, an order that depends on their bytes alone.

    TFDS stores examples in its own order; held-out images are the first ones in this sorted order.
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
