"""sendfile(2) whenever a connection can take more, without a task or a future for each time that it can't."""

from __future__ import annotations

import asyncio
import os

_AT_ONCE = 8 << 20


class Pump:
    """Sends a file of `length` bytes over and over to a plain connection: `count` bytes, or for ever (None).

    It works on a descriptor of its own, since asyncio watches the connection's for reading. The transport
    must have nothing left to write.
    """

    def __init__(
        self, transport: asyncio.Transport, file: int, length: int, count: int | None, *, start: int = 0
    ) -> None:
        self._transport = transport
        self._file = file
        self._length = length
        self._left = count
        self._at = start % length
        self._loop = asyncio.get_running_loop()
        self._out = -1
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Until all is sent. ConnectionError if the client goes."""
        self._out = os.dup(self._transport.get_extra_info("socket").fileno())
        self._loop.add_writer(self._out, self._more)
        try:
            await self._over
        finally:
            self._loop.remove_writer(self._out)
            os.close(self._out)

    def _more(self) -> None:
        if self._over.done():
            return
        if self._transport.is_closing():
            self._over.set_exception(ConnectionResetError("the client is gone"))
            return
        size = min(self._length - self._at, _AT_ONCE, _AT_ONCE if self._left is None else self._left)
        try:
            sent = os.sendfile(self._out, self._file, self._at, size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._over.set_exception(ConnectionResetError(error.errno, "the client is gone"))
            return
        self._at = (self._at + sent) % self._length
        if self._left is not None:
            self._left -= sent
            if not self._left:
                self._over.set_result(None)
