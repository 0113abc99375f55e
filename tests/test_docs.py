"""The site builds without a warning, holds every public name, and its links and programs hold."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recurrax as rx
from recurrax import tasks

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
MODULES = "cells engines layers gradflow tasks training datasets initializers report saving interop export".split()
API = ROOT / "docs" / "api"
NOT_RUN = ("scaling",)  # its programs need Optuna, Ray and clusters
QUICK = ("understand/lstm", "understand/gru", "understand/transformers")  # nothing in them takes time
WITH_PROGRAMS = [
    str(path.relative_to(ROOT / "docs").with_suffix(""))
    for path in PAGES
    if "```python" in path.read_text() and "notebooks" not in path.parts
]
PROGRAMS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in WITH_PROGRAMS if name not in NOT_RUN
]
NEEDED = {"howto/interop": ("keras", "torch"), "howto/edge": ("onnx", "onnxruntime", "flatbuffers")}  # beside recurrax
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for module in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(module, reason="the site needs recurrax[docs]")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", out / "trees", "docs", out / "html"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return out / "html"


def public(module: str) -> list[str]:
    """What a module offers: its own names, and those that its __init__ passes on as themselves."""
    where = importlib.import_module(f"recurrax.{module}")
    assert where.__file__ is not None
    if Path(where.__file__).name == "__init__.py":
        source = Path(where.__file__).read_text()
        names = set(re.findall(r"^from .* import (\w+) as \1$", source, re.MULTILINE))
        names |= {name for name in re.findall(r"^(?:def |)(\w+)(?: = |\()", source, re.MULTILINE)}
    else:
        names = {name for name, value in vars(where).items() if inspect.getmodule(value) is where}
    return sorted(name for name in names if not name.startswith("_"))


def every_public_name() -> set[str]:
    names = {f"recurrax.{module}.{name}" for module in MODULES for name in public(module)}
    names |= {"recurrax.Cell", "recurrax.Foreign", "recurrax.Structure"}
    names |= {"recurrax.kernels.Kernel", "recurrax.kernels.affine"}
    assert len(names) > 100
    return names


def test_the_pages_ask_for_every_public_name():
    """One by one, or with the whole module that holds it."""
    asked, module = set(), ""
    for page in (ROOT / "docs" / "api").glob("*.md"):
        directives = re.findall(r"^\.\. (auto|py:)(\w+):: ([\w.]+)(\n   :no-members:)?", page.read_text(), re.MULTILINE)
        for _, kind, name, alone in directives:
            if kind != "module":
                asked.add(name if "." in name else f"{module}.{name}")
                continue
            module = name
            asked |= set() if alone else {f"{name}.{member}" for member in vars(importlib.import_module(name))}
    assert not every_public_name() - asked


@pytest.mark.slow
def test_every_public_name_is_documented(site):
    from sphinx.util.inventory import InventoryFile

    with open(site / "objects.inv", "rb") as file:
        found = InventoryFile.load(file, "", lambda base, target: base + target)
    documented = {name for kind, names in found.items() if kind.startswith("py:") for name in names}
    assert not every_public_name() - documented


def test_what_the_package_offers_is_what_its_parts_offer():
    elsewhere = {id(getattr(importlib.import_module(f"recurrax.{m}"), n)) for m in MODULES for n in public(m)}
    offered = [name for name, value in vars(rx).items() if not name.startswith("_") and not inspect.ismodule(value)]
    assert {name for name in offered if id(getattr(rx, name)) not in elsewhere} == {
        "Cell", "Foreign", "Kernel", "RecurrentKernel", "Structure", "affine",
    }  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_says_what_it_is(module):
    where = importlib.import_module(f"recurrax.{module}")
    for name in public(module):
        value = getattr(where, name)
        if callable(value):
            text = inspect.getdoc(value) or ""
            assert len(text.split()) >= 5 and text.partition("\n")[0].endswith((".", ":")), f"{module}.{name}: {text!r}"


def test_every_cell_and_task_names_its_source():
    for cell in rx.cells.ALL:
        assert re.search(r"Source|\(\d{4}\)", inspect.getdoc(cell) or ""), cell
    for task in tasks.TASKS.values():
        text = (inspect.getdoc(task) or "") + (inspect.getmodule(task).__doc__ or "")
        assert "Source" in text, task


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda path: path.stem)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http", "#", "mailto")):
            path = (page.parent / target.partition("#")[0]).resolve()
            assert path.exists(), f"{page.name}: {target}"


@pytest.fixture
def docs(monkeypatch):
    """The folder from which the modules of the site are imported."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.syspath_prepend(ROOT / "docs" / "pictures")


@pytest.mark.usefixtures("quick", "docs")
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' variables
def test_programs_of_a_page_run_and_print_what_it_shows(name, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package, reason=f"the page is about {package}")
    pytest.importorskip("matplotlib", reason="plots need recurrax[experiments]").use("Agg")
    monkeypatch.chdir(tmp_path)
    assert importlib.import_module("programs").differences(name) == []


@pytest.mark.usefixtures("docs")
def test_outputs_are_compared_by_words_and_numbers():
    alike = importlib.import_module("programs").alike
    assert alike("slope -0.172, 3 of 3\n", "slope -0.171, 3 of 3\n")
    assert alike("1e-20\n", "2e-20\n") and not alike("1e-20\n", "1e-10\n")
    assert not alike("3 of 3\n", "2 of 3\n") and not alike("True\n", "False\n") and not alike("0.5\n", "0.9\n")


@pytest.mark.slow
@pytest.mark.usefixtures("docs")
def test_pictures_are_those_that_their_scripts_draw(tmp_path):
    """Byte for byte where the same Matplotlib draws them; one of them shows gradients, which a machine rounds."""
    import matplotlib

    draw = importlib.import_module("draw")
    draw.main(tmp_path)
    assert [path.stem for path in PICTURES] == sorted(draw.PICTURES)
    for path in PICTURES:
        shown, drawn = path.read_text(), (tmp_path / path.name).read_text()
        if f"Matplotlib v{matplotlib.__version__}," in shown and path.stem != "reading":
            assert drawn == shown, f"{path.name}: python docs/pictures/draw.py"


def test_every_picture_is_on_a_page_and_described():
    text = "\n".join(path.read_text() for path in PAGES)
    for path in PICTURES:
        assert re.search(rf"!\[[^\]]{{20,}}\]\((?:\.\./)?pictures/{path.name}\)", text), path.name


@pytest.mark.parametrize("page", sorted(API.glob("*.md")), ids=lambda path: path.stem)
def test_every_page_of_the_reference_begins_with_a_summary(page):
    text = page.read_text()
    first = re.search(r"^\.\. (summary|auto\w+)::", text, re.MULTILINE)
    assert first and first[1] == "summary", f"{page.name}: put a `.. summary::` before its details"


@pytest.mark.usefixtures("docs")
def test_summaries_list_every_public_name():
    pytest.importorskip("sphinx", reason="the site needs recurrax[docs]")
    summaries = importlib.import_module("summaries")
    for module in MODULES:
        listed = set(summaries.offered(f"recurrax.{module}"))
        where = importlib.import_module(f"recurrax.{module}")
        wanted = {name for name in public(module) if inspect.isfunction(getattr(where, name)) or
                  inspect.isclass(getattr(where, name))}  # fmt: skip
        assert wanted <= listed, module
    first = summaries.offered("recurrax.cells")[:3]
    assert set(first) == {"LSTMCell", "GRUCell", "RNNCell"}, "the main cells come first"
    structures = [cell.structure.name.lower() for cell in rx.cells.ALL]
    assert set(structures) == {"dense", "linear", "matrix", "general"}  # a table for each stands on the page


def test_the_citation_is_of_this_version():
    import importlib.metadata

    text = (ROOT / "CITATION.cff").read_text()
    assert f"version: {importlib.metadata.version('recurrax')}\n" in text
