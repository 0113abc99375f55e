"""The site, from these pages, the docstrings and the notebooks: ``python -m sphinx -W docs docs/_build``."""

import importlib.metadata
import re
import shutil
from pathlib import Path

project = "recurrax"
author = "The recurrax authors"
REPOSITORY = "https://github.com/recurrax/recurrax"
release = importlib.metadata.version("recurrax")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "jupyter_execute"]  # the second is left by myst-nb beside the first
html_theme = "furo"
html_title = f"recurrax {release}"

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the committed outputs are shown; the tests run the notebooks

autodoc_default_options = {"members": True, "imported-members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # as they are written, not the objects they make
autodoc_typehints = "signature"
default_role = "py:obj"  # `name` in a docstring is a link where it is one
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes_style"), ("Shapes", "notes_style")]


HERE = Path(__file__).parent


def take_pages() -> None:
    """What lies elsewhere in the repository becomes pages: the notebooks."""
    shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks", dirs_exist_ok=True)


take_pages()


def literal_blocks(app, what, name, obj, options, lines: list[str]) -> None:
    """An indented block after a paragraph is an equation, a table or code: shown as it stands."""
    text, paragraph = [], ""
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("    ") and not before.strip() and paragraph and not paragraph.startswith(" "):
            text += [] if paragraph.endswith("::") else ["::", ""]
        text += ["Sources::", ""] if line == "Sources:" else [line]  # a table too
        paragraph = line or paragraph
    lines[:] = text


def link_to_repository(app, docname: str, source: list[str]) -> None:
    """Tables that lie beside the records are no pages of the site: links to them lead to the repository."""
    pattern = r"(?<!!)\[([^\[\]]*)\]\((?:\.\./)+(experiments/[^)]*)\)"
    source[0] = re.sub(pattern, rf"[\1]({REPOSITORY}/blob/main/\2)", source[0])


def setup(app) -> None:
    """Before napoleon, which turns sections into field lists."""
    app.connect("autodoc-process-docstring", literal_blocks, priority=100)
    app.connect("source-read", link_to_repository)
