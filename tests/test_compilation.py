"""Compiled programs on disk: two processes at once, a kill in the middle of a write, folders of others, the limit."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import pytest

from recurrax import compilation

ROOT = Path(__file__).parents[1]
PROGRAM = """
    import sys, warnings
    warnings.simplefilter("error")
    import jax, jax.numpy as jnp
    from jax._src import monitoring
    from recurrax import compilation

    events = []
    monitoring.register_event_listener(lambda name, **_: events.append(name))
    print(compilation.keep())
    jax.block_until_ready(jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x.T) + {number})(jnp.ones((4, 4))))
    print(sum(name.endswith("cache_hits") for name in events), flush=True)
    {then}
"""


def start(home, number=1, then="pass", **environment):
    """A process that compiles a program; its cache folder is below ``home``."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_COMPILATION", "JAX_PERS"))}
    code = textwrap.dedent(PROGRAM).format(number=number, then=then)
    return subprocess.Popen(
        [sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=inherited | {"XDG_CACHE_HOME": str(home), "PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


def run(home, *arguments, **options):
    """The folder that a process kept its programs in, and how many of them it found there."""
    process = start(home, *arguments, **options)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert not errors
    folder, hits = said.split()
    return folder, int(hits)


def programs(home):
    return home / "recurrax" / "programs"


def lines(home):
    return sorted(path.name for path in programs(home).iterdir())


@pytest.mark.slow
def test_the_second_run_finds_every_program_and_leaves_no_lock(tmp_path):
    folder, hits = run(tmp_path)
    assert folder == str(programs(tmp_path)) and hits == 0
    kept = lines(tmp_path)
    assert kept and all(name.endswith("-cache") for name in kept)
    assert run(tmp_path)[1] == len(kept) and lines(tmp_path) == kept


@pytest.mark.slow
def test_two_processes_at_once_neither_fail_nor_delete_what_the_other_keeps(tmp_path):
    both = [start(tmp_path) for _ in range(2)]
    for process in both:
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 0 and not errors, errors
    assert run(tmp_path)[1] == len(lines(tmp_path))


@pytest.mark.slow
def test_what_a_killed_process_left_half_written_is_compiled_anew_without_a_warning(tmp_path):
    """The entry is cut while its process still lives, and that is killed: as if in the middle of the write."""
    process = start(tmp_path, then="import time; time.sleep(120)")
    assert process.stdout is not None
    process.stdout.readline(), process.stdout.readline()
    entries = sorted(programs(tmp_path).glob("*-cache"))
    whole = {entry.name: entry.stat().st_size for entry in entries}
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-20])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(programs(tmp_path).glob("*.lock"))
    assert run(tmp_path)[1] == 0  # and no word on stderr, where warnings are errors
    assert {entry.name: entry.stat().st_size for entry in programs(tmp_path).iterdir()}.keys() == whole.keys()
    assert run(tmp_path)[1] == len(whole)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder where nobody can write, root neither")
def test_a_folder_that_cannot_be_written_keeps_nothing():
    assert run(Path("/proc")) == ("None", 0)


@pytest.mark.slow
def test_a_file_in_the_way_of_the_folder_keeps_nothing(tmp_path):
    (tmp_path / "recurrax").touch()
    assert run(tmp_path) == ("None", 0)


@pytest.mark.slow
def test_a_folder_that_the_user_gave_to_jax_stays(tmp_path):
    mine = tmp_path / "mine"
    assert run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(mine))[0] == str(mine)
    assert not programs(tmp_path).exists()
    assert run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0")[0] == "None"
    assert not programs(tmp_path).exists()


def test_nothing_is_kept_where_it_is_not_wanted():
    assert compilation.keep(False) is None


def entry(folder, name, size, age, whole=True):
    """An entry of so many bytes, so many seconds old."""
    data = zlib.compress(os.urandom(size), 0)
    path = folder / f"{name}-cache"
    path.write_bytes(data if whole else data[: size // 2])
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_oldest_entries_go_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "LIMIT", 2500)
    for name, age in {"old": 30, "newer": 20, "newest": 10}.items():
        entry(tmp_path, name, 1000, age)
    compilation.clean(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newer-cache", "newest-cache"]


@pytest.mark.parametrize("killed", [True, False])
def test_broken_entries_go_where_somebody_was_killed_since(tmp_path, killed):
    """Without a lock that nobody holds nothing is read: that a process writes is no reason to delete."""
    before, broken = entry(tmp_path, "before", 100, 3600, whole=False), entry(tmp_path, "b", 100, 0, whole=False)
    fine, lock = entry(tmp_path, "fine", 100, 0), tmp_path / "x.lock"
    if killed:
        lock.touch()
        os.utime(lock, (time.time() - 60,) * 2)
    compilation.clean(tmp_path)
    assert before.exists() and fine.exists() and not lock.exists()
    assert broken.exists() != killed


def test_a_lock_that_is_held_stays(tmp_path):
    with (tmp_path / "x.lock").open("w") as file:
        compilation.fcntl.flock(file, compilation.fcntl.LOCK_EX)
        broken = entry(tmp_path, "b", 100, 0, whole=False)
        compilation.clean(tmp_path)
        assert broken.exists() and (tmp_path / "x.lock").exists()


@pytest.mark.parametrize("data", [b"", b"\x28\xb5\x2f\xfd", b"nonsense", zlib.compress(b"whole")[:-1]])
def test_what_cannot_be_read_is_not_whole(tmp_path, data):
    (tmp_path / "entry").write_bytes(data)
    assert not compilation.is_whole(tmp_path / "entry") and not compilation.is_whole(tmp_path / "none")


def test_zlib_and_zstandard_are_read(tmp_path):
    path = tmp_path / "entry"
    path.write_bytes(zlib.compress(b"whole"))
    assert compilation.is_whole(path)
    zstandard = pytest.importorskip("zstandard")
    path.write_bytes(zstandard.ZstdCompressor().compress(b"whole"))
    assert compilation.is_whole(path)
    path.write_bytes(path.read_bytes()[:-2])
    assert not compilation.is_whole(path)
