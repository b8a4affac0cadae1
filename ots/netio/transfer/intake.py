"""One connection's bytes into a transfer's meter, from a thread that reads nothing else."""

from __future__ import annotations

import asyncio
import mmap
import os
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

FASTEST = 1.25e9
"""Bytes per second from which on a thread may poll instead: more than 10 Gigabit Ethernet carries."""

_PREEMPTED = 20e-6
"""Seconds that sched_yield(2) does not take unless somebody else had the processor meanwhile."""

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
    others may follow. `polls`: the only connection of a very fast transfer may take a whole processor, as
    long as nobody else wants it, so that neither side ever has to be woken.
    """

    def __init__(
        self,
        flow: Flow,
        meter: Meter,
        stamp: Callable[[], float],
        book: Callable[[], None],
        digest: Callable[[memoryview], object] | None = None,
        *,
        polls: bool = False,
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
        self._last = 0
        self._polls, self._polling = polls, False

    @property
    def over(self) -> bool:
        """Nobody wants any more."""
        return self.stopped or self._meter.full

    def drop(self, sock: socket.socket, most: int) -> int:
        """One read of content that nobody looks at; 0 at the connection's end.

        In a thread: where much comes, and little was there the last time, it lets more come before.
        """
        size, got = min(most, GULP), None
        if self._rest and self._last < _SMALL:
            if self._polling:
                got = self._poll(sock, size)
            else:
                time.sleep(self._rest)
        if got is None:
            got = sock.recv_into(_ROOM, size, socket.MSG_TRUNC)
        self._last = got
        return got

    def _poll(self, sock: socket.socket, size: int) -> int | None:
        """Looks again and again for a moment; None if nothing came."""
        start = now = time.perf_counter()
        got = None
        while got is None and now < start + _REST:
            os.sched_yield()
            before, now = now, time.perf_counter()
            if now - before > _PREEMPTED:
                time.sleep(self._rest)
                now = before
                break
            try:
                got = sock.recv_into(_ROOM, size, socket.MSG_TRUNC | socket.MSG_DONTWAIT)
            except BlockingIOError:
                now = time.perf_counter()
        self._flow.polled += now - start
        return got

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
        if self._polls:
            fastest = self._unbooked > FASTEST * (t - self._since)
            self._polling = fastest and len(self._meter.flows) == 1
        self._unbooked, self._due, self._since = 0, t + _MOMENT, t
        self._meter.collect(flow)
        if more and not self._meter.full:
            self._book()

    def follows(self) -> None:
        """Another request has been answered on the connection."""
        self._flow.requests += 1

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
