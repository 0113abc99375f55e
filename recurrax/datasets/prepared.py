"""Reads data sets prepared by TFDS without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recurrax.datasets.dataset import Images


def images(folder: Path) -> tuple[str, Images, Images] | None:
    """Source, training and test images in a data set's folder; None if TFDS has prepared nothing there.

    Raises:
        ValueError: the data set was prepared in a format that needs TensorFlow.
    """
    builder = find(folder)
    if builder is None:
        return None
    train, test = (_read(builder, split) for split in ("train", "test"))
    return describe(builder), train, test


def find(folder: Path) -> Any:
    """TFDS's builder of the latest version in a data set's folder; None if there is none."""
    versions = sorted(path.parent for path in folder.glob("*/dataset_info.json"))
    if not versions:
        return None
    builder = tfds().builder_from_directory(str(versions[-1]))
    stored = builder.info.file_format.value
    if stored != "array_record":
        raise ValueError(
            f"{versions[-1]} is in TFDS's format {stored!r}, which needs TensorFlow; allowed: 'array_record'. Make it "
            f"in another folder: python -m recurrax.datasets get {folder.name} --data-dir OTHER."
        )
    return builder


def describe(builder: Any) -> str:
    """Describes the origin of the arrays."""
    return f"TFDS {builder.info.full_name}, whose files passed TFDS's checksums when it was prepared"


def tfds() -> Any:
    """Imports tensorflow_datasets on demand, because the import takes as long as all of recurrax."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            'this data set needs tensorflow-datasets (not TensorFlow): python -m pip install "recurrax[data]".'
        ) from error
    return tensorflow_datasets


def _read(builder: Any, split: str) -> Images:
    source = builder.as_data_source(split=split)
    rows = source.__getitems__(list(range(len(source))))
    return Images(np.stack([row["image"] for row in rows]), np.asarray([row["label"] for row in rows], np.uint8))
