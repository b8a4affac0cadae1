"""A way to a server that a test cuts, freezes and heals."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any


class Wire:
    """A relay that can be cut (connections end, new ones too) or frozen (they stay and carry nothing)."""

    def __init__(self, port: int, hides: tuple[bytes, bytes] | None = None) -> None:
        self._port = port
        self._hides = hides
        self._carries = asyncio.Event()
        self._carries.set()
        self._open: set[asyncio.Task[Any]] = set()
        self._refuses = False
        self.url = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port: int, hides: tuple[bytes, bytes] | None = None) -> AsyncIterator[Wire]:
        made = cls(port, hides)
        server = await asyncio.start_server(made._serve, "127.0.0.1", 0)
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield made
        finally:
            server.close()
            made.cut()

    def cut(self) -> None:
        self._refuses = True
        for task in self._open:
            task.cancel()

    def freeze(self) -> None:
        self._carries.clear()

    def heal(self) -> None:
        self._refuses = False
        self._carries.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if not self._refuses:
                there, back = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
                finally:
                    back.transport.abort()
        except (asyncio.CancelledError, OSError):
            pass  # cut
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            await self._carries.wait()
            if self._hides is not None:
                piece = piece.replace(*self._hides)
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError


class WireBeside:
    """A `Wire` in a thread of its own, for tests that have no event loop."""

    def __init__(self, line: Wire, loop: asyncio.AbstractEventLoop) -> None:
        self.url = line.url
        self._line = line
        self._loop = loop

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._line.cut)

    def heal(self) -> None:
        self._loop.call_soon_threadsafe(self._line.heal)


@contextlib.contextmanager
def wire_beside(port: int) -> Iterator[WireBeside]:
    """A relay to the port for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="wire")
    thread.start()
    way = Wire.to(port)
    try:
        line = asyncio.run_coroutine_threadsafe(way.__aenter__(), loop).result(10)
        try:
            yield WireBeside(line, loop)
        finally:
            asyncio.run_coroutine_threadsafe(way.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
