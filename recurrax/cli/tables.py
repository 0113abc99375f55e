"""Tables for terminals, at most 100 columns wide; in a file or a pipe they are plain text."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recurrax.palette import LOOKS

WIDTH = 100


def show(rows: Sequence[Mapping[str, str]], title: str = "", right: Sequence[str] = ()) -> None:
    """Prints rows with equal keys; recurrax cells have the same colours as in figures.

    Args:
        rows: rows with the same keys; long texts are wrapped, except in the first column.
        title: text above the table.
        right: keys of the right-aligned columns.
    """
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for place, key in enumerate(rows[0]):
        table.add_column(key, justify="right" if key in right else "left", overflow="fold", no_wrap=not place)
    for row in rows:
        table.add_row(*(_text(key, text) for key, text in row.items()))
    console = Console(width=min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns), highlight=False)
    console.print(table)


def _text(key: str, text: str) -> Text:
    look = LOOKS.get(text.split()[0]) if key == "cell" and text else None
    return Text(text, style=look[0] if look else "")
