"""One connection's bytes into a transfer's meter, from a thread that reads nothing else."""

from __future__ import annotations

import asyncio
import mmap
import socket
import sys
import time
from collections.abc import Callable, Sequence

from ots.netio.transfer.meter import Flow, Meter

GULP = 1 << 20
"""Bytes of a read at most, and of what is booked at once: a data budget is overstepped by two of each
connection at most."""

_MOMENT = 0.001
"""Seconds for which reads that follow each other closely are booked as one."""

BUFFER = 256 << 10

_FAST = 250e6
"""Bytes per second from which on a thread rests after a small read: woken for every segment, both sides would
spend more on waking than on moving."""

_SMALL = 128 << 10
_REST = 0.0002
_AWAITED = 256 << 10
"""A rest lasts until so many bytes should have come, at the rate of the last moment, and _REST at most."""

# On Linux a TCP read with MSG_TRUNC drops the bytes in the kernel (tcp(7)). It checks the room for them and
# writes nothing there, so no page of it ever comes to be, and all threads may name the same.
_DROPS = sys.platform == "linux"
_ROOM = memoryview(mmap.mmap(-1, GULP))


class Intake:
    """Counts what arrives on one connection, with its instant. Errors are the socket's own, or `Failed`.

    `digest` sees every byte; without it the kernel may drop them. `book` is called after each read that
    others may follow.
    """

    def __init__(
        self,
        flow: Flow,
        meter: Meter,
        stamp: Callable[[], float],
        book: Callable[[], None],
        digest: Callable[[memoryview], object] | None = None,
    ) -> None:
        self.count = 0
        self.stopped = False
        self._flow, self._meter, self._book = flow, meter, book
        self.stamp = stamp
        self.digest = digest
        self.blind = _DROPS and digest is None
        """The kernel may drop what comes."""
        self._buffer: memoryview | None = None
        self._unbooked, self._due, self._since = 0, 0.0, 0.0
        self._rest = 0.0

    @property
    def over(self) -> bool:
        """Nobody wants any more."""
        return self.stopped or self._meter.full

    def drop(self, sock: socket.socket, most: int) -> int:
        """One read of content that nobody looks at; 0 at the connection's end."""
        return sock.recv_into(_ROOM, min(most, GULP), socket.MSG_TRUNC)

    def rest(self, count: int) -> None:
        """In a thread, after a read of so many bytes: lets more come before the next, where much comes."""
        if self._rest and count < _SMALL:
            time.sleep(self._rest)

    def read(self, sock: socket.socket, most: int) -> memoryview:
        """One read into the one buffer; empty at the connection's end. It holds until the next read."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(BUFFER))
        return self._buffer[: sock.recv_into(self._buffer, min(most, BUFFER))]

    def arrived(self, count: int, *, more: bool, t: float | None = None) -> None:
        """Notes a read with so many bytes of content that came at `t` (now), and books it soon."""
        flow, t = self._flow, self.stamp() if t is None else t
        self.count += count
        flow.came, flow.came_at = flow.came + count, t
        self._unbooked += count
        if more and t < self._due and self._unbooked < GULP:
            return
        fast = self._unbooked > _FAST * (t - self._since)
        self._rest = min(_REST, _AWAITED * (t - self._since) / self._unbooked) if fast else 0.0
        self._unbooked, self._due, self._since = 0, t + _MOMENT, t
        self._meter.collect(flow)
        if more and not self._meter.full:
            self._book()

    def pieces(self, pieces: Sequence[memoryview], *, more: bool, t: float) -> None:
        """Books the content of one read that came at `t`."""
        if self.digest is not None:
            for piece in pieces:
                self.digest(piece)
        if pieces:
            self.arrived(sum(map(len, pieces)), more=more, t=t)

    async def settle(self) -> None:
        """On the loop, when the reading has ended: what follows a full meter is the watch's."""
        if self._meter.full:
            self._meter.filled.set()
            await asyncio.get_running_loop().create_future()
