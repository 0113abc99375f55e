"""SIGTERM, which a cluster sends before it takes a machine away."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


class Preempted(SystemExit):
    """The run was asked to end, saved its state and ends with status 143, as after SIGTERM."""

    def __init__(self, text: str):
        super().__init__(143)
        self.text = text

    def __str__(self) -> str:
        return self.text


@contextlib.contextmanager
def noticed() -> Iterator[Callable[[int], bool]]:
    """Gives ``asked(step)``: whether SIGTERM has come, on any host, and all of them are to stop at this step.

    A second SIGTERM ends the process at once. With several hosts JAX's own service has the signal and agrees on the
    step; it is the cluster's grace period that limits how long a chunk may take.
    """
    if jax.process_count() > 1:
        yield multihost_utils.reached_preemption_sync_point
        return
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield lambda step: False
        return
    came = False

    def handle(number: int, frame: object) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGTERM, before)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield lambda step: came
    finally:
        signal.signal(signal.SIGTERM, before)
