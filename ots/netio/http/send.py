"""One connection's upload: its body, and how much of it has really been delivered.

Bytes handed to the kernel are not uploaded. Until the peer answers, what counts is what the peer's TCP has
acknowledged; when it answers, what it says that it received.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial

import msgspec

from ots.clock import Clock
from ots.netio.http.client import Client
from ots.netio.http.sealed import Sealer
from ots.netio.tcpinfo import unacknowledged
from ots.netio.transfer.acknowledged import Acknowledged
from ots.netio.transfer.aside import aside, wake
from ots.netio.transfer.meter import Flow
from ots.netio.transfer.outflow import Outflow
from ots.netio.transfer.payload import SMALLEST, PieceSize, RandomPage
from ots.netio.transfer.segments import whole
from ots.stats.throughput import Curve

MAX_ANSWER = 8 << 20

_CRLF = b"\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Sending:
    """The body of one connection. `share` is its size, None if it ends only when `cut()` says so."""

    def __init__(
        self,
        client: Client,
        flow: Flow,
        page: RandomPage,
        clock: Clock,
        cut: Callable[[], bool],
        *,
        share: int | None,
        chunked: bool,
        tls: bool,
    ) -> None:
        self.handed = 0
        self.framing = 0
        self.flow = flow
        self._client = client
        self._page = page
        self._clock = clock
        self._cut = cut
        self._share = share
        self._chunked = chunked
        self._tls = tls
        self._acknowledged = Acknowledged(flow, tls=tls)
        self._ended = False
        self._confirmed: int | None = None

    @property
    def complete(self) -> bool:
        """All of the body has been handed over."""
        return self._ended or (not self._chunked and self.handed == self._share)

    async def body(self) -> AsyncIterator[memoryview]:
        """Random pieces, larger as long as the path swallows them quickly.

        aiohttp gets the first, with which the header leaves, and the last, without which nobody can answer; a
        thread writes the rest to the socket. On a plain connection aiohttp goes on listening meanwhile; over
        TLS the thread listens, and gives the rest back to aiohttp once the peer has said something.
        """
        self._begin()
        size = PieceSize()
        while self._goes_on:
            piece = self._piece(size)
            self.handed += len(piece)
            if self._chunked:
                self.framing += _framing(len(piece))
            before = self._clock.monotonic()
            yield piece
            size.adapt(self._seen() - before)
            # A path that never says "wait" would otherwise keep the loop, and the cut, from happening.
            await asyncio.sleep(0)
            if self._before_last:
                await self._aside(size)
        if self._chunked:
            self.framing += len(_LAST_CHUNK)
        self._ended = True

    @property
    def _goes_on(self) -> bool:
        return not self._cut() and (self._share is None or self.handed < self._share)

    @property
    def _before_last(self) -> bool:
        return not self._cut() and (self._share is None or self.handed < self._share - SMALLEST)

    def _piece(self, size: PieceSize, spare: int = 0, sock: socket.socket | None = None) -> memoryview:
        left = size.bytes if self._share is None else min(size.bytes, self._share - spare - self.handed)
        if sock is not None:
            left = whole(sock, left)
            # With what frames it, a chunk is as long as the piece was to be.
            left = max(1, left - _framing(left)) if self._chunked else left
        return self._page.piece(left)

    def _seen(self) -> float:
        """Now, and that something has been handed over by now."""
        now = self._clock.monotonic()
        if self.flow.begin is None:
            self.flow.begin = self.flow.end = now
        self.flow.look()
        return now

    async def _aside(self, size: PieceSize) -> None:
        try:
            if self._tls:
                await self._client.seal(lambda sealer: self._told(lambda: self._seal(sealer, size)))
                return
            await self._client.flush()
            wire = self._client.wire
            if wire is None:
                return
            with socket.socket(fileno=socket.dup(wire)) as sock:
                work = partial(self._told, lambda: self._write(sock, size))
                await aside(work, lambda: wake(sock, socket.SHUT_RDWR))
        except OSError:
            # What the peer has to say of it, aiohttp hears: an answer, or the end.
            await asyncio.get_running_loop().create_future()

    def _told(self, work: Callable[[], None]) -> None:
        """In the thread: notes at once what ends it: aiohttp sees the end at the same time, and not why."""
        try:
            work()
        except OSError as error:
            self._client.broke(error)
            raise

    def _seal(self, sealer: Sealer, size: PieceSize) -> None:
        """All but the last, in a thread, until the peer says something."""
        while not sealer.heard and self._before_last:
            piece = self._piece(size, SMALLEST)
            before = self._clock.monotonic()
            if self._chunked:
                head = _chunk_size(piece)
                # One text, so that its records are full.
                sealer.put(memoryview(b"".join((head, piece, _CRLF))))
                self.framing += len(head) + len(_CRLF)
            else:
                sealer.put(piece)
            self.handed += len(piece)
            size.adapt(self._clock.monotonic() - before)

    def _write(self, sock: socket.socket, size: PieceSize) -> None:
        """All but the last, in a thread."""
        out = Outflow(sock)
        while self._before_last:
            piece = self._piece(size, SMALLEST, sock)
            before = self._clock.monotonic()
            handed, framing = self.handed, self.framing
            head, tail = (_chunk_size(piece), _CRLF) if self._chunked else (b"", b"")
            for count in out.put(memoryview(head), piece, memoryview(tail)):
                content = min(max(0, count - len(head)), len(piece))
                self.handed, self.framing = handed + content, framing + count - content
            size.adapt(self._clock.monotonic() - before)

    def delivered(self) -> int:
        """Content bytes that have arrived as far as anybody can know."""
        if self._confirmed is not None:
            return self._confirmed
        content = self._acknowledged.content(self.handed, self.framing)
        return self.flow.bytes if content is None else content

    def confirm(self, count: int) -> None:
        """The peer's application has it."""
        self._confirmed = count

    def drained(self) -> bool:
        """Everything is handed over and acknowledged: now it is the peer's turn."""
        connection = self.flow.connection
        if not self.complete or connection is None or connection.fileno() < 0:
            return False
        return not self._client.unsent and not unacknowledged(connection)

    def _begin(self) -> None:
        """Notes the instants until here, and where the count of acknowledged bytes stands."""
        self.flow.connect_start = self._client.dialer.connect_start
        self.flow.connected = self._client.dialer.connected
        self.flow.requested = self._client.request_sent
        self._acknowledged.begin(self._client.connection)


def _chunk_size(piece: memoryview) -> bytes:
    return b"%x\r\n" % len(piece)


def _framing(count: int) -> int:
    """Bytes around a chunk of so many bytes (RFC 9112 section 7.1)."""
    return len(b"%x\r\n" % count) + len(_CRLF)


class PeerSeries(msgspec.Struct):
    """When how much had arrived, on the peer's monotonic clock."""

    t: list[float]
    bytes: list[int]


class PeerAnswer(msgspec.Struct):
    """What a peer of ours answers to an upload."""

    received_bytes: int
    grain: float
    series: PeerSeries

    def curve(self) -> Curve | None:
        """The series, if it is one: ascending, and ending with the count."""
        t, total = self.series.t, self.series.bytes
        if len(t) != len(total) or len(t) < 2 or not 0 < self.grain <= 1 or total[-1] != self.received_bytes:
            return None
        if any(b <= a for a, b in zip(t, t[1:], strict=False)) or total[0] < 0:
            return None
        if any(b < a for a, b in zip(total, total[1:], strict=False)):
            return None
        return Curve(self.grain, t, total)


def peer_answer(body: bytes) -> PeerAnswer | None:
    """The answer of a peer that counts, or None: other servers answer whatever they like."""
    try:
        answer = msgspec.json.decode(body, type=PeerAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return answer if answer.received_bytes >= 0 else None
