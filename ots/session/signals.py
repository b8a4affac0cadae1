"""Ctrl-C and SIGTERM: the run ends as `aborted`, its report is written, nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ots.engine.runner import Runner

_REASONS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopper:
    """Hands a signal to the runner, also one that came before there was a runner."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._caught: str | None = None

    def watch(self, runner: Runner) -> None:
        """From now on signals stop this runner, which runs in the current event loop."""
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        if self._caught is not None:
            runner.stop(self._caught)

    def caught(self, number: int, _frame: FrameType | None) -> None:
        self._caught = _REASONS[signal.Signals(number)]
        if self._runner is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._runner.stop, self._caught)


@contextmanager
def stopping() -> Iterator[Stopper]:
    """Takes both signals while the block lasts, so that not even a late one can lose the report.

    Outside the main thread signals can't be taken; whoever runs there stops the runner by other means.
    """
    stopper = Stopper()
    if threading.current_thread() is not threading.main_thread():
        yield stopper
        return
    before = {number: signal.signal(number, stopper.caught) for number in _REASONS}
    try:
        yield stopper
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
