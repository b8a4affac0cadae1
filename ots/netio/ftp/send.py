"""A file's bytes into a data connection: random content, until its size is reached or somebody says stop."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable

from ots.clock import Clock
from ots.netio.tcpinfo import unacknowledged
from ots.netio.transfer.acknowledged import Acknowledged
from ots.netio.transfer.aside import aside, wake
from ots.netio.transfer.meter import Flow
from ots.netio.transfer.payload import PieceSize, RandomPage
from ots.netio.transfer.segments import whole

_PORTION = 128 << 10
"""Bytes handed over at once: they are on their way, from this side, before more are copied. A server that is
busy writing a file is spared the work."""


class FileSending:
    """One file on its way. `share` is its size, None if it ends only when `cut()` says so.

    Errors are the socket's own.
    """

    def __init__(
        self, flow: Flow, page: RandomPage, clock: Clock, cut: Callable[[], bool], share: int | None
    ) -> None:
        self.handed = 0
        """Bytes of the file that the kernel has taken, those of an earlier connection too."""
        self._flow = flow
        self._page = page
        self._clock = clock
        self._cut = cut
        self._share = share
        self._sock: socket.socket | None = None
        self._start = 0
        self._acknowledged: Acknowledged | None = None
        self._confirmed = False

    async def run(self, sock: socket.socket, *, start: int = 0, stop: int | None = None) -> None:
        """Sends from byte `start` on, to `stop`, the share or the cut."""
        self._sock, self._start, self.handed = sock, start, start
        self._acknowledged = Acknowledged(self._flow, tls=isinstance(sock, ssl.SSLSocket))
        self._acknowledged.begin(sock)
        end = min((place for place in (stop, self._share) if place is not None), default=None)
        sock.setblocking(True)
        await aside(lambda: self._write(sock, end), lambda: wake(sock, socket.SHUT_RDWR))

    def _write(self, sock: socket.socket, end: int | None) -> None:
        """Piece after piece, in a thread."""
        size = PieceSize()
        while not self._cut() and (end is None or self.handed < end):
            left = size.bytes if end is None else min(size.bytes, end - self.handed)
            before = self._clock.monotonic()
            self._hand_over(sock, self._page.at(self.handed, left))
            size.adapt(self._clock.monotonic() - before)

    def _hand_over(self, sock: socket.socket, piece: memoryview) -> None:
        portion = whole(sock, _PORTION)
        while piece:
            count = sock.send(piece[:portion])
            self.handed += count
            piece = piece[count:]
            if self._flow.begin is None:
                self._flow.begin = self._flow.end = self._clock.monotonic()

    def end(self) -> None:
        """Says that this was all: in stream mode the end of the connection is the end of the file."""
        sock = self._sock
        assert sock is not None
        if isinstance(sock, ssl.SSLSocket):
            # Our close_notify is out then; the server's own need not be waited for (RFC 8446 section 6.1).
            with contextlib.suppress(OSError, ValueError):
                sock.unwrap()
        # Whoever has hung up already says on the control connection why.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)

    def delivered(self) -> int:
        """Bytes of the file that have arrived as far as anybody can know."""
        if self._confirmed:
            return self.handed
        if self._acknowledged is None:
            return self._flow.bytes
        content = self._acknowledged.content(self.handed - self._start)
        return self._flow.bytes if content is None else self._start + content

    def confirm(self) -> None:
        """The server has said that the file is complete."""
        self._confirmed = True

    @property
    def drained(self) -> bool:
        """Everything that was handed over is acknowledged."""
        return self._sock is None or self._sock.fileno() < 0 or not unacknowledged(self._sock)

    def sha256(self) -> str:
        """The hash of the whole file, in hex."""
        digest, place = hashlib.sha256(), 0
        while place < self.handed:
            piece = self._page.at(place, self.handed - place)
            digest.update(piece)
            place += len(piece)
        return digest.hexdigest()
