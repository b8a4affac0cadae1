"""TLS records of an upload, made and written by a thread while the loop hears nothing of the connection.

OpenSSL's state belongs to one thread at a time. So the loop stops reading while the thread encrypts; as soon
as something comes from the peer (an answer, the end, a new key), the thread gives the connection back.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable

from ots.netio.tls import Session
from ots.netio.transfer.aside import aside, wake
from ots.netio.transfer.segments import whole

_PORTION = 64 << 10
"""Bytes encrypted and handed over at once: whole records, few enough to stay in the processor's cache."""


class Sealer:
    """Encrypts and writes, in a thread, to a socket that does not block. Errors are the socket's own."""

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.heard = False
        """The peer has said something."""
        self._sock = sock
        self._session = session
        self._unsent = memoryview(b"")
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN | select.POLLOUT)

    def put(self, data: memoryview) -> None:
        """Encrypts all of it, and hands over whole segments until the peer is heard.

        What is not handed over is in `rest`.
        """
        while data:
            data = data[self._session.write(data[:_PORTION]) :]
            self._send()

    def rest(self) -> bytes:
        """Records that the kernel has not taken: they have to go out before anything else."""
        return self._unsent.tobytes() + self._session.outgoing.read()

    def _send(self) -> None:
        if not self._unsent:
            records = self._session.outgoing
            self._unsent = memoryview(records.read(whole(self._sock, records.pending)))
        while self._unsent and not self.heard:
            for _, event in self._poll.poll():
                self.heard = bool(event & ~select.POLLOUT)
            if not self.heard:
                with contextlib.suppress(BlockingIOError):
                    self._unsent = self._unsent[self._sock.send(self._unsent) :]


async def sealed(raw: asyncio.Transport, session: Session, work: Callable[[Sealer], None]) -> None:
    """Lets `work` put what it has, in a thread; returns when it has ended.

    `raw`, the transport beneath TLS, has nothing left to write, and nothing may be written or read over TLS
    on the loop meanwhile. Errors are the socket's own.
    """
    raw.pause_reading()
    try:
        with socket.socket(fileno=socket.dup(raw.get_extra_info("socket").fileno())) as sock:
            sealer = Sealer(sock, session)
            await aside(lambda: work(sealer), lambda: wake(sock, socket.SHUT_RDWR))
            raw.write(sealer.rest())
    finally:
        raw.resume_reading()
