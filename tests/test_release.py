"""The wheel and the source distribution and the README's first program run from the wheel."""

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
    assert "nats per step of lag: -" in done.stdout and str(tmp_path / "site") in done.stdout
