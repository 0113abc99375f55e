"""Loads data sets by name from local folders, without the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.datasets import idx, music, prepared
from recurrax.datasets.dataset import Dataset, Images, by_content, part
from recurrax.datasets.missing import MissingData

VALIDATION = 5000  # held-out images of the training files of MNIST and CIFAR-10
DIGITS = 300  # the number of scikit-learn's digits for validation, and for the test


def default_folder() -> Path:
    """The default folder of TFDS: ``TFDS_DATA_DIR`` of the environment, or ``~/tensorflow_datasets``."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Loads a data set into memory.

    Args:
        name: a key of `DATASETS`.
        data_dir: a folder of TFDS, or a folder with the original files in it or in ``<data_dir>/<name>``; None is
            TFDS's default folder. ``digits`` needs no folder.

    Raises:
        ValueError: the name is unknown, or the files are not the expected ones.
        MissingData: the data set is not there; the message gives the command that downloads it.
        ImportError: a library that it needs is not installed.
    """
    if name not in DATASETS:
        raise ValueError(f"data set {name!r}; allowed: {', '.join(DATASETS)}. Try 'digits', which needs no files.")
    return DATASETS[name](default_folder() if data_dir is None else Path(data_dir).expanduser())


def digits(_: Path) -> Dataset[Images]:
    """The 1,797 digits of scikit-learn, 8 x 8 pixels from 0 to 16; all splits contain the same writers."""
    try:
        import sklearn
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('digits needs scikit-learn: python -m pip install "recurrax[data]".') from error
    bundled: Any = load_digits()
    images = by_content(bundled.images.astype(np.uint8)[..., None], bundled.target)
    test, validation = part(images, 0, DIGITS), part(images, DIGITS, 2 * DIGITS)
    source = f"bundled with scikit-learn {sklearn.__version__}"
    return Dataset("digits", source, part(images, 2 * DIGITS), validation, test)


def mnist(data_dir: Path) -> Dataset[Images]:
    """MNIST as TFDS prepared it, or from its four IDX files."""
    return _images("mnist", data_dir, idx.read, idx.FILES)


def cifar10(data_dir: Path) -> Dataset[Images]:
    """CIFAR-10 as TFDS prepared it."""
    return _images("cifar10", data_dir, lambda _: None, ("cifar10/3.0.2 as TFDS writes it in the format array_record",))


def _images(
    name: str, data_dir: Path, read: Callable[[Path], tuple[str, Images, Images] | None], files: Collection[str]
) -> Dataset[Images]:
    """Images from TFDS's folder or else from plain files, with the training images split by content."""
    folders = [data_dir, data_dir / name]
    found = prepared.images(data_dir / name) or read(folders[0]) or read(folders[1])
    if found is None:
        raise MissingData(name, folders, files)
    source, train, test = found
    train, test = by_content(*train), by_content(*test)
    held_out = min(VALIDATION, len(train.labels) // 2)
    return Dataset(name, source, part(train, held_out), part(train, 0, held_out), test)


DATASETS: dict[str, Callable[[Path], Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "cifar10": cifar10,
    "jsb_chorales": music.jsb_chorales,
}
