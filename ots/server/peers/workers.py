"""Several processes that do the same work, and one that looks after them.

The parent does no work. It starts a worker again that has died, and ends all of them when it is told to; a
worker whose parent has died, by whatever means, ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

GRACE = 5.0
"""Seconds that workers get to end before they are killed."""

_TOO_SOON = 1.0
_TRIES = 5
_WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

Work = Callable[[int, int], None]
"""Gets the worker's number and a descriptor that becomes readable when the parent is gone; works until
SIGTERM or SIGINT."""


class WorkersFailed(Exception):
    """The workers die as soon as they are started."""


class Crew:
    """`count` workers. `lost` hears the number of one that has died, before another takes its place."""

    def __init__(self, count: int, work: Work, lost: Callable[[int], None]) -> None:
        self._count = count
        self._work = work
        self._lost = lost
        self._pids: dict[int, int] = {}
        self._started: dict[int, float] = {}
        self._short_lives = 0
        self._alive = -1, -1

    def run(self, ready: Callable[[], None]) -> None:
        """Until SIGTERM, SIGINT or SIGHUP; `ready` is called once all are started. WorkersFailed."""
        self._alive = os.pipe()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            for number in range(self._count):
                self._start(number)
            ready()
            while signal.sigwait(_WATCHED) == signal.SIGCHLD:
                self._bury()
        finally:
            self._end()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for descriptor in self._alive:
                os.close(descriptor)

    def _start(self, number: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self._pids[pid] = number
            self._started[pid] = time.monotonic()
            return
        code = 1
        # Nothing of the parent may go on in the child, whatever happens.
        try:
            os.close(self._alive[1])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            self._work(number, self._alive[0])
            code = 0
        finally:
            if code:
                traceback.print_exc()
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)

    def _bury(self) -> None:
        while self._pids:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            number = self._pids.pop(pid, None)
            if number is None:
                continue
            lived = time.monotonic() - self._started.pop(pid)
            self._short_lives = self._short_lives + 1 if lived < _TOO_SOON else 0
            if self._short_lives >= _TRIES:
                raise WorkersFailed(f"{self._short_lives} workers have ended within {_TOO_SOON:g} s each")
            self._lost(number)
            self._start(number)

    def _end(self) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while self._pids:
            left = deadline - time.monotonic()
            if left <= 0:
                self._signal(signal.SIGKILL)
            self._reap(block=left <= 0)
            if self._pids and left > 0:
                signal.sigtimedwait([signal.SIGCHLD], left)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids:
            # It is our child and has not been waited for: the id is still its own.
            os.kill(pid, number)

    def _reap(self, *, block: bool) -> None:
        for pid in list(self._pids):
            if os.waitpid(pid, 0 if block else os.WNOHANG)[0]:
                del self._pids[pid]
