"""What is shown while a fit runs: a bar in terminals and notebooks, lines in a log, and nothing that could end it."""

import contextlib
import dataclasses
import io
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trainee

from recurrax.training.progress import progress

TESTS = Path(__file__).parent
PLAN = dataclasses.replace(trainee.PLAN, steps=20)
# One update in ten seconds of a clock of its own, so that the numbers are known; then a word for the streams.
PROGRAM = """
import itertools, sys, time
from recurrax.training.progress import progress
clock = itertools.count()
time.perf_counter = lambda: 10.0 * next(clock)
title, shown = sys.argv[1], {"None": None, "True": True, "False": False}[sys.argv[2]]
with progress(title, 40, 0, shown) as show:
    show(0, "compiling 10 updates of 5 runs")
    for done in (10, 20, 30):
        show(done, f"loss 0.0123, {done // 10}/5 solved")
        print("result", done)
print("end")
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal(monkeypatch, width=100, seconds=10.0):
    """In place of stderr, with a clock that goes on at each look; no fixture, as pytest takes stderr in between."""
    clock = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: seconds * next(clock))
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    return stream


def frames(text):
    """What stood on the screen, without the codes that move the cursor and colour the bar."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return [re.sub("[━╸╺]+", "BAR", line.rstrip()) for line in re.split(r"[\r\n]+", plain) if line.strip()]


def test_a_bar_on_a_terminal(monkeypatch):
    stderr = terminal(monkeypatch)
    with progress("adding [small]", 200, 100) as show:  # brackets are no markup
        show(100, "compiling 50 updates of 5 runs")
        show(125, "loss 0.0130, 2/5 solved")  # a chunk whose time is mostly that of compilation
        show(150, "loss 0.0123, 3/5 solved")
        show(200, "loss 0.0100, 5/5 solved")
    assert list(dict.fromkeys(frames(stderr.getvalue()))) == [
        "adding [small] BAR resuming at 100/200 updates, compiling 50 updates of 5 runs",
        "adding [small] BAR 125/200 updates, loss 0.0130, 2/5 solved",
        "adding [small] BAR 150/200 updates, 1.2/s, 0:00:40 left, loss 0.0123, 3/5 solved",
        "adding [small] BAR 200/200 updates, 1.9/s, 0:00:00 left, loss 0.0100, 5/5 solved",
        "adding [small] BAR 200/200 updates in 0:01:30, loss 0.0100, 5/5 solved",
    ]


@pytest.mark.parametrize("width", [20, 40, 70, 80, 200])
def test_nothing_is_lost_on_a_narrow_terminal(monkeypatch, width):
    stderr = terminal(monkeypatch, width)
    with progress("", 1000) as show:
        show(500, "loss 0.0123, 3/5 solved")
    lines = frames(stderr.getvalue())
    assert max(map(len, lines)) <= width
    assert "training BAR" in " ".join(lines) or width < 80
    assert "500/1000 updates" in " ".join(lines) and "loss 0.0123, 3/5 solved" in " ".join(lines)


def test_frames_are_drawn_ten_times_a_second_and_the_last_one_always(monkeypatch):
    stderr = terminal(monkeypatch, seconds=0.001)
    with progress("", 1000) as show:
        for done in range(1, 1001):
            show(done, "loss 0.0123")
    lines = frames(stderr.getvalue())
    assert len(lines) < 50 and "1000/1000 updates in" in lines[-1]


def test_lines_elsewhere(monkeypatch, capsys):
    """One now and then, the first and the last: a log of a long run stays readable."""
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    with progress("adding LSTM", 1000, 100) as show:
        show(100, "compiling 50 updates of 5 runs")
        for seconds, done in ((7.0, 150), (22.0, 300), (23.0, 310), (42.0, 500), (44.0, 510)):
            now = seconds
            show(done, "loss 0.0123, 3/5 solved")
    assert capsys.readouterr().err.splitlines() == [
        "adding LSTM: resuming at 100/1000 updates, compiling 50 updates of 5 runs",
        "adding LSTM: 300/1000 updates, 10/s, 0:01:10 left, loss 0.0123, 3/5 solved",
        "adding LSTM: 500/1000 updates, 10/s, 0:00:50 left, loss 0.0123, 3/5 solved",
        "adding LSTM: 510/1000 updates in 0:00:44, loss 0.0123, 3/5 solved",
    ]


@pytest.mark.parametrize(
    "title, shown, expected",
    [("", None, ""), ("", False, ""), ("copy", False, ""), ("copy", None, "copy: "), ("", True, "training: ")],
)
def test_who_asks_for_lines_gets_them(capsys, title, shown, expected):
    with progress(title, 10, 0, shown) as show:
        show(5, "x")
    assert capsys.readouterr().err[: len(expected) or None] == expected


def test_false_switches_a_terminal_off_too(monkeypatch):
    stderr = terminal(monkeypatch)
    with progress("copy", 10, 0, False) as show:
        show(5, "x")
    assert stderr.getvalue() == ""


@pytest.mark.usefixtures("quick")
def test_a_fit_says_what_is_compiled(capsys):
    trainee.train(None, PLAN, progress=True)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "training: 0/20 updates, compiling 10 updates of 4 runs"
    assert re.fullmatch(r"training: 20/20 updates in 0:00:\d\d, loss \d.\d{4}, 0/4 solved", last)


class Gone(Terminal):
    """A terminal that was closed."""

    def write(self, text):
        raise OSError(5, "Input/output error")

    def flush(self):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_stream_that_cannot_be_written_to_ends_nothing(monkeypatch, on_terminal):
    stream = Gone()
    monkeypatch.setattr(stream, "isatty", lambda: on_terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    for ended in (stream, None):
        monkeypatch.setattr(sys, "stderr", ended)
        with progress("copy", 10) as show:
            show(5, "x")
    closed = Terminal()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with progress("copy", 10) as show:
        show(5, "x")


def test_an_exception_leaves_the_bar_and_the_streams_as_they_were(monkeypatch):
    stderr = terminal(monkeypatch)
    out = sys.stdout
    with pytest.raises(RuntimeError, match="on purpose"), progress("copy", 10) as show:
        show(5, "loss 0.1")
        raise RuntimeError("on purpose")
    assert sys.stderr is stderr and sys.stdout is out
    assert "5/10 updates in" in frames(stderr.getvalue())[-1]


def start(*arguments, redirect, environment=None):
    """The program in a shell with its streams redirected."""
    command = f'"{sys.executable}" -c "$PROGRAM" "$@" {redirect}'
    variables = os.environ | {"PROGRAM": PROGRAM, "TERM": "xterm"} | (environment or {})
    return ["bash", "-c", command, "bash", *arguments], variables


@pytest.mark.slow
@pytest.mark.parametrize("redirect, shown", [("2>&-", ""), ("2>/dev/full", ""), ("2>&1", "copy: 30/40 updates in 0:")])
def test_a_closed_a_full_and_a_redirected_stderr(redirect, shown):
    command, environment = start("copy", "True", redirect=redirect)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == ""
    assert "result 30\n" in done.stdout and "end\n" in done.stdout and shown in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("term, bar", [("xterm", True), ("dumb", False)])
def test_results_go_to_their_file_while_a_terminal_shows_the_bar(tmp_path, term, bar):
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    results = tmp_path / "results.txt"
    command, environment = start("copy", "None", redirect=f'>"{results}"', environment={"TERM": term, "COLUMNS": "90"})
    ours, theirs = pty.openpty()
    child = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other side was closed
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    assert child.wait(timeout=120) == 0
    lines = frames(shown.decode())
    assert any("compiling 10 updates of 5 runs" in line for line in lines)
    assert ("30/40 updates in" in lines[-1]) and ("BAR" in lines[-1]) == bar
    assert results.read_text().splitlines() == ["result 10", "result 20", "result 30", "end"]


@pytest.mark.slow
def test_a_notebook_shows_the_bar_and_the_figure_of_a_history():
    """Without widgets and without ``%matplotlib inline``; the last state of the bar stays, and no other output."""
    nbclient = pytest.importorskip("nbclient", reason="running notebooks needs recurrax[dev]")
    nbformat = pytest.importorskip("nbformat", reason="running notebooks needs recurrax[dev]")
    sources = (
        f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import dataclasses, trainee
from recurrax import training
plan = dataclasses.replace(trainee.PLAN, steps=40)
history = training.fit(trainee.build, trainee.TASK, training.adam, plan)
history""",
        "history.plot()",
        "quiet = training.fit(trainee.build, trainee.TASK, training.adam, plan, training.Output(progress=False))",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=300).execute(env=environment)
    (bar, history), (figure,), quiet = (cell["outputs"] for cell in notebook.cells)
    assert bar["output_type"] == "display_data" and "━" in bar["data"]["text/html"]
    assert re.search(r"training .* 40/40 updates in 0:00:\d\d, loss \d.\d{4}, 0/4 solved", bar["data"]["text/plain"])
    assert history["data"]["text/plain"].startswith("<History: 4 runs, 40 updates, ")
    assert "image/png" in figure["data"]
    assert not quiet
