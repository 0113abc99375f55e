"""The published numbers of Hochreiter & Schmidhuber (1997) for each row, and the differences of our rows."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A row of the paper, or one that differs from it by a stated change."""

    task: str
    weights: int
    """The net that is run."""
    rules: tuple[str, ...]
    sequences: tuple[int | None, ...]
    """Mean over successful trials until each rule was met; None: not met, or not printed."""
    wrong: tuple[str, ...]
    """The printed result of the test."""
    note: str = ""
    differs: str = ""
    """Differs from the text by; empty: by nothing that the text states."""


SHORT = "none of 256 wrong"
TIGHT = "and mean error < 0.01"
LAST = "last 2,000 within 0.04"
ORDER = "last 2,000 within 0.3, mean error < 0.1"
LAG = "100 steps"
STEPS = "an update after each step"
WIDE = f"output units see inputs and gates too; {STEPS}"
FLAT = f"{WIDE}; h in (-2, 2)"
SHUT = "input gates' net input - 4, fixed"
DIRECT = "error t - y without the slope of the output unit"
INPUTS = "cells see inputs only"


def _reber(net: str, weights: int, sequences: int | None, note: str, differs: str = "") -> Published:
    task = f"1: embedded Reber grammar, {net}"
    return Published(task, weights, ("all 512 strings right",), (sequences,), ("",), note, differs)


FOUR, THREE, ALL = "4 blocks", "3 blocks of 2", "100% of 30"


def _two(task: str, weights: int, sequences: int | None, note: str, differs: str = "") -> Published:
    end = " at the end" if task.startswith("2b") else ""
    return Published(task, weights, (f"errors < 0.25{end} on 10,000",), (sequences,), ("",), note, differs)


def _two_c(q: int, p: int, weights: int, sequences: int, differs: str = "") -> Published:
    task = f"2c: random lag > {q}, {p} distractors"
    return Published(task, weights, ("errors < 0.2 on 10,000",), (sequences,), ("",), "20/20", differs)


def _order(task: str, weights: int, sequences: int | None, wrong: str, note: str = "", differs: str = "") -> Published:
    return Published(task, weights, (ORDER,), (sequences,), (wrong,), note, differs)


PUBLISHED = {
    "1-264": _reber(FOUR, 264, 39_740, ALL),
    "1-264-0.5": _reber(f"{FOUR}, rate 0.5", 264, 9_500, "97% of 30"),
    "1-276": _reber(f"{THREE}, rate 0.5", 276, 8_440, ALL),
    "1-stepwise": _reber(f"{THREE}, rate 0.5", 276, 8_440, ALL, STEPS),
    "1-exact": _reber(f"{THREE}, rate 0.5, exact gradient", 276, None, "not in the paper", "exact gradient"),
    "1-adam": _reber(f"{THREE}, exact gradient, Adam", 276, None, "not in the paper", "exact gradient, Adam"),
    "1-264-steps": _reber(FOUR, 264, 39_740, ALL, STEPS),
    "1-276-steps": _reber(THREE, 276, 21_730, ALL, STEPS),
    "1-264-wide": _reber(FOUR, 369, 39_740, ALL, WIDE),
    "1-264-wide-0.5": _reber(f"{FOUR}, rate 0.5", 369, 9_500, "97% of 30", FLAT),
    "1-276-wide": _reber(THREE, 367, 21_730, ALL, WIDE),
    "1-276-wide-0.2": _reber(f"{THREE}, rate 0.2", 367, 14_060, "97% of 30", FLAT),
    "1-276-wide-0.5": _reber(f"{THREE}, rate 0.5", 367, 8_440, ALL, FLAT),
    "2a": _two(f"2a: lag {LAG}", 10_504, 5_040, "18/18"),
    "2a-20": _two("2a: lag 20", 504, None, "not in the paper", "a shorter lag"),
    "2a-10": _two("2a: lag 10", 154, None, "not in the paper", "a shorter lag"),
    "2a-simple": _two("2a: lag 10, simple net", 144, None, "0% by RTRL in 5,000,000"),
    "2a-shifted": _two(f"2a: lag {LAG}", 10_504, 5_040, "18/18", f"{SHUT}; {STEPS}; error of equations 16, 17"),
    "2a-shifted-direct": _two(f"2a: lag {LAG}", 10_504, 5_040, "18/18", f"{SHUT}; {STEPS}; {DIRECT}"),
    "2b": _two(f"2b: lag {LAG}, random between", 10_504, 5_680, "18/18"),
    "2b-simple": _two("2b: lag 10, simple net", 144, None, "fails (RTRL, BPTT)"),
    "2b-shifted": _two(
        f"2b: lag {LAG}, random between",
        10_504,
        5_680,
        "18/18",
        f"{SHUT}; error at the end only; error of equations 16, 17",
    ),
    "2b-shifted-direct": _two(
        f"2b: lag {LAG}, random between", 10_504, 5_680, "18/18", f"{SHUT}; error at the end only; {DIRECT}"
    ),
    "2c-50": _two_c(50, 50, 364, 30_000),
    "2c-100": _two_c(100, 100, 664, 31_000),
    "2c-200": _two_c(200, 200, 1264, 33_000),
    "2c-1000-1000": _two_c(1000, 1000, 6064, 49_000),
    "2c-1000-50": _two_c(1000, 50, 364, 203_000),
    "2c-50-inputs": _two_c(50, 50, 352, 30_000, INPUTS),
    "2c-100-inputs": _two_c(100, 100, 652, 31_000, INPUTS),
    "2c-200-inputs": _two_c(200, 200, 1252, 33_000, INPUTS),
    "2c-1000-1000-inputs": _two_c(1000, 1000, 6052, 49_000, INPUTS),
    "3a-3": Published("3a: 2-sequence, 3 values", 102, (SHORT, TIGHT), (27_380, 39_850), ("", "0.000195 of them")),
    "3a-1": Published("3a: 2-sequence, 1 value", 102, (SHORT, TIGHT), (58_370, 64_330), ("", "0.000117 of them")),
    "3b-3": Published(
        "3b: noise on 3 values",
        102,
        ("< 6 of 256 wrong", "and mean error < 0.04"),
        (41_740, 43_250),
        ("", "0.00828 of them"),
    ),
    "3b-1": Published(
        "3b: noise on 1 value",
        102,
        ("< 6 of 256 wrong", "and mean error < 0.04"),
        (74_950, 78_430),
        ("", "0.015 of them"),
    ),
    "3c-3": Published(
        "3c: noisy targets, 3 values", 102, (f"{SHORT}, mean error < 0.015",), (269_650,), ("0.00558 of them",)
    ),
    "3c-1": Published(
        "3c: noisy targets, 1 value", 102, (f"{SHORT}, mean error < 0.015",), (565_640,), ("0.00441 of them",)
    ),
    "4": Published("4: adding, linear output", 93, (LAST,), (74_000,), ("1",), "", "linear output unit"),
    "4-logistic": Published("4: adding, logistic output", 93, (LAST,), (74_000,), ("1",)),
    "4-half-linear": Published(
        "4: adding, half-linear output", 93, (LAST,), (74_000,), ("1",), "", "output unit 1/2 + a/4, not cut off"
    ),
    "5": Published(
        "5: multiplication, error of equation 19",
        93,
        ("< 140 of 2,000 wrong", "< 13 of 2,000 wrong"),
        (482_000, 1_273_000),
        ("139", "14"),
    ),
    "5-whole": Published(
        "5: multiplication, error of equations 16, 17",
        93,
        ("< 140 of 2,000 wrong", "< 13 of 2,000 wrong"),
        (482_000, 1_273_000),
        ("139", "14"),
    ),
    "6a": _order("6a: order of two symbols", 156, 31_390, "1"),
    "6a-exact": _order("6a: the same, exact gradient", 156, None, "", "not in the paper", "exact gradient"),
    "6b": _order("6b: order of three symbols", 308, 571_100, "2"),
    "6b-inputs": _order("6b: order of three symbols", 236, 571_100, "2", "", INPUTS),
    "6b-direct": _order("6b: order of three symbols", 308, 571_100, "2", "", DIRECT),
}
GUESSING = ("3a-3-guess", "3a-1-guess")
"""Random weight guessing: of experiment 3a the paper says that it is faster than every gradient method."""
NAMES = (*PUBLISHED, *GUESSING)
LABELS = {
    "1-264": "1: 4 blocks",
    "1-264-0.5": "1: 4 blocks, rate 0.5",
    "1-276": "1: 3 blocks, rate 0.5",
    "1-stepwise": "1: 3 blocks, rate 0.5, update each step",
    "1-exact": "1: 3 blocks, exact gradient",
    "1-adam": "1: 3 blocks, exact gradient, Adam",
    "1-264-steps": "1: 4 blocks, update each step",
    "1-276-steps": "1: 3 blocks, update each step",
    "1-264-wide": "1: 4 blocks, wider outputs",
    "1-264-wide-0.5": "1: 4 blocks, wider outputs, rate 0.5",
    "1-276-wide": "1: 3 blocks, wider outputs",
    "1-276-wide-0.2": "1: 3 blocks, wider outputs, rate 0.2",
    "1-276-wide-0.5": "1: 3 blocks, wider outputs, rate 0.5",
    "2a": "2a: lag 100",
    "2a-20": "2a: lag 20",
    "2a-10": "2a: lag 10",
    "2a-simple": "2a: lag 10, plain RNN",
    "2a-shifted": "2a: input gates shut",
    "2a-shifted-direct": "2a: input gates shut, error t - y",
    "2b": "2b: lag 100",
    "2b-simple": "2b: lag 10, plain RNN",
    "2b-shifted": "2b: input gates shut",
    "2b-shifted-direct": "2b: input gates shut, error t - y",
    "2c-50": "2c: lag > 50",
    "2c-100": "2c: lag > 100",
    "2c-200": "2c: lag > 200",
    "2c-1000-1000": "2c: lag > 1000, 1000 distractors",
    "2c-1000-50": "2c: lag > 1000, 50 distractors",
    "2c-50-inputs": "2c: lag > 50, cells see inputs",
    "2c-100-inputs": "2c: lag > 100, cells see inputs",
    "2c-200-inputs": "2c: lag > 200, cells see inputs",
    "2c-1000-1000-inputs": "2c: lag > 1000, cells see inputs",
    "3a-3": "3a: 3 values tell the class",
    "3a-1": "3a: 1 value tells the class",
    "3b-3": "3b: 3 noisy values",
    "3b-1": "3b: 1 noisy value",
    "3c-3": "3c: noisy targets, 3 values",
    "3c-1": "3c: noisy targets, 1 value",
    "4": "4: adding, linear output",
    "4-logistic": "4: adding, logistic output",
    "4-half-linear": "4: adding, half-linear output",
    "5": "5: multiplication, eq. 19",
    "5-whole": "5: multiplication, eqs. 16, 17",
    "6a": "6a: order of 2 symbols",
    "6a-exact": "6a: 2 symbols, exact gradient",
    "6b": "6b: order of 3 symbols",
    "6b-inputs": "6b: 3 symbols, cells see inputs",
    "6b-direct": "6b: 3 symbols, error t - y",
    "3a-3-guess": "3a: 3 values, guessed weights",
    "3a-1-guess": "3a: 1 value, guessed weights",
}
"""The rows in the words of a figure."""
