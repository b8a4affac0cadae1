"""Exclusivity: two throughput measurements on one link would each measure half of it.

The lock is a listening Unix socket with an abstract name, one for each interface. It holds across processes
and users of this machine (or network namespace), and the kernel frees it when its holder dies, even by
kill -9. Whoever waits connects to it and sleeps until the holder hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from ots.clock import Clock
from ots.probe import Failed

_PREFIX = "\0ots.exclusive."

Waiting = Callable[[str, int | None], None]
"""Told the name of the lock and the holder's process id when somebody has to wait."""


@asynccontextmanager
async def held(names: Iterable[str], clock: Clock, patience: float, waiting: Waiting) -> AsyncIterator[None]:
    """Holds all locks (interface names, or `host`) while the block runs.

    They are taken in one order, so that two runs can't wait for each other. After `patience` seconds raises
    Failed (class `resource`, code `BUSY`).
    """
    deadline = clock.monotonic() + patience
    with contextlib.ExitStack() as locks:
        for name in sorted(set(names)):
            locks.enter_context(await _take(name, clock, deadline, waiting))
        yield


async def _take(name: str, clock: Clock, deadline: float, waiting: Waiting) -> socket.socket:
    while True:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            lock.bind(_PREFIX + name)
            lock.listen(64)
            return lock
        except OSError:
            lock.close()
        if clock.monotonic() >= deadline:
            raise Failed(
                "resource",
                "bearer",
                "BUSY",
                f"another measurement holds {name}",
                retryable=True,
                remedy="wait until it has ended: ots report list",
            )
        await _until_released(name, max(0.0, deadline - clock.monotonic()), waiting)


async def _until_released(name: str, patience: float, waiting: Waiting) -> None:
    """Returns when the holder has hung up, or after `patience` seconds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as visitor:
        visitor.setblocking(False)
        try:
            visitor.connect(_PREFIX + name)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            await asyncio.sleep(min(patience, 0.2))
            return
        waiting(name, _holder(visitor))
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(patience):
                await asyncio.get_running_loop().sock_recv(visitor, 1)


def _holder(visitor: socket.socket) -> int | None:
    """The process id of the lock's holder, None if it is this process."""
    raw = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", raw)[0]
    return None if pid == os.getpid() else pid
