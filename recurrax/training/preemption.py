"""Handling of SIGTERM, which a cluster sends before it takes a machine away."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


class Preempted(SystemExit):
    """Raised after a run has saved its state because of SIGTERM; the process ends with status 143."""

    def __init__(self, text: str):
        super().__init__(143)
        self.text = text

    def __str__(self) -> str:
        return self.text


@contextlib.contextmanager
def watch_sigterm() -> Iterator[Callable[[int], bool]]:
    """Yields ``stop_requested(count)``, which is true if any host received SIGTERM and all must stop now.

    Call it after every chunk with the number of calls so far. With several hosts, JAX's own service handles the signal,
    and the hosts agree on the call at which to stop. In a single process, a second SIGTERM ends the process at once. A
    chunk must be shorter than the cluster's grace period.
    """
    if jax.process_count() > 1:
        yield multihost_utils.reached_preemption_sync_point
        return
    if threading.current_thread() is not threading.main_thread():  # signals can be handled only in the main thread
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
