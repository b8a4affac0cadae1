"""A TCP server that says exactly what a test tells it to, however wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """Where it listens, and how many connections are open."""

    port: int
    tls: bool = False
    open: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def empty(self) -> None:
        """Waits until every connection has been closed by its client; fails after a while."""
        async with asyncio.timeout(5):
            await self.idle.wait()

    def opened(self) -> None:
        self.open += 1
        self.idle.clear()

    def closed(self) -> None:
        self.open -= 1
        if not self.open:
            self.idle.set()


@contextlib.asynccontextmanager
async def scripted(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Runs the script for each connection, then waits for the client to close."""
    server = Scripted(0, tls is not None)
    server.idle.set()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
            while await reader.read(1 << 16):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
            server.closed()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.opened()
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> bytes:
    """Reads one request's header."""
    return await reader.readuntil(b"\r\n\r\n")


def says(*pieces: bytes, close: bool = False, again: bool = False, pause: float = 0.0) -> Script:
    """Reads a request, sends the pieces, each with a pause; closes, or answers the next, if asked."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if close:
            writer.close()
        elif again:
            await script(reader, writer)

    return script


def resets_after(*pieces: bytes, pause: float = 0.1) -> Script:
    """Sends the pieces, lets them arrive, and then ends the connection with RST."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)
        reset(writer)

    return script


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
