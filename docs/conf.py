"""The site, from these pages, the docstrings and the notebooks: ``python -m sphinx -W docs docs/_build``."""

import ast
import importlib.metadata
import inspect
import re
import shutil
import sys
import textwrap
from pathlib import Path

from sphinx.util.inspect import stringify_signature

project = "recurrax"
author = "The recurrax authors"
REPOSITORY = "https://github.com/recurrax/recurrax"
release = importlib.metadata.version("recurrax")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for `summaries`

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "summaries",
    "sphinx-mathjax-offline",  # equations without a connection
]  # fmt: skip
exclude_patterns = ["_build", "jupyter_execute"]  # the second is left by myst-nb beside the first
html_theme = "furo"
html_title = f"recurrax {release}"
html_static_path, html_css_files = ["_static"], ["site.css"]

myst_enable_extensions = ["amsmath", "dollarmath", "html_image"]
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


def take_pages() -> None:
    """Copies pages from elsewhere in the repository: the notebooks."""
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


class AsWritten(str):
    """A default of a signature that is shown as it stands in the source."""

    __repr__ = str.__str__


def written_defaults(app, what, name, obj, options, signature, returns):
    """The signature of a class whose ``__signature__`` is that of its __init__, with defaults as they are written."""
    if what != "class" or "__signature__" not in vars(obj) or not inspect.isfunction(obj.__init__):
        return None
    arguments = ast.parse(textwrap.dedent(inspect.getsource(obj.__init__))).body[0].args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [*zip(positional[::-1], arguments.defaults[::-1], strict=False),
             *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]  # fmt: skip
    written = {argument.arg: AsWritten(ast.unparse(default)) for argument, default in pairs if default is not None}
    shown = [p.replace(default=written.get(p.name, p.default)) for p in obj.__signature__.parameters.values()]
    return stringify_signature(obj.__signature__.replace(parameters=shown)), returns


def link_to_repository(app, docname: str, source: list[str]) -> None:
    """Tables that lie beside the records are no pages of the site: links to them lead to the repository."""
    pattern = r"(?<!!)\[([^\[\]]*)\]\((?:\.\./)+(experiments/[^)]*)\)"
    source[0] = re.sub(pattern, rf"[\1]({REPOSITORY}/blob/main/\2)", source[0])


def list_all_pages(app, docname: str, source: list[str]) -> None:
    """Pages of the guides and of the API that the index does not name join the end of their list."""
    if docname != "index":
        return
    for folder in ("understand", "howto", "api"):
        pages = sorted(f"{folder}/{path.stem}" for path in (HERE / folder).glob("*.md"))
        listed = re.findall(rf"^{folder}/\w+$", source[0], re.MULTILINE)
        others = [page for page in pages if page not in listed]
        source[0] = source[0].replace(f"{listed[-1]}\n", "\n".join([listed[-1], *others, ""]))


def setup(app) -> None:
    """Before napoleon, which turns sections into field lists."""
    app.connect("source-read", list_all_pages)
    app.connect("autodoc-process-signature", written_defaults)
    app.connect("autodoc-process-docstring", literal_blocks, priority=100)
    app.connect("source-read", link_to_repository)
