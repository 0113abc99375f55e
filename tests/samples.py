"""Examples of every task, drawn once and shared by the tests of tasks."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from recurrax.tasks import TASKS, MemoryTask, Task, make_task

EXAMPLES = 12_000  # drawn for each task
KEYS = jax.random.split(jax.random.key(0), EXAMPLES)
# Short where the sequence is longer or the inputs wider, so that the tests are quick; 40 for the other tasks.
LENGTH = {"copy": 5, "time_lag": 10, "permutation": 14, "associative_recall": 20, "continual": 10}
EVERY = [make_task(name, LENGTH.get(name, 40), v) for name, task in TASKS.items() for v in task.VARIANTS]
# Programs run once or twice here, so XLA's time to compile is nearly all of their cost.
QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
try:
    jax.jit(lambda: 0, compiler_options=QUICK)()
except jax.errors.JaxRuntimeError:
    QUICK = None  # another backend, or an XLA that no longer has these options
jit = functools.partial(jax.jit, compiler_options=QUICK)


def parametrize(kind: type[MemoryTask]):
    """Over every variant of a kind of task."""
    tasks = [task for task in EVERY if isinstance(task, kind)]
    return pytest.mark.parametrize("task", tasks, ids=[f"{task.name}-{task.variant}" for task in tasks])


@functools.cache
def drawn(task: MemoryTask) -> tuple[Any, Any]:
    """Examples [EXAMPLES, ...] and the oracle's outputs, NumPy arrays."""

    def one(key):
        example = task.sample(key)
        return example, task.oracle(example.inputs)

    return jax.device_get(jit(jax.vmap(one))(KEYS))


@functools.cache
def scorer(task: MemoryTask):
    """Losses and accuracies of outputs [EXAMPLES, T, O] on examples."""
    return jit(jax.vmap(lambda y, example: (task.loss(y, example), task.accuracy(y, example))))


def z_scores(counts, probabilities) -> np.ndarray:
    """Standard scores of counts out of EXAMPLES draws."""
    p = np.asarray(probabilities)
    return (np.asarray(counts) - EXAMPLES * p) / np.sqrt(EXAMPLES * p * (1 - p))


def check_refusal(make: Any, error: type[Exception], message: str) -> None:
    """Whether what is made raises this error, with a message that fits the pattern."""
    with pytest.raises(error, match=message):
        make()


@dataclasses.dataclass(frozen=True)
class Below(Task):
    """A task that counts as solved once its held-out loss is below a limit, however high that is."""

    task: MemoryTask
    limit: float

    def sample(self, key):
        return self.task.sample(key)

    def loss(self, outputs, example):
        return self.task.loss(outputs, example)

    def accuracy(self, outputs, example):
        return self.task.accuracy(outputs, example)

    def success(self, loss, accuracy):
        return loss < self.limit
