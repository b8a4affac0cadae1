"""A TCP server that says exactly what a test tells it to, however wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tests.faults.listening import listening

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """Where it listens, and whether any connection is open."""

    port: int
    tls: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def empty(self) -> None:
        """Waits until every connection has been closed by its client; fails after a while."""
        async with asyncio.timeout(5):
            await self.idle.wait()


@contextlib.asynccontextmanager
async def scripted(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Runs the script for each connection, then waits for the client to close."""
    server = Scripted(0, tls is not None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
            while await reader.read(1 << 16):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    async with listening(serve, tls=tls, idle=server.idle) as server.port:
        yield server


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
