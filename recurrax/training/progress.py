"""How far it is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

SECONDS_BETWEEN_LINES = 15.0


@contextlib.contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Gives ``show(done, text)``: updates done, rate, time left and the text; a title of "" shows nothing."""
    if not title:
        yield lambda done, text: None
    elif sys.stderr.isatty():
        yield from _bar(title, total, done)
    else:
        yield from _lines(title, total, done)


def _bar(title: str, total: int, done: int) -> Iterator[Callable[[int, str], None]]:
    import rich.console  # here, since only a terminal needs it
    import rich.progress as bars

    class Rate(bars.ProgressColumn):
        def render(self, task: bars.Task) -> str:
            return f"{task.speed:.0f} steps/s" if task.speed else ""

    columns = (
        bars.TextColumn("{task.description}"), bars.BarColumn(20), bars.MofNCompleteColumn(), Rate(),
        bars.TimeRemainingColumn(), bars.TextColumn("{task.fields[text]}"),
    )  # fmt: skip
    with bars.Progress(*columns, console=rich.console.Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done, text="compiling")
        yield lambda done, text: bar.update(task, completed=done, text=text)


def _lines(title: str, total: int, done: int) -> Iterator[Callable[[int, str], None]]:
    first, began = done, time.perf_counter()
    last = began

    def show(done: int, text: str) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        rate = (done - first) / (now - began)
        left = f"{(total - done) / rate:.0f} s left" if rate else ""
        print(f"{title}: {done}/{total}, {text}, {rate:.0f} steps/s, {left}", file=sys.stderr, flush=True)

    yield show
