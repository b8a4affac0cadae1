"""An echo run over an open session: requests on an absolute schedule, and what came of each of them.

Sending and reading have a thread of their own. A request leaves when it is due, never "after the reply"
(RFC 3432); one that leaves late is marked. A reply counts if token, MAC and size are right and it came within
the timeout by the kernel's stamps. Every request is settled exactly once.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from ots.clock import Clock
from ots.netio.errors import classify
from ots.netio.icmp.errqueue import Quoted, Sent
from ots.netio.stamps import Placement
from ots.netio.udp_echo import wire
from ots.netio.udp_echo.handshake import Channel
from ots.netio.udp_echo.stamped import Datagram, StampedSocket
from ots.netio.worker import Worker
from ots.probe import Failed

_BATCH = 16
_READ_AT_ONCE = 1024
_OVERSLEPT = 1.0
"""Seconds behind after which the rest of the schedule moves instead of being sent in one burst."""

_IMPLAUSIBLE = 1e-3
"""A responder that says it kept a request longer than the whole round trip took, by more than this, lies."""

_SEND_RETRY = 1e-3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reply told: times in seconds, `up` and `down` as differences of two machines' clocks."""

    rtt: float
    held: float
    up: float
    down: float
    overtook: bool
    """Whether a reply that left the responder later had arrived before."""


@dataclass(frozen=True, slots=True)
class Settled:
    """One request with its answer, or with the error class that stands in its place."""

    sequence: int
    t: float
    slipped: bool
    answer: Answer | None = None
    reason: str | None = None
    late: float | None = None
    """The round trip of a reply that came after the timeout."""
    failure: Failed | None = None
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Extra:
    """A further reply to a request, or (with `late`) one that came when its request had been given up."""

    sequence: int
    late: float | None = None


Event = Settled | Extra
Deliver = Callable[[list[Event]], None]


@dataclass(slots=True)
class _Request:
    due: float
    before: float
    after: float
    left: float
    slipped: bool


class EchoRun:
    """One run of `count` requests. The socket is connected and stays the caller's."""

    def __init__(
        self,
        sock: socket.socket,
        channel: Channel,
        *,
        count: int,
        interval: float,
        timeout: float,
        size: int,
        clock: Clock,
        room: Callable[[], bool] | None = None,
    ) -> None:
        self._room = room
        self._socket = StampedSocket(sock)
        self._channel = channel
        self._count, self._interval, self._timeout, self._size = count, interval, timeout, size
        self._clock = clock
        self._placement = Placement(clock)
        self._filling = os.urandom(size - wire.SMALLEST)
        self._pending: dict[int, _Request] = {}
        self._given_up: dict[int, _Request] = {}
        self._answered = bytearray(count)
        self._numbers: deque[int] = deque()
        self._stamp_index = 0
        self._furthest = 0
        self._next = 0
        self._start = 0.0
        self._events: deque[Event] = deque()
        self._worker = Worker("ots-udp-echo")
        self._seen_at_responder = bytearray(count)
        self.kernel_stamps = {"send": 0, "receive": 0}
        self.replies = 0
        self.strange = 0
        """Packets that were no replies of this session."""

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock jumped meanwhile (the stamps it spoilt were not used)."""
        return self._placement.stepped

    @property
    def timestamp_source(self) -> str:
        """`kernel`, `kernel_rx` (replies only) or `user`: the least of what the answered requests had."""
        if not self.replies or self.kernel_stamps["receive"] < self.replies:
            return "user"
        return "kernel" if self.kernel_stamps["send"] >= self.replies else "kernel_rx"

    def seen_at_responder(self, sequence: int) -> bool:
        """Whether a later reply's window said that a request had arrived."""
        return bool(self._seen_at_responder[sequence])

    async def run(self, deliver: Deliver) -> None:
        """Runs to the last timeout; cancelled, it settles what is on its way."""
        await self._worker.run(self._work, lambda: self._deliver(deliver))

    def _deliver(self, deliver: Deliver) -> None:
        batch = []
        while self._events:
            batch.append(self._events.popleft())
        if batch:
            deliver(batch)

    def _work(self) -> None:
        self._socket.ask_for_sending()
        poll = select.poll()
        poll.register(self._worker, select.POLLIN)
        poll.register(self._socket, select.POLLIN)
        self._start = self._clock.monotonic()
        while (self._next < self._count or self._pending) and not self._worker.stopping:
            self._send_due()
            self._wait(poll)
            looked = self._clock.monotonic()
            if self._read():
                self._expire(looked)
        for sequence in list(self._pending):
            self._settle(sequence, reason="cancelled")
        self._socket.stop_stamps()

    def _send_due(self) -> None:
        for _ in range(_BATCH):
            if self._next >= self._count or self._worker.stopping:
                return
            due = self._start + self._next * self._interval
            behind = self._clock.monotonic() - due
            if behind < 0 or not self._send(due, behind):
                return
            if behind > _OVERSLEPT:
                self._start += behind
            self._next += 1

    def _send(self, due: float, behind: float) -> bool:
        """Sends the next request; False if the kernel has no room for it just now."""
        if self._room is not None and not self._room():
            time.sleep(_SEND_RETRY)
            return False
        sequence, channel = self._next, self._channel
        slipped = behind > self._interval / 10
        packet = wire.Echo(sequence).write(wire.Type.ECHO, channel.token, self._filling, channel.key)
        before = self._clock.monotonic()
        for last in (False, True):
            try:
                self._socket.socket.send(packet)
                break
            except OSError as error:
                self._socket.restart_stamps()
                self._numbers.clear()
                self._stamp_index = 0
                if error.errno in (errno.ENOBUFS, errno.EAGAIN) and behind < self._timeout:
                    time.sleep(_SEND_RETRY)
                    return False
                # The kernel reports an ICMP error about an earlier packet on the next call, whichever it is.
                if not last and error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
                    continue
                failure = classify(error, "request")
                self._events.append(
                    Settled(
                        sequence,
                        before,
                        slipped,
                        reason=failure.error.class_,
                        failure=failure,
                        sent=False,
                    )
                )
                return True
        self._pending[sequence] = _Request(due, before, self._clock.monotonic(), before, slipped)
        if self._socket.kernel_send_stamps:
            self._numbers.append(sequence)
        return True

    def _wait(self, poll: select.poll) -> None:
        """Sleeps until something arrives or is due; the rest of a millisecond without listening, which costs
        nothing because the kernel stamps what arrives."""
        ends = []
        if self._next < self._count:
            ends.append(self._start + self._next * self._interval)
        if self._pending:
            ends.append(next(iter(self._pending.values())).before + self._timeout)
        left = min(ends, default=0.0) - self._clock.monotonic()
        if left >= 1e-3:
            poll.poll(int(left * 1e3))
        else:
            if left > 0:
                time.sleep(left)
            poll.poll(0)

    def _read(self) -> bool:
        """Reads what waits: stamps of sending first, since replies need them. False if more may wait."""
        reports = list(self._socket.errors())
        arrived = [
            (datagram, self._clock.monotonic()) for datagram in islice(self._socket.receive(), _READ_AT_ONCE)
        ]
        if not reports and not arrived:
            return True
        self._placement.renew()
        for report in reports:
            if isinstance(report, Sent):
                self._stamp_sending(report)
            else:
                self._refused(report)
        for datagram, seen in arrived:
            self._received(datagram, seen)
        return len(arrived) < _READ_AT_ONCE

    def _stamp_sending(self, sent: Sent) -> None:
        while self._numbers and self._stamp_index <= sent.index:
            sequence = self._numbers.popleft()
            self._stamp_index += 1
            if self._stamp_index - 1 == sent.index and sequence in self._pending:
                request = self._pending[sequence]
                placed = self._placement.place(sent.stamp, request.before, request.after)
                if placed is not None:
                    request.left = max(placed, request.before)

    def _refused(self, quoted: Quoted) -> None:
        """An ICMP error ends the request that it quotes."""
        with suppress(wire.Malformed):
            packet = wire.read(quoted.packet, None)
            sequence = wire.Echo.of(packet.body).sequence
            if packet.token == self._channel.token and sequence in self._pending:
                port = (quoted.type, quoted.code) in ((3, 3), (1, 4))
                by = f"{quoted.offender} says: " if quoted.offender else ""
                failure = Failed(
                    "refused" if port else "unreachable",
                    "request",
                    f"ICMP {quoted.type}/{quoted.code}",
                    f"{by}{'nobody listens there' if port else 'it can not be reached'}",
                )
                self._settle(sequence, reason=failure.error.class_, failure=failure)

    def _received(self, datagram: Datagram, seen: float) -> None:
        try:
            packet = wire.read(datagram.data, self._channel.key)
            echo = wire.Echo.of(packet.body) if packet.type is wire.Type.REPLY else None
        except wire.Malformed:
            echo = None
        if echo is None or packet.token != self._channel.token or not packet.authentic:
            self.strange += 1
            return
        request = self._pending.get(echo.sequence) or self._given_up.get(echo.sequence)
        if request is None or packet.size != self._size:
            known = echo.sequence < self._count and self._answered[echo.sequence]
            if known and packet.size == self._size:
                self._events.append(Extra(echo.sequence))
            else:
                self.strange += 1
            return
        placed = self._placement.place(datagram.stamp, request.left, seen)
        came = seen if placed is None else placed
        held = echo.held / 1e9
        rtt = came - request.left - held
        if rtt < -_IMPLAUSIBLE:
            self.strange += 1
            return
        self._note_window(echo)
        rtt = max(0.0, rtt)
        if echo.sequence not in self._pending:
            del self._given_up[echo.sequence]
            self._answered[echo.sequence] = 1
            self._events.append(Extra(echo.sequence, late=rtt))
            return
        self._answered[echo.sequence] = 1
        if came - request.left > self._timeout:
            self._settle(echo.sequence, reason="loss", late=rtt)
            return
        overtook = echo.received < self._furthest
        self._furthest = max(self._furthest, echo.received)
        self.replies += 1
        self.kernel_stamps["receive"] += placed is not None
        self.kernel_stamps["send"] += request.left != request.before
        there = echo.arrived / 1e9 + self._channel.clocks.offset
        answer = Answer(rtt, held, there - request.left, came - (there + held), overtook)
        self._settle(echo.sequence, answer=answer)

    def _note_window(self, echo: wire.Echo) -> None:
        for back in range(min(wire.WINDOW, echo.sequence + 1)):
            if echo.window >> back & 1:
                self._seen_at_responder[echo.sequence - back] = 1

    def _expire(self, now: float) -> None:
        """Gives up what had not come when the socket was last read empty."""
        while self._pending:
            sequence, request = next(iter(self._pending.items()))
            if request.before + self._timeout >= now:
                return
            self._given_up[sequence] = request
            self._settle(sequence, reason="loss")

    def _settle(
        self,
        sequence: int,
        *,
        answer: Answer | None = None,
        reason: str | None = None,
        late: float | None = None,
        failure: Failed | None = None,
    ) -> None:
        request = self._pending.pop(sequence)
        self._events.append(Settled(sequence, request.left, request.slipped, answer, reason, late, failure))


def lost_at(sequence: int, run: EchoRun, reports: Sequence[wire.Report]) -> str:
    """Where an unanswered request was lost: `up`, `down`, or `unknown`."""
    for report in reports:
        arrived = report.has(sequence)
        if arrived is not None:
            return "down" if arrived else "up"
    return "down" if run.seen_at_responder(sequence) else "unknown"
