"""Tasks of memory: what must be remembered, for how long, and what counts as having remembered it."""

from .adding import Adding as Adding
from .copy import Copy as Copy
from .recall import Recall as Recall
from .task import Example as Example
from .task import Task as Task
from .task import check_choice as _check_choice

TASKS = {task.name: task for task in (Recall, Copy, Adding)}


def make_task(name: str, length: int, variant: str | None = None) -> Task:
    """Task by name, as a command line gives it: `make_task("copy", 100, "bai2018")`.

    Args:
        name: a key of `TASKS`.
        length: the task's own measure of its length: `Copy.delay`, `Adding.length`, `Recall.delay`.
        variant: one of the task's `VARIANTS`; None is the task's default.

    Raises:
        ValueError: unknown name or variant, or a length shorter than the task allows.
        TypeError: length is not an int.
    """
    _check_choice("name", name, tuple(TASKS))
    return TASKS[name](length) if variant is None else TASKS[name](length, variant)
