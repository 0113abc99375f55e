"""Records: exact intervals, provenance, atomic files, tables that are functions of records."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from recurrax import report


@dataclasses.dataclass(frozen=True)
class Settings:
    seeds: tuple[int, ...] = (0, 1)
    rate: float = 1e-3
    out: Path = Path("somewhere")


@pytest.mark.parametrize(
    "k, n, low, high", [(5, 5, 0.478, 1), (10, 10, 0.692, 1), (0, 5, 0, 0.522), (3, 5, 0.147, 0.947)]
)
def test_interval_is_clopper_pearson(k, n, low, high):
    np.testing.assert_allclose(report.interval(k, n), (low, high), atol=1e-3)


@pytest.mark.parametrize("k, n", [(6, 5), (-1, 5), (0, 0)])
def test_interval_refuses(k, n):
    with pytest.raises(ValueError, match="allowed: 0 <= k <= n"):
        report.interval(k, n)


def test_hash_follows_settings_and_not_the_folder():
    base = report.config_hash(Settings())
    assert base == report.config_hash(Settings(out=Path("elsewhere")))
    assert base != report.config_hash(Settings(rate=2e-3))
    assert base != report.config_hash(Settings(seeds=(0, 2)))


def test_record_round_trips_through_json(tmp_path):
    results = {"array": jnp.arange(3), "bad": np.array([1.0, np.nan, -np.inf]), "nested": [{"x": np.float32(0.5)}]}
    entry = report.record("demo", Settings(), results, 1.23)
    read = json.loads(report.save(tmp_path, entry).read_text())
    assert read == entry
    assert read["results"] == {"array": [0, 1, 2], "bad": [1.0, None, None], "nested": [{"x": 0.5}]}
    assert read["config"] == {"seeds": [0, 1], "rate": 1e-3}
    assert {"versions", "device", "float", "commit", "command", "time"} <= set(read["provenance"])
    assert read["provenance"]["versions"]["jax"]


def test_the_recorded_command_names_no_folder(monkeypatch):
    for flags in (["--out", "/home/me/results"], ["--out=/home/me/results"]):
        monkeypatch.setattr(sys, "argv", ["demo.py", "--steps", "3", *flags, "--chunk", "1"])
        assert report.provenance()["command"].endswith(" --steps 3 --chunk 1")


def test_write_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    report.write(path, "old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        report.write(path, "new")
    assert path.read_text() == "old"


def test_unwritable_folder_is_refused(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(ValueError, match=r"cannot write to the output folder .*file/sub.*allowed: .*--out"):
        report.check_folder(blocker / "sub")


def test_names_in_a_row():
    assert [report.listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert report.listed(["a", "b"], "or") == "a or b"


def test_markdown_table():
    table = report.markdown_table([{"a": "1", "long": "x"}, {"a": "22", "long": "y"}])
    assert table.splitlines() == ["| a  | long |", "| -- | ---- |", "| 1  | x    |", "| 22 | y    |"]
