"""A cell, an engine and a task are each one file and one entry of one list; all else follows."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CELL = '''"""The LSTM with layer normalisation."""

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import Cell
from recurrax.cells.gated import LSTMCell
from recurrax.kernels import affine, like


def norm(a, gain):
    a = a - a.mean(-1, keepdims=True)
    return like(gain, a) * a * jax.lax.rsqrt((a * a).mean(-1, keepdims=True) + 1e-6)


class NormedLSTMCell(LSTMCell):
    """Ba, Kiros & Hinton (2016): the two halves of each gate are normalised."""

    def __init__(self, in_features, hidden_features, *, rngs, **options):
        super().__init__(in_features, hidden_features, rngs=rngs, **options)
        self.gains = nnx.Param(jnp.ones((2, 4, hidden_features), self.bias.dtype))

    def __call__(self, carry, x):
        cell, carry, x = self.promote(carry, self.check_features(x))
        halves = affine(x, cell.kernel), affine(carry[1], cell.recurrent_kernel)
        gains = cell.gains[...]
        a = [norm(u, g) + norm(v, k) + like(b, u) for u, v, g, k, b in zip(*halves, *gains, cell.bias[...])]
        carry = cell.update(carry, tuple(a))
        return carry, carry[1]
'''
ENGINE = '''"""Twice as slow as the reference."""

import dataclasses

from recurrax.engines.engine import Engine
from recurrax.engines.scan import Scan


@dataclasses.dataclass(frozen=True)
class Twice(Engine):
    """Runs everything twice and gives the mean."""

    def __call__(self, cell, carry, xs, mask=None, resets=None):
        import jax

        runs = [Scan()(cell, carry, xs, mask, resets) for _ in range(2)]
        return jax.tree.map(lambda a, b: (a + b) / 2, *runs)
'''
TASK = '''"""Majority: are there more ones than zeros?"""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from .task import CERTAIN, Classification, Example, at_step, check_size, one_hot


@dataclass(frozen=True)
class Majority(Classification):
    """An odd number of fair bits; the class at the last step is the more frequent one."""

    length: int
    variant: str = "plain"
    name: ClassVar[str] = "majority"
    VARIANTS: ClassVar[tuple[str, ...]] = ("plain",)

    def __post_init__(self):
        check_size("length", self.length, 1)

    in_features = out_features = property(lambda self: 2)
    sequence_length = property(lambda self: self.length + 1 - self.length % 2)

    def sample(self, key):
        T = self.sequence_length
        bits = jax.random.bernoulli(key, 0.5, (T,)).astype(jnp.int32)
        last = at_step(T - 1, T)
        return Example(one_hot(bits, 2), jnp.where(last > 0, (bits.sum() > T // 2).astype(jnp.int32), 0), last)

    def chance_level(self):
        return math.log(2)

    def oracle(self, inputs):
        seen = jnp.arange(1, len(inputs) + 1)
        return CERTAIN * one_hot((2 * jnp.cumsum(inputs[:, 1]) > seen).astype(jnp.int32), 2)
'''
PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
import recurrax as rx
from flax import nnx
from experiments.models import CELLS, builder
cell = rx.cells.NormedLSTMCell(2, 4, rngs=nnx.Rngs(0))
assert (cell.short, cell.structure) == ("NormedLSTM", rx.Structure.GENERAL)
assert CELLS["NormedLSTM"] is rx.cells.NormedLSTMCell
task = rx.tasks.make_task("majority", 5)
model = builder("NormedLSTM", task, 4)(jax.random.key(0))
example = task.sample(jax.random.key(1))
np.testing.assert_array_equal(model(example.inputs).shape, (5, 2))
assert task.loss(task.oracle(example.inputs), example) < 1e-3
xs = jax.random.normal(jax.random.key(2), (6, 3, 2))
carry, ys = cell.initialize_carry((3, 2)), []
for x in xs:
    carry, y = cell(carry, x)
    ys.append(y)
for backend in ("twice", "auto"):
    np.testing.assert_allclose(rx.unroll(cell, xs, backend=backend)[1], jnp.stack(ys), rtol=1e-5, atol=1e-6)
    assert np.isfinite(jax.grad(lambda c: rx.unroll(c, xs, backend=backend)[1].sum())(cell).gains[...]).all()
"""


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with one of each added."""
    root = tmp_path_factory.mktemp("extended")
    for folder in ("recurrax", "experiments", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("results", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    package = root / "recurrax"
    (package / "cells" / "normed.py").write_text(CELL)
    (package / "engines" / "twice.py").write_text(ENGINE)
    (package / "tasks" / "majority.py").write_text(TASK)
    name = "NormedLSTMCell"
    line = f"from recurrax.cells.normed import {name} as {name}\n\nALL = (\n    {name},"
    replace(package / "cells" / "__init__.py", "\nALL = (\n", line)
    replace(package / "engines" / "unroll.py", "from recurrax.engines.scan import Scan\n",
            "from recurrax.engines.scan import Scan\nfrom recurrax.engines.twice import Twice\n")  # fmt: skip
    replace(package / "engines" / "unroll.py", '    "scan": Scan,\n', '    "scan": Scan,\n    "twice": Twice,\n')
    replace(package / "tasks" / "__init__.py", "from .latch import Latch as Latch\n",
            "from .latch import Latch as Latch\nfrom .majority import Majority as Majority\n")  # fmt: skip
    replace(package / "tasks" / "__init__.py", "        Recall, Copy,", "        Majority, Recall, Copy,")
    return root


def run(root: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_experiments_models_training_and_lists_follow(extended):
    run(extended, "-c", PROGRAM)


@pytest.mark.slow
def test_the_contract_follows(extended):
    """Its pairs with the new cell and the new engine are there and hold."""
    names = "NormedLSTM-scan or NormedLSTM-adjoint or GRU-twice"
    out = run(
        extended,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "tests/test_contract.py",
        "-m",
        "slow or not slow",
        "-k",
        names,
        "-p",
        "no:cacheprovider",
    )
    assert "[NormedLSTM-adjoint]" in out and "[GRU-twice]" in out  # among the slowest: they were run
