"""A listener whose connections are all ended with it: what every server of these tests stands on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def listening(
    serve: Serve,
    *,
    tls: ssl.SSLContext | None = None,
    buffer: int | None = None,
    idle: asyncio.Event | None = None,
) -> AsyncIterator[int]:
    """A free port of 127.0.0.1; each connection is served by a task of its own, cancelled at the block's end.

    `buffer` bounds the bytes that a connection takes in without being read. `idle` is set while none is open.
    """
    idle = idle or asyncio.Event()
    idle.set()
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        idle.clear()
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(ended)

    def ended(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not tasks:
            idle.set()

    door = socket.create_server(("127.0.0.1", 0))
    if buffer is not None:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    listener = await asyncio.start_server(accepted, sock=door, ssl=tls, limit=buffer or 1 << 16)
    try:
        yield door.getsockname()[1]
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
