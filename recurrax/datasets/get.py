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

PATIENCE = 15.0  # seconds for a server to answer; TFDS would try for minutes


def get(name: str, data_dir: Path, manual_dir: Path | None = None) -> Dataset:
    """Prepares a data set in ``<data_dir>/<name>`` and loads it.

    Args:
        name: of a data set that has files.
        data_dir: where TFDS keeps it; what is prepared there already stays.
        manual_dir: folder with the original archives, under the names that they have on their servers; nothing is then
            downloaded for those.

    Raises:
        ValueError: it needs no files, or a file has another checksum than TFDS knows.
        ConnectionError: a server does not answer.
        ImportError: tensorflow-datasets is not installed.
    """
    tfds = prepared.tfds()
    from recurrax.datasets.builders import BUILDERS

    if name not in BUILDERS:
        raise ValueError(f"data set {name!r}; allowed: {', '.join(BUILDERS)}. The digits come with scikit-learn.")
    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of every data set that is not there yet
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
    """Asks for every file that is not here already, before TFDS does."""
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
