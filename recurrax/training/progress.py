"""Progress of a fit: a bar in terminals and notebooks, or occasional lines in a log."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_FRAMES = 0.1
BAR_WIDTH, LEAST_BAR = 20, 4  # characters; in a narrow terminal the bar shrinks first

Show = Callable[[int, str], None]


@contextlib.contextmanager
def progress(title: str, total: int, done: int = 0, shown: bool | None = None) -> Iterator[Show]:
    """Yields ``show(done, text)``, which shows updates done, their rate, the remaining time and the text.

    The rate excludes the first chunk, whose time includes compilation.

    Args:
        title: label in front; "" means "training".
        total: the largest number of updates.
        done: updates before this call.
        shown: None shows a bar in terminals and notebooks, and plain lines elsewhere if there is a title; True shows
            the lines without a title too; False shows nothing.
    """
    with _choose(title, shown)(title or "training", total, done) as draw:
        pace = _Pace(total, done)

        def show(done: int, text: str) -> None:
            draw(done, pace.line(done, text), False)

        try:
            yield show
        finally:
            if pace.text:
                draw(pace.done, pace.last(), True)


class _Pace:
    """Turns updates done into a line of text."""

    def __init__(self, total: int, done: int):
        self.total, self.first, self.done, self.text = total, done, done, ""
        self.opened = self.began = time.perf_counter()
        self.counted = 0  # timed updates, without the first chunk, whose time includes compilation

    def line(self, done: int, text: str) -> str:
        self.done, self.text = done, text
        now = time.perf_counter()
        if done > self.first and not self.counted:
            self.counted, self.began = done, now
        if done <= self.counted or not self.counted:
            return f"{'resuming at ' if done == self.first > 0 else ''}{done}/{self.total} updates, {text}"
        rate = (done - self.counted) / max(now - self.began, 1e-9)
        speed = f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        return f"{done}/{self.total} updates, {speed}, {_clock((self.total - done) / rate)} left, {text}"

    def last(self) -> str:
        return f"{self.done}/{self.total} updates in {_clock(time.perf_counter() - self.opened)}, {self.text}"


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


# Context managers (title, total, done) that yield draw(done, line, is_last).
Draw = Callable[[int, str, bool], None]


def _choose(title: str, shown: bool | None) -> Callable[..., contextlib.AbstractContextManager[Draw]]:
    notebook, terminal = _in_notebook(), _on_terminal()
    if shown is False:
        return _nothing
    if notebook or terminal:
        return _notebook if notebook else _terminal
    return _lines if shown or title else _nothing


def _in_notebook() -> bool:
    """Whether this process is a notebook kernel (Jupyter, Colab and others)."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def _on_terminal() -> bool:
    """Whether stderr is a terminal that can move its cursor."""
    with contextlib.suppress(ValueError):  # stderr may be closed
        return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return False


class _Tolerant:
    """A stream that ignores errors, so that a closed terminal or a full disk does not end a fit."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the last if stderr was closed at start
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._stream.flush()


@contextlib.contextmanager
def _nothing(title: str, total: int, done: int) -> Iterator[Draw]:
    yield lambda done, line, last: None


@contextlib.contextmanager
def _lines(title: str, total: int, done: int) -> Iterator[Draw]:
    stream, printed = _Tolerant(sys.stderr), -SECONDS_BETWEEN_LINES

    def draw(done: int, line: str, last: bool) -> None:
        nonlocal printed
        now = time.perf_counter()
        if last or now - printed >= SECONDS_BETWEEN_LINES:
            print(f"{title}: {line}", file=stream, flush=True)  # type: ignore[arg-type]
            printed = now

    yield draw


@contextlib.contextmanager
def _terminal(title: str, total: int, done: int) -> Iterator[Draw]:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=_Tolerant(sys.stderr))  # type: ignore[arg-type]
    to_file = sys.stdout is None or not sys.stdout.isatty()  # printed lines cannot be replaced there
    with Live(console=console, auto_refresh=False, redirect_stdout=not to_file) as live:
        yield _limited(lambda done, line: live.update(_bar(title, total, done, line, console.width), refresh=True))


@contextlib.contextmanager
def _notebook(title: str, total: int, done: int) -> Iterator[Draw]:
    """Replaces the output of the notebook cell; it needs no widgets, which some notebooks lack."""
    from IPython.display import display
    from rich import get_console

    handle: Any = None

    def frame(done: int, line: str) -> None:
        nonlocal handle
        bar = _bar(title, total, done, line, get_console().width)
        if handle is None:
            handle = display(bar, display_id=True)
        else:
            handle.update(bar)

    yield _limited(frame)


def _bar(title: str, total: int, done: int, line: str, width: int) -> Any:
    """Title, bar and line side by side; if that is too wide, without the bar and on several lines."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    whole, table = Text(f"{title} {line}"), Table.grid(padding=(0, 1))
    spare = width - whole.cell_len - 1
    if spare < LEAST_BAR:
        table.add_row(whole)
    else:
        table.add_row(Text(title), ProgressBar(total, done, min(spare, BAR_WIDTH)), Text(line))
    return table


def _limited(frame: Callable[[int, str], object]) -> Draw:
    """Limits drawing to ten times per second, but always draws the last frame."""
    drawn = -SECONDS_BETWEEN_FRAMES

    def draw(done: int, line: str, last: bool) -> None:
        nonlocal drawn
        now = time.perf_counter()
        if last or now - drawn >= SECONDS_BETWEEN_FRAMES:
            frame(done, line)
            drawn = now

    return draw
