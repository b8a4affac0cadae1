"""What a thread writes to one connection while the loop may go on reading from it."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator


class Outflow:
    """Writes to a socket that does not block, from a thread. Errors are the socket's own."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._room = select.poll()
        self._room.register(sock.fileno(), select.POLLOUT)

    def put(self, *parts: memoryview) -> Iterator[int]:
        """Hands all of it to the kernel, and says after each step how many bytes of it the kernel has."""
        left, total = [part for part in parts if part], 0
        while left:
            try:
                count = self._sock.sendmsg(left)
            except BlockingIOError:
                self._room.poll()
                continue
            total += count
            yield total
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]
