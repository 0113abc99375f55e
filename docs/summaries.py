"""A table of the names of a module, with one sentence each, for the head of an API page.

    .. summary:: recurrax.cells
       :only: LSTMCell, GRUCell, RNNCell

``only`` names those to list; ``structure`` lists the cells of one structure, "other"
the names that are not in the list of cells.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, ClassVar

from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.ext.autosummary import Autosummary


class Summary(Autosummary):
    """Sphinx's table, which finds the names by itself."""

    required_arguments = 1
    has_content = False
    option_spec: ClassVar[Any] = {"only": directives.unchanged, "structure": directives.unchanged}

    def run(self) -> list[Any]:
        """The table of the module that the argument names."""
        module = self.arguments[0]
        only, structure = self.options.pop("only", None), self.options.pop("structure", None)
        names = [name.strip() for name in only.split(",")] if only else offered(module)
        if structure:
            names = [name for name in names if structure_of(module, name) == structure]
        self.options["nosignatures"] = None
        self.content = StringList([f"~{module}.{name}" for name in names], source=module)
        return super().run()


def offered(module: str) -> list[str]:
    """The functions and classes of a module; of a package also those that it passes on, and cells in their order."""
    where: Any = importlib.import_module(module)
    package = hasattr(where, "__path__")
    names = [
        name
        for name, value in vars(where).items()
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))
        and (value.__module__.startswith("recurrax") if package else value.__module__ == module)
    ]  # fmt: skip
    cells = [cell.__name__ for cell in getattr(where, "ALL", ())]
    return [name for name in cells if name in names] + [name for name in names if name not in cells]


def structure_of(module: str, name: str) -> str:
    """The structure of a cell that is in the list of all cells: dense, linear, matrix or general; else other."""
    where: Any = importlib.import_module(module)
    cell = getattr(where, name)
    return cell.structure.name.lower() if cell in where.ALL else "other"


def setup(app: Any) -> dict[str, bool]:
    """Adds the directive ``summary``."""
    app.setup_extension("sphinx.ext.autosummary")
    app.add_directive("summary", Summary)
    return {"parallel_read_safe": True}
