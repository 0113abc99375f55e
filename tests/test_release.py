"""The wheel and the source distribution and the README's first program run from the wheel."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling", reason="building needs recurrax[dev]")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_the_source_all_that_tests_need(built):
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "recurrax").rglob("*.py")}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert modules | {"recurrax/py.typed"} <= names
    assert {name.partition("/")[0] for name in names if not name.startswith("recurrax-")} == {"recurrax"}
    inside = {name.partition("/")[2] for name in tarfile.open(source).getnames()}
    wanted = {
        "README.md",
        "CITATION.cff",
        "docs/conf.py",
        "tests/conftest.py",
        "experiments/lab.py",
        "LICENSE",
    }
    assert modules | wanted <= inside
    assert not [name for name in inside if name.startswith(("runs/", "experiments/results/launch/runs", "docs/_build"))]


@pytest.mark.slow
def test_the_first_program_of_the_readme_runs_from_the_wheel(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    command = [sys.executable, "-c", f"{program}\nprint(rx.__file__)"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 seeds solve it" in done.stdout and str(tmp_path / "site") in done.stdout


@pytest.mark.slow
def test_the_command_of_the_wheel_runs_and_without_its_extra_says_how_to_install_it(built, tmp_path):
    """In an environment with the wheel alone, whose dependencies are those of this one; at first without the extra."""
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    command, site = tmp_path / "env" / "bin" / "recurrax", tmp_path / "rest"
    done = call(
        tmp_path / "env" / "bin" / "python", "-m", "pip", "install", "--no-deps", "--quiet", wheel, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    site.mkdir()
    (here,) = {Path(importlib.util.find_spec(name).origin).parents[1] for name in ("jax", "flax")}
    for path in here.iterdir():
        if not path.name.lower().startswith(("recurrax", "__editable__", "_recurrax", "_virtualenv", "distutils")):
            (site / path.name).symlink_to(path)
    extra = [path for path in site.iterdir() if path.name in ("tyro", "matplotlib")]  # Flax needs rich
    assert len(extra) == 2
    for path in extra:
        path.rename(tmp_path / path.name)
    done = call(command, "list", cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == (
        'error: the command recurrax needs tyro, matplotlib; install them: pip install "recurrax[cli]"\n'
    )
    for path in extra:
        (tmp_path / path.name).rename(path)
    assert " LSTM " in call(command, "list", "cells", cwd=tmp_path, PYTHONPATH=str(site)).stdout
    done = call(command, "train", "--preset", "smoke", cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert "Not solved by GRU." in done.stdout
    (record,) = (tmp_path / "runs" / "train").glob("*.json")
    assert json.loads(record.read_text())["provenance"]["command"] == "recurrax train --preset smoke"


def call(*words, cwd, **environment):
    """A command in a process of its own, which does not see the checkout."""
    mine = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    return subprocess.run([*map(str, words)], cwd=cwd, env=mine, capture_output=True, text=True, timeout=600)
