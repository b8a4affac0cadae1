"""A thread that measures while the event loop goes on, and the loop's side of it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

_TICK = 0.1


async def side_by_side(runs: Sequence[Coroutine[None, None, None]]) -> None:
    """Runs all; when one fails, the others are cancelled and tidied up before its failure is raised."""
    tasks = [asyncio.ensure_future(run) for run in runs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Worker:
    """One thread's life. `stopping` tells it to end; its `fileno` becomes readable then, for a poll."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stop = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._bug: Exception | None = None

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def fileno(self) -> int:
        return self._wake_read.fileno()

    async def run(self, work: Callable[[], None], tick: Callable[[], None]) -> None:
        """Runs `work` in the thread to its end, and `tick` here ten times a second and once after it.

        Cancelled, or when `tick` raises, it first stops the thread and waits for it. What `work` raised is
        raised here.
        """
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            try:
                work()
            except Exception as bug:  # noqa: BLE001 (a thread has nobody to raise to: it is raised below)
                self._bug = bug
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(finished.set_result, None)

        thread = threading.Thread(target=run, name=self._name, daemon=True)
        thread.start()
        try:
            while not finished.done():
                await asyncio.wait({finished}, timeout=_TICK)
                tick()
        finally:
            self._stop.set()
            self._wake_write.send(b"\0")
            thread.join()
            self._wake_read.close()
            self._wake_write.close()
            tick()
        if self._bug is not None:
            raise self._bug
