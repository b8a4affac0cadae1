"""Work that blocks, in a thread of its own beside the loop, which can be told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """What `work` returns or raises. Cancelled, it calls `stop` and comes back when the thread has ended.

    The loop's own executor has few threads: sixty-four connections would wait for each other.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="transfer") as executor:
        outcome = asyncio.get_running_loop().run_in_executor(executor, work)
        try:
            return await asyncio.shield(outcome)
        finally:
            if not outcome.done():
                stop()
                await _ended(outcome)


async def _ended(outcome: asyncio.Future[T]) -> None:
    while not outcome.done():
        # Being cancelled once more changes nothing: the socket may not go before the thread that reads it.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({outcome})
    outcome.exception()


@contextlib.contextmanager
def borrowed(connection: int) -> Iterator[socket.socket]:
    """A socket of its own on an open connection (its file descriptor), blocking while the block runs.

    Nobody else may read or write there meanwhile: whether it blocks belongs to the connection.
    """
    with socket.socket(fileno=socket.dup(connection)) as sock:
        sock.setblocking(True)
        try:
            yield sock
        finally:
            sock.setblocking(False)


def wake(sock: socket.socket, how: int) -> None:
    """Ends what blocks in any thread on the socket: reads (SHUT_RD), or both (SHUT_RDWR)."""
    with contextlib.suppress(OSError):
        sock.shutdown(how)
