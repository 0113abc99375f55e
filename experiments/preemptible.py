"""A command as a job that a cluster may stop: it saves, is queued again and resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
POLL_S = 0.2
FOLLOWS_S = 600.0


class Preemptible:
    """``python -m`` with some arguments, for submitit to run, stop and run again.

    submitit hears of preemption and of the time limit by SIGUSR2: it calls ``checkpoint`` and queues what that gives.
    A command that trains saves on SIGTERM, ends with status 143 and goes on when it is run again.
    """

    def __init__(self, arguments: Sequence[str], patience_s: float):
        """Takes what follows ``python -m``, and the seconds that the command has for saving once it is asked to end."""
        self.arguments = tuple(arguments)
        self.patience_s = patience_s
        self._child: subprocess.Popen | None = None
        self._asked = False

    def __call__(self) -> None:
        """Runs the command, its output going to the log of the job.

        Raises:
            subprocess.CalledProcessError: the command ended with another status than 0.
        """
        command = [sys.executable, "-m", *self.arguments]
        self._asked = False
        before = signal.signal(signal.SIGTERM, self._ask)  # submitit leaves SIGTERM unheard
        # In a session of its own the command gets no signal but ours: a second SIGTERM would end it unsaved.
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._child = subprocess.Popen(command, start_new_session=True, env=environment)
        try:
            while (status := self._child.poll()) is None:
                time.sleep(POLL_S)  # wait() would keep the lock that wait() in checkpoint needs
            if status in STOPPED and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
                time.sleep(FOLLOWS_S)  # an ended job is not requeued: SLURM's kill or SIGUSR2 is to find it running
        finally:
            self._ask()
            signal.signal(signal.SIGTERM, before)
        if status:
            raise subprocess.CalledProcessError(status, command)

    def checkpoint(self) -> DelayedSubmission:
        """Has the command save and end, and gives the same command to be queued again."""
        from submitit.helpers import DelayedSubmission

        self._ask()
        if self._child is not None:
            try:
                self._child.wait(self.patience_s)
            except subprocess.TimeoutExpired:
                self._child.kill()  # it will resume from its last checkpoint
        return DelayedSubmission(Preemptible(self.arguments, self.patience_s))

    def _ask(self, *_: object) -> None:
        if self._child is not None and not self._asked:
            self._asked = True
            self._child.terminate()
