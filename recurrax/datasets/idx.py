"""The IDX files of MNIST, gzipped or not."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from recurrax.datasets.dataset import Images

# MD5 of the original files, unpacked, as widely published.
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
UNSIGNED_BYTE = 8


def read(folder: Path) -> tuple[str, Images, Images] | None:
    """Source, training and test images of a folder with the four files; None if a file is missing.

    The source names the files that are not the original ones.

    Raises:
        ValueError: a file is not an IDX file of unsigned bytes, or is cut short.
    """
    paths = [_find(folder, name) for name in FILES]
    if None in paths:
        return None
    contents = [unpack(path) for path in paths if path is not None]
    pairs = zip(FILES.items(), contents, strict=True)
    others = [name for (name, md5), content in pairs if hashlib.md5(content).hexdigest() != md5]
    doubt = f"not the original by MD5: {', '.join(others)}" if others else "all four the original ones by MD5"
    arrays = [parse(content, name) for name, content in zip(FILES, contents, strict=True)]
    return f"IDX files, {doubt}", Images(arrays[0][..., None], arrays[1]), Images(arrays[2][..., None], arrays[3])


def unpack(path: Path) -> bytes:
    """The content of a file, unpacked if it is gzipped.

    Raises:
        ValueError: the file is gzipped and damaged.
    """
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); allowed: a whole gzip file. Replace it.") from error


def parse(content: bytes, name: str) -> np.ndarray:
    """An IDX file of unsigned bytes as an array: 0, 0, 8, number of dimensions, each as big-endian uint32, values.

    Raises:
        ValueError: it is not such a file.
    """
    if content[:3] == bytes([0, 0, UNSIGNED_BYTE]) and len(content) > 3:
        start = 4 + 4 * content[3]
        shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
        if len(content) == start + math.prod(shape):
            return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    raise ValueError(
        f"{name} is not a whole IDX file of unsigned bytes; allowed: the original, gzipped or not. Replace it."
    )


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)
