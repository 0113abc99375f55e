"""Metrics files, with one line for each run at each evaluation: JSONL, CSV and, optionally, TensorBoard."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from recurrax.report import write
from recurrax.training.history import History


class Metrics:
    """The files ``metrics.jsonl`` (extended after every evaluation) and ``metrics.csv`` (written at the end).

    Args:
        folder: the folder of the run.
        tensorboard: also write event files, for ``tensorboard --logdir <folder>``.

    Raises:
        ImportError: ``tensorboard`` is True and tensorboardX is not installed.
    """

    def __init__(self, folder: Path, tensorboard: bool = False):
        self.folder, self._written, self._events, self._writer = folder, 0, None, None
        if tensorboard:
            try:
                from tensorboardX import SummaryWriter  # optional dependency
            except ImportError as error:
                raise ImportError(
                    'TensorBoard needs tensorboardX: python -m pip install "recurrax[tensorboard]". '
                    "metrics.jsonl is written in any case."
                ) from error
            self._writer = SummaryWriter

    def restart(self, history: History) -> None:
        """Rewrites the files from this history, which removes lines after the checkpoint."""
        write(self.folder / "metrics.jsonl", _lines(history, 0))
        self._written = len(history.steps)
        if self._writer is not None:
            done = int(history.steps[-1]) if self._written else -1
            self._events = self._writer(str(self.folder / "tensorboard"), purge_step=done + 1)

    def append(self, history: History) -> None:
        """Adds the evaluations that have not been written yet."""
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(_lines(history, self._written))
        if self._events is not None:
            for row in history.rows(self._written):
                point = "".join(f"-{name}-{row[name]:g}" for name in history.settings)
                for name in sorted(row.keys() - {"step", "seed"} - history.settings.keys()):
                    if math.isfinite(row[name]):
                        self._events.add_scalar(f"{name}/seed-{row['seed']}{point}", row[name], row["step"])
            self._events.flush()
        self._written = len(history.steps)

    def close(self, history: History) -> None:
        """Writes the CSV and closes the event file."""
        text = io.StringIO()
        rows = list(history.rows())
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        write(self.folder / "metrics.csv", text.getvalue())
        if self._events is not None:
            self._events.close()


def _lines(history: History, start: int) -> str:
    """Formats rows as JSON; NaN and infinities become null, which every reader accepts."""
    rows = ({k: v if _finite(v) else None for k, v in row.items()} for row in history.rows(start))
    return "".join(json.dumps(row) + "\n" for row in rows)


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
