"""Content that no path can compress, sent as fast as the kernel takes it.

Over plain TCP it goes straight to the kernel, past asyncio's transport and its buffer (`pump`); over TLS it
is written in pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from ots.server.peers.doorway import doorway_of
from ots.server.peers.memory_file import memory_file
from ots.server.peers.pump import Pump

_FILE_BYTES = 2 << 20
_PIECE = 256 << 10


class Source:
    """Random content in memory. Made before the workers are forked, it is shared by them."""

    def __init__(self) -> None:
        self._file = os.fdopen(memory_file("ots-content", _FILE_BYTES), "r+b")
        for _ in range(_FILE_BYTES >> 20):
            self._file.write(os.urandom(1 << 20))
        self._file.flush()
        self.page = memoryview(mmap.mmap(self._file.fileno(), _FILE_BYTES, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """Gives the memory back as soon as nothing is sent from it any more."""
        self._file.close()

    async def send(
        self, request: web.Request, count: int, seconds: float, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """An answer of so many bytes; what isn't whole after `seconds` is cut off, which its client sees."""
        response = web.StreamResponse(headers=headers)
        response.content_length = count
        await response.prepare(request)
        transport = request.transport
        # A client that leaves is how many downloads end.
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                if _is_plain(transport):
                    await self._pump(transport, count)
                else:
                    async for piece in self._pieces(count):
                        await response.write(piece)
                await response.write_eof()
                return response
        if transport is not None:
            transport.abort()
        return response

    async def stream(
        self, request: web.Request, seconds: float, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """An answer that lasts so long, and ends with its connection (RFC 9112, 6.3).

        A length would be a lie, and chunks are in the way of clients that let the kernel drop what they read.
        """
        doorway, transport = doorway_of(request), request.transport
        if doorway is None:
            return await self._stream_in_chunks(request, seconds, headers)
        lines = ["HTTP/1.1 200 OK", "Connection: close", *(f"{k}: {v}" for k, v in headers.items())]
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                await doorway.write("\r\n".join(lines).encode() + b"\r\n\r\n")
                if _is_plain(transport):
                    await self._pump(transport, None)
                async for piece in self._pieces(None):
                    await doorway.write(piece)
        doorway.close()
        # The answer has been written: aiohttp finds the connection closed, and writes none.
        return web.Response()

    async def _stream_in_chunks(
        self, request: web.Request, seconds: float, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """The same where a plain aiohttp site serves the request."""
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                async for piece in self._pieces(None):
                    await response.write(piece)
        response.force_close()
        return response

    async def _pump(self, transport: asyncio.Transport | None, count: int | None) -> None:
        assert transport is not None
        first = _PIECE if count is None else min(_PIECE, count)
        if first:
            # It waits until the header has left the transport.
            await asyncio.get_running_loop().sendfile(transport, self._file, 0, first, fallback=False)
        left = None if count is None else count - first
        if left is None or left:
            await Pump(transport, self.page, left, start=first).run()

    async def _pieces(self, count: int | None) -> AsyncIterator[memoryview]:
        at, left = 0, count
        while left is None or left > 0:
            size = _PIECE if left is None else min(_PIECE, left)
            yield self.page[at : at + size]
            at = (at + _PIECE) % _FILE_BYTES
            left = None if left is None else left - size


def _is_plain(transport: asyncio.Transport | None) -> bool:
    return transport is not None and transport.get_extra_info("sslcontext") is None
