"""Memory tasks. Each defines what must be remembered, for how long, and which result counts as success."""

from .adding import Adding as Adding
from .associative_recall import AssociativeRecall as AssociativeRecall
from .bucketed import Bucketed as Bucketed
from .continual import Continual as Continual
from .copy import Copy as Copy
from .finite import FiniteTask as FiniteTask
from .forecast import Forecast as Forecast
from .host import HostTask as HostTask
from .induction import InductionHeads as InductionHeads
from .latch import Latch as Latch
from .modular_counting import ModularCounting as ModularCounting
from .multiplication import Multiplication as Multiplication
from .next_step import NextToken as NextToken
from .next_step import NextValue as NextValue
from .parity import Parity as Parity
from .permutation import Permutation as Permutation
from .polyphonic_music import PolyphonicMusic as PolyphonicMusic
from .reber import EmbeddedReber as EmbeddedReber
from .recall import Recall as Recall
from .sequence_to_sequence import SequenceToSequence as SequenceToSequence
from .sequential_images import SequentialImages as SequentialImages
from .stream import Stream as Stream
from .supervised import Supervised as Supervised
from .task import Classification as Classification
from .task import Example as Example
from .task import MemoryTask as MemoryTask
from .task import Task as Task
from .task import check_choice as _check_choice
from .temporal_order import TemporalOrder as TemporalOrder
from .time_lag import TimeLag as TimeLag
from .transcription import Transcription as Transcription
from .two_sequence import TwoSequence as TwoSequence

# `TASKS` generate their own examples; a `FiniteTask` is built from a data set and has no oracle.
TASKS = {
    task.name: task
    for task in (
        Recall, Copy, Adding, EmbeddedReber, TimeLag, TwoSequence, Multiplication, TemporalOrder, Latch, Permutation,
        Parity, ModularCounting, AssociativeRecall, InductionHeads, Continual,
    )
}  # fmt: skip


def make_task(name: str, length: int, variant: str | None = None) -> MemoryTask:
    """Returns a task by name, as on the command line: `make_task("copy", 100, "bai2018")`.

    Args:
        name: a key of `TASKS`.
        length: the first argument of the task, which measures its length: `Copy.delay`, `Adding.length`, ...
        variant: one of the task's `VARIANTS`; None uses the task's default.

    Raises:
        ValueError: unknown name or variant, or a length shorter than the task allows.
        TypeError: length is not an int.
    """
    _check_choice("name", name, tuple(TASKS))
    return TASKS[name](length) if variant is None else TASKS[name](length, variant)
