"""Sends content over and over to a plain connection, from a thread, so that the loop is free for others.

The bytes are copied, on purpose: from a page that lies in the cache that is cheaper than to hand the kernel
one page of a file after the other, as sendfile(2) does (docs/design/021-generator.md).
"""

from __future__ import annotations

import asyncio
import os
import socket

from ots.netio.transfer.aside import aside, wake
from ots.netio.transfer.outflow import Outflow
from ots.netio.transfer.segments import whole

PIECE = 512 << 10
"""What one send(2) gets: few enough bytes to be in the cache still when they are sent again."""


class Pump:
    """Sends a page over and over: `count` bytes, or for ever (None).

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

    async def run(self) -> None:
        """Until all is sent. ConnectionError if the client goes. Cancelled, it says that nothing follows."""
        with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as out:
            try:
                await aside(lambda: self._send(out), lambda: wake(out, socket.SHUT_WR))
            except OSError as error:
                raise ConnectionResetError(error.errno, "the client is gone") from None

    def _send(self, out: socket.socket) -> None:
        """Piece after piece, in a thread."""
        flow, page = Outflow(out), self._page
        while self._left is None or self._left > 0:
            if self._transport.is_closing():
                raise ConnectionResetError("the client is gone")
            piece = page[self._at : self._at + whole(out, PIECE)]
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            self._at = (self._at + len(piece)) % len(page)
            for _ in flow.put(piece):
                pass
