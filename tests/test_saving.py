"""A saved model: whole or not there, loaded into the same structure or refused by the difference."""

import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import recurrax as rx
from recurrax import saving
from recurrax.storage.folders import CheckpointError

pytestmark = pytest.mark.usefixtures("quick")

NAMES = ["a[1]", "a*b", "a\\b", "a b/ä"]


def model(key=None, cell=rx.LSTMCell, size=3, out=1, **options):
    rngs = nnx.Rngs(jax.random.key(0) if key is None else key)
    return rx.SequenceModel(rx.RNN(cell(2, size, rngs=rngs, **options)), out, dropout=0.1, rngs=rngs)


class OfFlax(nnx.Module):
    """Flax's own layers: statistics, random streams and one layer in two places."""

    def __init__(self, rngs):
        self.value = nnx.Linear(2, 2, rngs=rngs)
        self.again = self.value
        self.norm, self.noise = nnx.BatchNorm(2, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 4, rngs=rngs)


class Raw(nnx.Module):
    """Arrays that are in no variable, and a variable of several arrays."""

    def __init__(self, key):
        self.raw = rx.cell.data(jax.random.normal(key, (2,)))
        self.several = nnx.Param({"a": jnp.ones(2), "b": [jnp.zeros(3, jnp.bfloat16)]})


def numbers(key=None):
    key = jax.random.key(3) if key is None else key
    return {
        "half": jax.random.normal(key, (3,)).astype(jnp.bfloat16),
        "eighth": jnp.ones(2, jnp.float8_e4m3fn),
        "double": np.linspace(0, 1, 5),
        "keys": jax.random.split(key, 2),
        "others": jax.random.key(1, impl="rbg"),
        "empty": jnp.zeros((0, 3)),
        "names": {"a/b": jnp.ones(()), "a.b": 1, "": 2.5, "%": True, "ä": np.float64(1.5)},
        "place": (jnp.ones(1), None, [np.arange(3)]),
    }


MODELS: dict[str, Any] = {
    **{cell.short: functools.partial(model, cell=cell) for cell in (rx.LSTMCell, rx.cells.LRUCell)},
    "stack": lambda key=None: rx.GRU(2, 3, num_layers=2, bidirectional=True, rngs=nnx.Rngs(0 if key is None else key)),
    "half": functools.partial(model, param_dtype=jnp.bfloat16),
    "several runs": lambda key=None: jax.vmap(model)(jax.random.split(jax.random.key(2) if key is None else key, 4)),
    "linear": lambda key=None: nnx.Linear(2, 3, rngs=nnx.Rngs(0 if key is None else key)),
    "of Flax": lambda key=None: OfFlax(nnx.Rngs(0 if key is None else key)),
    "raw": lambda key=None: Raw(jax.random.key(0) if key is None else key),
    "foreign": lambda key=None: rx.Foreign(
        step, params={"W": jax.random.normal(jax.random.key(0) if key is None else key)}
    ),
    "numbers": numbers,
    "array": lambda key=None: jax.random.normal(jax.random.key(0) if key is None else key, (2, 3)),
    "nothing": lambda key=None: {},
}


def step(params, carry, x):
    return carry, x


def assert_equal(one, other):
    first, second = saving.named_leaves(one), saving.named_leaves(other)
    assert list(first) == list(second)
    for a, b in zip(first.values(), second.values(), strict=True):
        assert isinstance(b, jax.Array) if isinstance(a, jax.Array) else type(a) is type(b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        if hasattr(a, "dtype") and jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_is_loaded(tmp_path, name):
    make, key = MODELS[name], jax.random.key(7)
    saved = make(key)
    assert rx.save(tmp_path / "m", saved) == tmp_path / "m"
    loaded = rx.load(tmp_path / "m", like=make())
    assert_equal(saved, loaded)
    assert jax.tree.structure(loaded) == jax.tree.structure(saved)
    if name not in ("numbers", "nothing"):
        assert_equal(saved, rx.load(tmp_path / "m", like=nnx.eval_shape(make)))


def test_a_module_in_two_places_stays_one(tmp_path):
    rx.save(tmp_path / "m", OfFlax(nnx.Rngs(0)))
    for like in (OfFlax(nnx.Rngs(1)), nnx.eval_shape(lambda: OfFlax(nnx.Rngs(1)))):
        loaded = rx.load(tmp_path / "m", like=like)
        assert loaded.value is loaded.again and like.value is not loaded.value


def test_a_loaded_model_computes_the_same(tmp_path):
    saved, xs = model(jax.random.key(4)), jnp.ones((2, 5, 2))
    rx.save(tmp_path / "m", saved)
    loaded = rx.load(tmp_path / "m", like=nnx.eval_shape(model))
    np.testing.assert_array_equal(jax.jit(lambda m: m(xs))(loaded), jax.jit(lambda m: m(xs))(saved))


DIFFERENT: dict[str, tuple[Any, str]] = {
    "cell": (lambda: model(cell=rx.GRUCell), "model.layer.cell is recurrax.LSTMCell there and recurrax.GRUCell here"),
    "size": (lambda: model(size=4), "model.layer.cell.hidden_features is 3 there and 4 here"),
    "activation": (
        lambda: model(activation_fn=jax.nn.relu),
        "model.layer.cell.activation_fn is jax.nn.tanh there and jax.nn.relu here",
    ),
    "dtype": (
        lambda: model(param_dtype=jnp.bfloat16),
        r"model.layer.cell.kernel is Kernel float32\[4, 3, 2\] there and Kernel bfloat16",
    ),
    "runs": (
        lambda: jax.vmap(model)(jax.random.split(jax.random.key(0), 2)),
        r"Kernel float32\[4, 3, 2\] there and Kernel float32\[2, 4, 3, 2\] here; ",
    ),
    "tree": (lambda: {"a": jnp.ones(1)}, r"model is recurrax.SequenceModel there and a dict of a here"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return rx.save(tmp_path_factory.mktemp("saved") / "m", model(jax.random.key(4)))


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_model_is_refused_by_the_difference(saved, name):
    make, words = DIFFERENT[name]
    with pytest.raises(ValueError, match=rf"the model in .* is not like the one given: .*{words}.*Allowed: a model of"):
        rx.load(saved, like=make())


def test_what_is_no_model_is_refused(saved, tmp_path):
    with pytest.raises(TypeError, match=r"like is a function without arrays; allowed: a model.*Call what builds it"):
        rx.load(saved, like=model)
    with pytest.raises(TypeError, match=r"model.head.bias is ShapeDtypeStruct; allowed: arrays"):
        rx.save(tmp_path / "m", nnx.eval_shape(model))
    with pytest.raises(TypeError, match=r"model.a is function; allowed: arrays, random keys and numbers"):
        rx.save(tmp_path / "m", {"a": model})
    assert not (tmp_path / "m").exists()


def test_how_a_model_is_run_may_differ(saved, tmp_path):
    """Its engine, and whether it is in training; both are those of the model that is given."""
    like = model()
    like.layer.backend, like.dropout.deterministic = "scan", True
    loaded = rx.load(saved, like=like)
    assert loaded.layer.backend == "scan" and loaded.dropout.deterministic


def test_attributes_of_another_version_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "_versions", lambda: {"flax": "0.0"})
    monkeypatch.setattr(saving, "structure", lambda _: {"class": "recurrax.SequenceModel", "old": 1})
    rx.save(tmp_path / "m", model(jax.random.key(4)))
    monkeypatch.undo()
    assert_equal(rx.load(tmp_path / "m", like=model()), model(jax.random.key(4)))


# Files


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "m"))


def test_a_model_is_replaced_only_if_asked(copy):
    new = model(jax.random.key(5))
    with pytest.raises(FileExistsError, match=r"holds a model already; allowed: a new path. Pass overwrite=True"):
        rx.save(copy, new)
    rx.save(copy, new, overwrite=True)
    assert_equal(rx.load(copy, like=model()), new)
    assert sorted(path.name for path in copy.iterdir()) == ["arrays-2", "model.json"]


def test_what_is_missing_or_foreign_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no model \(there is no such folder\); allowed: a folder that"):
        rx.load(tmp_path / "nowhere", like=model())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    with pytest.raises(FileNotFoundError, match=r"holds no model \(there is no model.json in it\)"):
        rx.load(tmp_path / "mine", like=model())
    for overwrite in (False, True):
        with pytest.raises(
            CheckpointError, match=r"holds 'thesis.tex', which is not part of a saved model; allowed: a new"
        ):
            rx.save(tmp_path / "mine", model(), overwrite=overwrite)
        with pytest.raises(FileExistsError, match=r"thesis.tex is a file; allowed: a folder or a new path"):
            rx.save(tmp_path / "mine" / "thesis.tex", model(), overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "all of it"
    (tmp_path / "mine" / "model.json").write_text('{"name": "of somebody else"}')
    with pytest.raises(
        CheckpointError, match=r"model.json is not readable \('format'\); allowed: a file that recurrax.save"
    ):
        rx.load(tmp_path / "mine", like=model())


def test_every_damaged_file_is_found(copy):
    files = [path for path in sorted(copy.rglob("*")) if path.is_file()]
    assert len(files) > 5
    for path in files:
        whole = path.read_bytes()
        flipped = (
            bytes([*whole[: len(whole) // 2], whole[len(whole) // 2] ^ 1, *whole[len(whole) // 2 + 1 :]])
            if whole
            else b"x"
        )
        for content in (flipped, whole[:-1], None):
            if content == whole:
                continue  # an empty file cannot be cut
            path.unlink() if content is None else path.write_bytes(content)
            if content is None and path.name == "model.json":
                with pytest.raises(FileNotFoundError):
                    rx.load(copy, like=model())
            elif not (path.name == "model.json" and content == whole[:-1]):  # without the last newline it is whole
                with pytest.raises(CheckpointError, match=r"is damaged|is missing|is not readable"):
                    rx.load(copy, like=model())
            path.write_bytes(whole)
    rx.load(copy, like=model())


def test_a_model_of_a_newer_version_is_refused(copy):
    entry = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**entry, "format": 2}))
    with pytest.raises(CheckpointError, match=r"has format 2, which a newer recurrax wrote; allowed: up to 1. Upgrade"):
        rx.load(copy, like=model())


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_may_have_any_name(tmp_path, name):
    rx.save(tmp_path / name, model(jax.random.key(4)))
    assert_equal(rx.load(tmp_path / name, like=model()), model(jax.random.key(4)))


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert rx.save("~/m", {"a": 1}) == tmp_path / "m"
    assert rx.load("~/m", like={"a": 0}) == {"a": 1}


def test_where_nothing_can_be_written_the_error_is_clear(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot write the model to /proc/nowhere \(.*\); nothing is left of it"):
        rx.save("/proc/nowhere", {"a": 1})


def test_a_full_disk_leaves_the_model_that_was_there(copy):
    """A limit to the size of files takes the part of the disk; the arrays are larger, all else is smaller."""
    big = {"a": jax.random.normal(jax.random.key(0), (300, 1000))}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(
            CheckpointError, match=r"cannot write .*\(File too large\); the model that was there is whole"
        ):
            rx.save(copy, big, overwrite=True)
        with pytest.raises(
            CheckpointError, match=r"cannot write .*\(File too large\); nothing is left of it. Free space"
        ):
            rx.save(copy.parent / "new", big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in copy.iterdir()) == ["arrays-1", "model.json"]
    assert_equal(rx.load(copy, like=model()), model(jax.random.key(4)))
    rx.save(copy.parent / "new", big)  # with room again


def test_a_disk_that_is_too_full_is_noticed_at_once(copy, monkeypatch):
    usage = shutil.disk_usage(copy)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        CheckpointError, match=r"No space left on device: 1,000 bytes are free, .* are needed.*is whole"
    ):
        rx.save(copy, model(), overwrite=True)


@pytest.mark.parametrize("moment", ["arrays", "list", "cleaning"])
def test_a_save_that_is_broken_off_leaves_one_whole_model(copy, monkeypatch, moment):
    """As a killed process does: nothing is cleaned up after it."""
    new, old = model(jax.random.key(5)), model(jax.random.key(4))

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        place, name = {
            "arrays": (saving, "checksums"), "list": (saving, "write"), "cleaning": (saving.shutil, "rmtree"),
        }[moment]  # fmt: skip
        patch.setattr(place, name, die)
        with pytest.raises(KeyboardInterrupt):
            rx.save(copy, new, overwrite=True)
        with pytest.raises(KeyboardInterrupt if moment != "cleaning" else AssertionError):
            rx.save(copy.parent / "fresh", new)
            raise AssertionError  # there is nothing to clean
    assert_equal(rx.load(copy, like=model()), new if moment == "cleaning" else old)
    if moment != "cleaning":
        with pytest.raises(FileNotFoundError, match=r"there is no model.json in it"):
            rx.load(copy.parent / "fresh", like=model())
    rx.save(copy, new, overwrite=True)
    rx.save(copy.parent / "fresh", new, overwrite=moment == "cleaning")
    for folder in (copy, copy.parent / "fresh"):
        assert_equal(rx.load(folder, like=model()), new)
        assert len(list(folder.iterdir())) == 2


SAVES = """
import sys, jax.numpy as jnp, recurrax as rx
number = 0
while True:
    number += 1
    rx.save(sys.argv[1], {"number": number, "array": jnp.full(100_000, number)}, overwrite=True)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_kills_at_random_moments_leave_a_whole_model(tmp_path):
    draw, like = random.Random(0), {"number": 0, "array": np.zeros(100_000, np.int32)}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVES, str(tmp_path / "m")], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3):
            process.stdout.readline()
        time.sleep(draw.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        told = [int(line) for line in process.communicate()[0].split()]
        loaded = rx.load(tmp_path / "m", like=like)
        assert (loaded["array"] == loaded["number"]).all() and loaded["number"] >= max(told, default=3)


def test_what_is_kept_beside_a_model_is_plain(tmp_path):
    rx.save(tmp_path / "m", {"a": 1}, about={"words": ("a", "b"), "scale": np.float32(2)})
    entry = json.loads((tmp_path / "m" / "model.json").read_text())
    assert entry["about"] == {"words": ["a", "b"], "scale": 2.0} and entry["format"] == 1
    assert {"recurrax", "jax", "flax"} == set(entry["versions"])
