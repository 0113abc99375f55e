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
def watch_sigterm() -> Iterator[Callable[[int], bool]]:
    """Gives ``stop_requested(count)``: whether SIGTERM has come, on any host, and all of them are to stop now.

    It is to be called after every chunk, with the number of calls so far: several hosts agree on the next number, by
    JAX's own service, which then has the signal. A second SIGTERM ends a process that is alone at once. The cluster's
    grace period limits how long a chunk may take.
    """
    if jax.process_count() > 1:
        yield multihost_utils.reached_preemption_sync_point
        return
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield lambda count: False
        return
    came = False

    def handle(number: int, frame: object) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGTERM, before)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield lambda count: came
    finally:
        signal.signal(signal.SIGTERM, before)
