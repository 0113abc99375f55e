"""Alarms of low glucose: their scores, the threshold, lead times and false alarms."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.glucose.data import LOW, SOON, Windows, due
from experiments.windows import short

STEP = 5  # minutes
READINGS = 288  # a day


def threshold(score: np.ndarray, right: np.ndarray) -> float:
    """The threshold with the largest F1 where alarms ``score >= threshold`` are to meet ``right``; both ``[n]``."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(right, score)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])


def judge(windows: Windows, minutes: np.ndarray, scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """Average precision of an alarm, and what it is like at the threshold that the validation split chooses.

    Args:
        windows: the data.
        minutes: time of every row of the series.
        scores: how likely low glucose is within 30 minutes, ``{"validation": [n], "test": [n]}``.

    Returns:
        ``ap``, the share of right origins ``base``, precision and recall of the origins; of the episodes of low
        glucose the share foreseen and the median lead in minutes; false alarms a day; and the precision at 40 recalls.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    allowed, right = due(windows, "validation")
    limit = threshold(scores["validation"][allowed], right[allowed])
    allowed, right = due(windows, "test")
    score, part = scores["test"], windows.splits["test"]
    precision, recall, _ = precision_recall_curve(right[allowed], score[allowed])
    levels = np.linspace(0, 1, 41)
    alarm = allowed & (score >= limit)
    hits = int((alarm & right).sum())
    return {
        "ap": float(average_precision_score(right[allowed], score[allowed])),
        "base": float(right[allowed].mean()),
        "threshold": limit,
        "precision": hits / max(1, int(alarm.sum())),
        "recall": hits / max(1, int(right[allowed].sum())),
        **episodes(minutes[windows.origins[part]], windows.bases["now"][part, 0], alarm, right),
        "curve": short(np.interp(levels, recall[::-1], np.maximum.accumulate(precision)[::-1]), 4),
    }


def episodes(times: np.ndarray, glucose: np.ndarray, alarm: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """The number of low-glucose episodes with an alarm before them, the lead times, and the number of false alarms.

    An episode begins where glucose is low and was not in the 30 minutes before; the lead is the time from the first
    alarm in the 30 minutes before it. Alarms less than 30 minutes apart are one; it is false where none of its
    origins is right.

    Args:
        times: of the origins, minutes ``[n]``.
        glucose: at the origins ``[n]``.
        alarm: bool ``[n]``.
        right: where an alarm is right, bool ``[n]``.
    """
    reach = SOON * STEP
    low = times[glucose < LOW]
    starts = low[np.diff(low, prepend=-(10**9)) > reach]
    given = times[alarm]
    leads = []
    for start in starts:
        before = given[(given >= start - reach) & (given < start)]
        leads.append(start - before.min() if len(before) else 0)
    groups = np.split(np.flatnonzero(alarm), np.flatnonzero(np.diff(given) > reach) + 1) if alarm.any() else []
    false = sum(not right[group].any() for group in groups)
    seen = [lead for lead in leads if lead > 0]
    return {
        "episodes": len(starts), "foreseen": len(seen), "lead": float(np.median(seen)) if seen else 0.0,
        "false_a_day": false / max(1e-9, len(times) / READINGS), "alarms": len(groups),
    }  # fmt: skip
