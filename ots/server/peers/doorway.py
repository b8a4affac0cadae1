"""What stands between a client's connection and aiohttp.

A doorway lets a request's header through, and keeps what follows it until somebody wants it: either aiohttp
(`pass_on`), or a consumer of ours (`lend`), which sees the bytes where they were received and copies none.
All connections of a worker receive into one buffer: a thousand of them need no more memory than one.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import re
import socket
import sys
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from aiohttp import web

from ots.server.peers.limits import HEADER_BYTES

_BUFFER = memoryview(bytearray(512 << 10))
_HELD_BYTES = 64 << 10
_FOLLOWED = re.compile(rb"\r\n(?:content-length:[ \t]*0*[1-9]|transfer-encoding:|upgrade:)", re.IGNORECASE)
_METHOD = re.compile(rb"[A-Z]{1,16}(?: |\Z)")
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_PEEK = 4 << 10
_WORTH_DROPPING = 64 << 10
_GULP = 4 << 20
# The kernel checks that there is room and writes nothing into it: no page of it ever comes to be.
_NOWHERE = memoryview(mmap.mmap(-1, _GULP))


class Consumer(Protocol):
    """Takes what a client sends, where it was received."""

    def __call__(self, view: memoryview, /) -> int | None:
        """None: there is more to come. A number: the end, and so many of these bytes were its own."""

    @property
    def droppable(self) -> int:
        """How many of the next bytes it will only count, so that they need not be received at all."""

    def dropped(self, count: int) -> bool:
        """So many have come and were dropped; whether that was the end."""


class _Mode(Enum):
    HEAD = "the next request's header is being gathered"
    HELD = "what follows a header waits"
    PASS = "everything goes to aiohttp"
    LENT = "everything goes to a consumer"


class Doorway(asyncio.BufferedProtocol):
    """One connection's protocol. `server` makes aiohttp's handlers, `left` hears of the end."""

    def __init__(self, server: web.Server, left: Callable[[], None]) -> None:
        self._server = server
        self._handler = server()
        self._left = left
        self._mode = _Mode.HEAD
        self._head = bytearray()
        self._held = bytearray()
        self._consumer: Consumer | None = None
        self._over: asyncio.Future[bool] | None = None
        self._drain: socket.socket | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        self._writable.set()
        self._end(False)
        self._handler.connection_lost(exc)

    def eof_received(self) -> None:
        self._end(False)
        self._handler.eof_received()

    def pause_writing(self) -> None:
        self._writable.clear()
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._writable.set()
        self._handler.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER[:_PEEK] if self._can_drop() else _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        if self._mode is _Mode.LENT:
            self._feed(_BUFFER[:nbytes])
            if self._can_drop():
                self._drop()
        else:
            self._take(bytes(_BUFFER[:nbytes]))

    # What handlers of requests call.

    @property
    def holding(self) -> bool:
        """A request's header has gone through, and nobody has asked for what follows it."""
        return self._mode is _Mode.HELD

    def pass_on(self) -> None:
        """From now on aiohttp reads this connection itself."""
        self._mode = _Mode.PASS
        held, self._held = bytes(self._held), bytearray()
        if held:
            self._handler.data_received(held)
        self._resume()

    async def lend(self, consumer: Consumer) -> bool:
        """Gives the consumer all that comes until it says that it is through (True) or the connection ends.

        What the consumer raises is raised here.
        """
        assert self._mode is _Mode.HELD and self._over is None
        over = self._over = asyncio.get_running_loop().create_future()
        self._mode, self._consumer = _Mode.LENT, consumer
        self._drain = self._own_socket()
        held, self._held = self._held, bytearray()
        if held:
            self._feed(memoryview(held))
        if self._transport is None or self._transport.is_closing():
            self._end(False)
        self._resume()
        try:
            whole: bool = await over
            return whole
        finally:
            self._over = self._consumer = None
            if self._drain is not None:
                self._drain.close()
                self._drain = None
            if self._mode is _Mode.LENT:
                self._mode = _Mode.HELD

    async def write(self, *pieces: bytes | memoryview) -> None:
        """Writes past aiohttp, all or nothing, and waits until there is room for more.

        ConnectionResetError if the client is gone.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        for piece in pieces:
            self._transport.write(piece)
        await self._writable.wait()
        # Under TLS a lost connection shows only once the loop has had its turn.
        await asyncio.sleep(0)

    def renew(self) -> None:
        """The answer has been written past aiohttp: a new handler of it waits for the next request."""
        transport, old = self._transport, self._handler
        if transport is None or transport.is_closing():
            return
        # Without its transport the old one ends as if the client had gone, and closes nothing.
        old.transport = None
        self._handler = self._server()
        old.connection_lost(None)
        self._handler.connection_made(transport)
        self._mode = _Mode.HEAD
        held, self._held = bytes(self._held), bytearray()
        self._resume()
        if held:
            self._take(held)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # How it works.

    def _take(self, data: bytes) -> None:
        if self._mode is _Mode.PASS:
            self._handler.data_received(data)
        elif self._mode is _Mode.HELD:
            self._held += data
            if len(self._held) >= _HELD_BYTES and self._transport is not None:
                self._transport.pause_reading()
        else:
            self._gather(data)

    def _gather(self, data: bytes) -> None:
        """Lets whole headers through; more than one where requests without a body are pipelined."""
        self._head += data
        while self._mode is _Mode.HEAD and self._head:
            if self._head[0] in b"\r\n":
                # Empty lines before a request mean nothing (RFC 9112, 2.2).
                del self._head[0]
                continue
            if not _METHOD.match(self._head):
                # No request begins like this; aiohttp says so.
                self._held, self._head = self._head, bytearray()
                self.pass_on()
                return
            end = self._head.find(b"\r\n\r\n") + 4
            if end > HEADER_BYTES or (end < 4 and len(self._head) > HEADER_BYTES):
                self._head.clear()
                if self._transport is not None:
                    self._transport.write(_TOO_LONG)
                    self._transport.close()
                return
            if end < 4:
                return
            head = bytes(self._head[:end])
            del self._head[:end]
            if _FOLLOWED.search(head):
                self._mode = _Mode.HELD
                held, self._head = bytes(self._head), bytearray()
                if held:
                    self._take(held)
            self._handler.data_received(head)

    def _own_socket(self) -> socket.socket | None:
        """The connection, to receive past asyncio; None where the kernel can't drop what it has received."""
        if self._transport is None or not sys.platform.startswith("linux"):
            return None
        if self._transport.get_extra_info("sslcontext") is not None or self._transport.is_closing():
            return None
        return socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))

    def _can_drop(self) -> bool:
        return (
            self._mode is _Mode.LENT
            and self._drain is not None
            and self._consumer is not None
            and self._consumer.droppable >= _WORTH_DROPPING
        )

    def _drop(self) -> None:
        """Has the kernel throw away what it has received (MSG_TRUNC, tcp(7)): no byte is copied."""
        consumer, drain = self._consumer, self._drain
        assert consumer is not None and drain is not None
        try:
            count = drain.recv_into(_NOWHERE, min(consumer.droppable, _GULP), socket.MSG_TRUNC)
        except OSError:
            # Nothing more now; or the connection is at its end, which asyncio will notice.
            return
        try:
            whole = count > 0 and consumer.dropped(count)
        except ValueError as error:
            self._refuse(error)
            return
        if whole:
            self._mode = _Mode.HELD
            self._end(True)

    def _refuse(self, error: ValueError) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)
        self._mode = _Mode.HELD

    def _feed(self, view: memoryview) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        try:
            used = consumer(view)
        except ValueError as error:
            self._refuse(error)
            return
        if used is not None:
            self._mode = _Mode.HELD
            if used < len(view):
                self._take(bytes(view[used:]))
            self._end(True)

    def _end(self, whole: bool) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(whole)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def doorway_of(request: web.Request) -> Doorway | None:
    """The doorway of a request's connection; None where a plain aiohttp site serves it."""
    transport = request.transport
    protocol = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, Doorway) else None
