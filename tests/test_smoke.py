"""The experiments of the laboratory from their command lines, small: record, table and figure, and going on."""

import importlib
import json

import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from test_experiments import WITH_FIGURES, run

from experiments import parts


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [name for name in WITH_FIGURES if name != "claims"])  # see test_claims.py
def test_a_small_run_writes_what_it_prints(experiment, tmp_path):
    done = run(experiment, "--preset", "smoke", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert record["complete"]
    text = importlib.import_module(f"experiments.{experiment}.tables").document(record)
    assert done.stdout.strip() == text.strip() == path.with_suffix(".md").read_text().strip()
    assert path.with_suffix(".png").stat().st_size > 20_000
    assert not list((tmp_path / "runs").glob("*"))  # all that counts is in the record


def test_parts_that_were_measured_are_not_measured_again(tmp_path, capsys):
    import dataclasses

    from experiments.gates.config import SMOKE

    config, calls = dataclasses.replace(SMOKE, out=tmp_path), []

    def part(name: str, fails: bool = False):
        def run() -> dict:
            calls.append(name)
            if fails:
                raise KeyboardInterrupt
            return {"value": len(calls)}

        return run

    with pytest.raises(KeyboardInterrupt):
        parts.measure("gates", config, {"one": part("one"), "two": part("two", fails=True)})
    record = parts.measure("gates", config, {"one": part("one"), "two": part("two")})
    assert calls == ["one", "two", "two"]
    assert record["complete"] and record["results"] == {"one": {"value": 1}, "two": {"value": 3}}
    assert "[2/2] two" in capsys.readouterr().err
