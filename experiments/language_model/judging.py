"""Results of `experiments.language_model` for pages and figures: bits of every model, and the best one."""

from __future__ import annotations

import textwrap

import numpy as np

from experiments.lab import Record

NAMED = {"LSTM": "LSTM", "GRU": "GRU", "RNN": "plain RNN", "MinGRU": "linear cell (two layers of MinGRU)"}


def wrapped(text: str) -> str:
    """A paragraph in lines of a page."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def cells(record: Record) -> list[str]:
    """The cells of the record."""
    return list(record["config"]["cells"])


def bits(record: Record, cell: str) -> np.ndarray:
    """Test bits a character of every seed."""
    return np.asarray(record["results"][cell]["test_bits"], float)


def middle(record: Record, cell: str) -> float:
    """The median over the seeds."""
    return float(np.median(bits(record, cell)))


def winner(record: Record) -> str:
    """The cell with the fewest bits."""
    return min(cells(record), key=lambda cell: middle(record, cell))


def counted(record: Record) -> dict[str, float]:
    """Test bits a character of what needs no gradients."""
    grams = record["results"]["n-grams"]
    names = {0: "all characters equally likely", 1: "unigram"}
    rows = {names.get(k, f"{k}-gram"): value for k, value in zip(grams["orders"], grams["test"], strict=True)}
    return rows | record["results"]["compressors"]["test"]


def rival(record: Record) -> tuple[str, float]:
    """The best of what needs no gradients."""
    return min(counted(record).items(), key=lambda row: row[1])


def spells(mine: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether the network is ahead by 0.05 bits at the first letter of a word, and the n-gram at the sixth."""
    return bool(mine[0] < theirs[0] - 0.05 and mine[5] > theirs[5])
