"""A progress bar between chunks: on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Gives ``show(done, text)``, which draws a bar with rate and time left; silent when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, text: None
        return
    import rich.console  # here, since only a terminal needs it
    import rich.progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(
        *columns, bars.TextColumn("{task.fields[text]}"), console=rich.console.Console(stderr=True)
    ) as bar:
        task = bar.add_task(title, total=total, text="compiling")
        yield lambda done, text: bar.update(task, completed=done, text=text)
