"""The one place that uses the network: TFDS downloads, verifies and stores a data set."""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from recurrax.datasets import prepared
from recurrax.datasets.dataset import Dataset
from recurrax.datasets.load import load

PATIENCE = 15.0  # seconds to wait for a server; TFDS would try for minutes


def get(name: str, data_dir: Path, manual_dir: Path | None = None) -> Dataset:
    """Prepares a data set in ``<data_dir>/<name>`` and loads it.

    Args:
        name: name of a data set with files.
        data_dir: TFDS's folder; data sets that are already prepared there are kept.
        manual_dir: folder with the original archives, under their names on the servers; these are not downloaded.

    Raises:
        ValueError: the data set needs no files, or a file does not have TFDS's checksum.
        ConnectionError: a server does not answer.
        ImportError: tensorflow-datasets is not installed.
    """
    tfds = prepared.tfds()
    from recurrax.datasets.builders import BUILDERS

    if name not in BUILDERS:
        raise ValueError(f"data set {name!r}; allowed: {', '.join(BUILDERS)}. The digits come with scikit-learn.")
    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns about every data set that is not prepared yet
    builder = BUILDERS[name](data_dir=str(data_dir), file_format="array_record")
    if not builder.is_prepared():
        _check_servers(builder.url_infos, data_dir, manual_dir)
        config = tfds.download.DownloadConfig(
            manual_dir=None if manual_dir is None else str(manual_dir),
            force_checksums_validation=True,
            try_download_gcs=False,
        )
        try:
            builder.download_and_prepare(download_config=config)
        except tfds.core.download.download_manager.NonMatchingChecksumError as error:
            raise ValueError(f"a file is not the original: {' '.join(str(error).split())}. Get it again.") from error
    return load(name, data_dir)


def _check_servers(url_infos: dict[str, Any], data_dir: Path, manual_dir: Path | None) -> None:
    """Checks the server of every missing file before TFDS downloads it."""
    for url, info in url_infos.items():
        if manual_dir is not None and (manual_dir / info.filename).is_file():
            continue
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE):
                pass
        except (urllib.error.URLError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            raise ConnectionError(
                f"{url} cannot be had ({reason}); allowed: a network that reaches it, or the file {info.filename} in a "
                f"folder given with --manual-dir. Nothing was written to {data_dir}."
            ) from error
