"""Sends whenever a connection can take more, without a task or a future for each time that it can't.

The bytes are copied, on purpose: from a page that lies in the cache that is cheaper than to hand the kernel
one page of a file after the other, as sendfile(2) does (docs/design/021-generator.md).
"""

from __future__ import annotations

import asyncio
import os
import socket

PIECE = 128 << 10
"""What one send(2) gets: few enough bytes to be in the cache still when the next follows."""

_AT_ONCE = 2 << 20
"""Bytes after which the other connections have their turn."""


class Pump:
    """Sends a page over and over to a plain connection: `count` bytes, or for ever (None).

    It works on a descriptor of its own, since asyncio watches the connection's for reading. The transport
    must have nothing left to write.
    """

    def __init__(
        self, transport: asyncio.Transport, page: memoryview, count: int | None, *, start: int = 0
    ) -> None:
        self._transport = transport
        self._page = page
        self._left = count
        self._at = start % len(page)
        self._loop = asyncio.get_running_loop()
        self._out: socket.socket | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Until all is sent. ConnectionError if the client goes."""
        descriptor = os.dup(self._transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=descriptor) as self._out:
            self._loop.add_writer(descriptor, self._more)
            try:
                await self._over
            finally:
                self._loop.remove_writer(descriptor)

    def _more(self) -> None:
        if self._over.done():
            return
        if self._transport.is_closing():
            self._over.set_exception(ConnectionResetError("the client is gone"))
            return
        try:
            self._fill()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._over.set_exception(ConnectionResetError(error.errno, "the client is gone"))

    def _fill(self) -> None:
        """Sends until there is no room (BlockingIOError), all is sent, or others wait."""
        assert self._out is not None
        page, turn = self._page, _AT_ONCE
        while turn > 0:
            size = PIECE if self._left is None else min(PIECE, self._left)
            sent = self._out.send(page[self._at : self._at + size])
            self._at = (self._at + sent) % len(page)
            turn -= sent
            if self._left is not None:
                self._left -= sent
                if not self._left:
                    self._over.set_result(None)
                    return
