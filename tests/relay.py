"""A TCP relay that lets the answers of a server through at a given rate."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

_PIECE = 8 << 10
_CREDIT = 0.01


@contextlib.asynccontextmanager
async def relay(port: int, rate: float) -> AsyncIterator[int]:
    """The port of a relay to `port` on 127.0.0.1; each connection gets `rate` bytes a second."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def upwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()

    async def downwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        due = loop.time()
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
            # What was waited too long is made up for, what nobody asked for is not.
            due = max(due, loop.time() - _CREDIT) + len(piece) / rate
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port, limit=_PIECE)
        ways = {asyncio.create_task(upwards(reader, back)), asyncio.create_task(downwards(there, writer))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.transport.abort()
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = loop.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
