"""What a thread writes to one connection while the loop may go on reading from it."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Iterator, Sequence

from ots.netio.transfer.payload import Piece

Part = memoryview | Piece

_MORE = getattr(socket, "MSG_MORE", 0)


class Outflow:
    """Writes to a socket that does not block (TLS: that does), from a thread. Errors are the socket's own.

    With `file`, the page as a file, the kernel sends its pages as they are; without, it copies the pieces.
    """

    def __init__(self, sock: socket.socket, file: int | None = None) -> None:
        self._sock = sock
        self._file = file
        self._room = select.poll()
        self._room.register(sock.fileno(), select.POLLOUT)

    def put(self, *parts: Part) -> Iterator[int]:
        """Hands all of it to the kernel, and says after each step how many bytes of it the kernel has."""
        left, total = [part for part in parts if len(part)], 0
        while left:
            try:
                count = self._once(left)
            except BlockingIOError:
                self._room.poll()
                continue
            total += count
            yield total
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = _after(left[0], count)

    def _once(self, parts: Sequence[Part]) -> int:
        first = parts[0]
        if self._file is not None:
            if isinstance(first, Piece):
                return os.sendfile(self._sock.fileno(), self._file, first.start, len(first))
            return self._sock.send(first, _MORE if len(parts) > 1 else 0)
        if isinstance(self._sock, ssl.SSLSocket):
            return self._sock.send(_view(first))
        return self._sock.sendmsg([_view(part) for part in parts])


def _view(part: Part) -> memoryview:
    return part.view if isinstance(part, Piece) else part


def _after(part: Part, count: int) -> Part:
    return part.after(count) if isinstance(part, Piece) else part[count:]
