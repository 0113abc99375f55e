"""Polyphonic music: JSB chorales as piano rolls."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np

from recurrax.datasets import prepared
from recurrax.datasets.dataset import SPLITS, Dataset, Rolls
from recurrax.datasets.missing import MissingData

FILE = "JSB_Chorales.mat"
SHA256 = "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"
KEYS = 88


def jsb_chorales(data_dir: Path) -> Dataset[Rolls]:
    """JSB chorales with 88 keys, one frame per quarter note, and the published splits.

    Source: Boulanger-Lewandowski, Bengio & Vincent (2012), in the file of Bai, Kolter & Koltun (2018).
    """
    folders = [data_dir, data_dir / "jsb_chorales"]
    builder = prepared.find(folders[1])
    if builder is not None:
        pieces = {split: [row["piano_roll"] for row in builder.as_data_source(split=split)] for split in SPLITS}
        source = prepared.describe(builder)
    else:
        path = next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)
        if path is None:
            raise MissingData("jsb_chorales", folders, (FILE,))
        pieces = read_mat(path)
        original = hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
        source = f"{FILE}, {'' if original else 'not '}the original by SHA-256"
    train, validation, test = (_padded(pieces[split]) for split in SPLITS)
    return Dataset("jsb_chorales", source, train, validation, test)


def read_mat(path: Path) -> dict[str, list[np.ndarray]]:
    """Pieces of each split, ``[frames, 88]`` uint8, from the published MATLAB file.

    Raises:
        ValueError: the contents differ from the published file.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        pieces = {
            split: [np.asarray(piece, np.uint8) for piece in content[f"{field}data"][0]]
            for split, field in zip(SPLITS, ("train", "valid", "test"), strict=True)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold traindata, validdata and testdata; allowed: {FILE}.") from error
    if any(piece.ndim != 2 or piece.shape[1] != KEYS or piece.max() > 1 for piece in itertools.chain(*pieces.values())):
        raise ValueError(f"{path} holds other than piano rolls of {KEYS} keys, 0 or 1; allowed: {FILE}. Get it again.")
    return pieces


def _padded(pieces: list[np.ndarray]) -> Rolls:
    lengths = np.asarray([len(piece) for piece in pieces], np.int32)
    rolls = np.zeros((len(pieces), lengths.max(), KEYS), np.uint8)
    for roll, piece in zip(rolls, pieces, strict=True):
        roll[: len(piece)] = piece
    return Rolls(rolls, lengths)
