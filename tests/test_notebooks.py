"""The notebooks run, small; their committed outputs have plots and no errors; each has a text twin."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path):
    pytest.importorskip("nbmake", reason="running notebooks needs recurrax[dev]")
    command = [sys.executable, "-m", "pytest", "--nbmake", "-o", "addopts=", "-o", "filterwarnings=", str(path)]
    small = {"RECURRAX_SMALL": "1", "JAX_NUM_CPU_DEVICES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | small, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_text_twin_of_one_runs(monkeypatch):
    """In this process, as Python; the others, and what a kernel does with them, are slow."""
    plt = pytest.importorskip("matplotlib.pyplot", reason="notebooks need recurrax[experiments]")
    monkeypatch.setenv("RECURRAX_SMALL", "1")
    monkeypatch.setattr(plt, "show", lambda: None)
    text = (ROOT / "notebooks" / "01_cells.py").read_text()
    exec(compile(text, "01_cells.py", "exec"), {"__name__": "__main__"})


def test_there_are_these():
    names = [
        "01_cells", "02_vanishing_gradients", "03_long_dependencies", "04_your_own_cell", "05_text", "06_forecasting",
    ]  # fmt: skip
    assert [path.stem for path in NOTEBOOKS] == names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_outputs_are_there_and_tell_nothing_of_the_machine(path):
    outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
    assert all(cell["execution_count"] for cell in cells(path, "code"))
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    texts = "".join("".join(output.get("text", [])) for output in outputs)
    assert texts and not re.search(r"/(home|root|tmp|work|Users)/", texts)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_opens_in_colab_by_its_badge_and_installs_what_is_missing(path):
    (first, *_), (install, *_) = cells(path, "markdown"), cells(path, "code")
    assert f"/notebooks/{path.name})" in "".join(first["source"])
    assert 'find_spec("recurrax") is None' in "".join(install["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_text_twin_says_the_same(path):
    jupytext = pytest.importorskip("jupytext", reason="pairing needs recurrax[dev]")
    notebook, twin = jupytext.read(path), jupytext.read(path.with_suffix(".py"))
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in twin.cells]
