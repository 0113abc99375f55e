"""The notebooks run, small; their committed outputs have plots and no errors; each has a text twin."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "00_lstm_in_five_minutes", "01_lstm_by_hand", "02_vanishing_and_exploding", "03_rnn_gru_lstm", "04_write_text",
    "05_forecast", "06_your_own_cell", "07_many_seeds", "08_long_sequences", "09_sequential_mnist",
]  # fmt: skip
EXPLAINED = "**What you should see.** "
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.mark.slow
@every_notebook
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
    text = (ROOT / "notebooks" / "01_lstm_by_hand.py").read_text()
    exec(compile(text, "01_lstm_by_hand.py", "exec"), {"__name__": "__main__"})


def test_there_are_these():
    assert [path.stem for path in NOTEBOOKS] == NAMES
    page = (ROOT / "docs" / "notebooks.md").read_text()
    assert [name for name in NAMES if f"notebooks/{name}" not in page] == []


@every_notebook
def test_its_outputs_are_there_and_tell_nothing_of_the_machine(path):
    outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
    assert all(cell["execution_count"] for cell in cells(path, "code"))
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert "application/vnd.jupyter.widget-view+json" not in shown, "a widget shows nothing without a kernel"
    texts = "".join("".join(output.get("text", [])) for output in outputs)
    assert texts and not re.search(r"/(home|root|tmp|work|Users)/", texts)


@every_notebook
def test_its_figures_are_small_and_explained(path):
    found = 0
    whole = json.loads(path.read_text())["cells"]
    for cell, after in zip(whole, [*whole[1:], {"cell_type": "", "source": ""}], strict=True):
        pictures = [
            output["data"]["image/png"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
        ]
        found += len(pictures)
        for picture in pictures:
            assert len(base64.b64decode("".join(picture))) < 150_000
        if pictures:
            text = "".join(after["source"])
            assert after["cell_type"] == "markdown" and text.startswith(EXPLAINED), "".join(cell["source"])
            assert len(text) > len(EXPLAINED) + 40
    assert found


@every_notebook
def test_each_of_its_cells_of_code_has_a_title(path):
    """As a form of Colab; the formatter puts the space behind the hash."""
    untitled = [cell["source"] for cell in cells(path, "code") if not cell["source"][0].startswith("# @title ")]
    assert untitled == []


@every_notebook
def test_it_opens_in_colab_by_its_badge_and_installs_what_is_missing(path):
    (first, *_), (install, *_) = cells(path, "markdown"), cells(path, "code")
    assert f"/notebooks/{path.name})" in "".join(first["source"])
    assert "a CPU" in " ".join("".join(first["source"]).split()), "it says how long it takes"
    assert 'find_spec("recurrax") is None' in "".join(install["source"])
    assert """run_line_magic("pip", 'install -q """ in "".join(install["source"])  # %pip, which is no Python


@every_notebook
def test_it_ends_with_links_to_the_next_notebook_and_to_a_page(path):
    """The last one leads back to the first."""
    last = json.loads(path.read_text())["cells"][-1]
    following = NAMES[(NAMES.index(path.stem) + 1) % len(NAMES)]
    assert last["cell_type"] == "markdown" and f"]({following}.ipynb)" in "".join(last["source"])
    pages = re.findall(r"recurrax/blob/main/(docs/[\w/]+\.md)", "".join(last["source"]))
    assert pages and [page for page in pages if not (ROOT / page).is_file()] == []


@every_notebook
def test_its_text_twin_says_the_same(path):
    jupytext = pytest.importorskip("jupytext", reason="pairing needs recurrax[dev]")
    notebook, twin = jupytext.read(path), jupytext.read(path.with_suffix(".py"))
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in twin.cells]
