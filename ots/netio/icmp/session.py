"""An echo run over ICMP sockets: sends on an absolute schedule, matches what comes back, in its own thread.

What holds:
- One socket for each address family carries all destinations; identifier and cookie are new in every run.
- A request leaves when it is due, never "after the reply" (RFC 3432 periodic stream); one that leaves late
  is marked, not hidden.
- Every request that was sent is settled exactly once: answered, lost, refused or cancelled.
- A reply counts if token, sequence number, source and (raw socket) identifier are those of the request, and
  it came within the timeout by the kernel's stamps, however late this thread got to read it.
- Stamps are placed on the monotonic clock. When the wall clock was stepped between two readings, or a stamp
  contradicts the order of events, the time at which this thread saw the packet takes its place.
"""

from __future__ import annotations

import errno
import select
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from ots.clock import Clock
from ots.i18n import N_
from ots.netio.errors import classify
from ots.netio.icmp.answered import REMEMBERED, Answered, Past
from ots.netio.icmp.errqueue import Quoted, Sent
from ots.netio.icmp.packet import Echo, EchoCodec
from ots.netio.icmp.sockets import ICMPSocket, Received
from ots.netio.icmp.stream import Deliver, Due, Event, Extra, Refusal, Settled
from ots.netio.stamps import Placement
from ots.netio.worker import Worker
from ots.probe import Address, Failed, Guard

_BATCH = 16
"""Requests sent in a row before the sockets are read again."""

_READ_AT_ONCE = 4096

_OVERSLEPT = 1.0
"""Seconds behind after which the rest of the schedule moves instead of being sent in one burst."""

_SEND_RETRY = 1e-3


@dataclass(slots=True)
class _Request:
    due: Due
    before: float
    after: float
    left: float
    slipped: bool

    @property
    def destination(self) -> int:
        return self.due.destination


class _Wire:
    """One family's socket with its packets, and which request was the n-th on it."""

    def __init__(self, sock: ICMPSocket, codec: EchoCodec) -> None:
        self.socket = sock
        self.codec = codec
        self.numbers: dict[int, int] = {}
        self._sent = 0

    def send(self, number: int, address: Address) -> None:
        try:
            self.socket.socket.sendto(self.codec.request(number), address.sockaddr(0))
        except OSError:
            self.socket.restart_stamps()
            self.numbers.clear()
            self._sent = 0
            raise
        if self.socket.kernel_send_stamps:
            if len(self.numbers) > REMEMBERED:
                self.numbers.clear()
            self.numbers[self._sent] = number
            self._sent += 1


class EchoSession:
    """One run. `run` delivers its events in the caller's event loop; the sockets stay the caller's."""

    def __init__(
        self,
        destinations: Sequence[Address],
        schedule: Iterable[Due],
        sockets: Mapping[Literal["4", "6"], ICMPSocket],
        *,
        size: int,
        timeout: float,
        clock: Clock,
        guard: Guard | None = None,
    ) -> None:
        self._destinations = destinations
        self._guard = guard
        self._schedule = iter(schedule)
        self._wires = {family: _Wire(sock, EchoCodec(family, size)) for family, sock in sockets.items()}
        self._timeout = timeout
        self._clock = clock
        self._placement = Placement(clock)
        self._pending: dict[int, _Request] = {}
        self._past = Answered()
        self._events: deque[Event] = deque()
        self._number = 0
        self._start = 0.0
        self._worker = Worker("ots-icmp")
        self.kernel_stamps = {"send": 0, "receive": 0}
        self.replies = 0

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

    async def run(self, deliver: Deliver) -> None:
        """Runs to the end of the schedule and the last timeout; cancelled, it settles what is on its way."""
        await self._worker.run(self._work, lambda: self._deliver(deliver))

    def _deliver(self, deliver: Deliver) -> None:
        batch = []
        while self._events:
            batch.append(self._events.popleft())
        if batch:
            deliver(batch)

    def _work(self) -> None:
        poll = select.poll()
        poll.register(self._worker, select.POLLIN)
        for wire in self._wires.values():
            poll.register(wire.socket, select.POLLIN)
        self._start = self._clock.monotonic()
        upcoming = next(self._schedule, None)
        while (upcoming is not None or self._pending) and not self._worker.stopping:
            upcoming = self._send_due(upcoming)
            self._wait(poll, upcoming)
            looked = self._clock.monotonic()
            if self._read():
                self._expire(looked)
        for number in list(self._pending):
            self._settle(number, None, "cancelled")

    def _send_due(self, upcoming: Due | None) -> Due | None:
        """Sends what is due, a batch at most; returns the next request."""
        for _ in range(_BATCH):
            if upcoming is None:
                return None
            now = self._clock.monotonic()
            behind = now - (self._start + upcoming.offset)
            if behind < 0 or self._worker.stopping:
                return upcoming
            slipped = behind > upcoming.tolerance
            if not self._send(upcoming, slipped):
                return upcoming
            if behind > _OVERSLEPT:
                self._start += behind
            upcoming = next(self._schedule, None)
        return upcoming

    def _send(self, due: Due, slipped: bool) -> bool:
        """Sends one request; False if the kernel has no room for it just now."""
        address = self._destinations[due.destination]
        if self._guard is not None and not self._guard.room(address):
            time.sleep(_SEND_RETRY)
            return False
        number = self._number
        before = self._clock.monotonic()
        try:
            self._wires[address.family].send(number, address)
        except OSError as error:
            waited = before - (self._start + due.offset)
            if error.errno in (errno.ENOBUFS, errno.EAGAIN) and waited < self._timeout:
                time.sleep(_SEND_RETRY)
                return False
            failure = send_failure(error)
            self._events.append(
                Settled(
                    due.destination,
                    due.place,
                    before,
                    None,
                    failure.error.class_,
                    slipped=slipped,
                    sent=False,
                    failure=failure,
                )
            )
            return True
        after = self._clock.monotonic()
        self._pending[number] = _Request(due, before, after, before, slipped)
        self._number = (number + 1) & 0xFFFFFFFF
        return True

    def _wait(self, poll: select.poll, upcoming: Due | None) -> None:
        """Sleeps until something arrives or is due.

        poll counts whole milliseconds and sleeps those; the rest is slept off without listening, which costs
        nothing because the kernel stamps what arrives.
        """
        ends = []
        if upcoming is not None:
            ends.append(self._start + upcoming.offset)
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
        """Reads the sockets: stamps of sending first, since replies need them. False if more may wait.

        A limit keeps a flood of foreign packets from holding up our own sending.
        """
        arrived: list[tuple[_Wire, Received | Quoted | Sent, float]] = []
        for wire in self._wires.values():
            arrived += [(wire, report, self._clock.monotonic()) for report in wire.socket.errors()]
            packets = islice(wire.socket.receive(), _READ_AT_ONCE)
            arrived += [(wire, packet, self._clock.monotonic()) for packet in packets]
        if not arrived:
            return True
        self._placement.renew()
        for wire, item, seen in arrived:
            match item:
                case Sent():
                    self._stamp_sending(wire, item)
                case Quoted():
                    self._refused(
                        wire, wire.codec.read_quote(item.packet), item.type, item.code, item.offender
                    )
                case Received():
                    self._received(wire, item, seen)
        return len(arrived) < _READ_AT_ONCE

    def _stamp_sending(self, wire: _Wire, sent: Sent) -> None:
        """Takes the kernel's stamp of sending, if it falls into the call.

        The first packet to a neighbour waits for address resolution and is stamped after it; that wait is
        part of its delay, so there the time of the call stands.
        """
        request = self._pending.get(wire.numbers.pop(sent.index, -1))
        if request is not None:
            placed = self._placement.place(sent.stamp, request.before, request.after)
            if placed is not None:
                request.left = max(placed, request.before)

    def _received(self, wire: _Wire, received: Received, seen: float) -> None:
        message = wire.codec.read(received.packet, ip_header=wire.socket.ip_header)
        if message is None or message.echo is None:
            return
        if message.type not in (0, 129):
            self._refused(wire, message.echo, message.type, message.code, received.source)
            return
        match = self._matched(wire, message.echo)
        if match is None:
            return
        number, asked = match
        if received.source != self._destinations[asked.destination].ip:
            return
        arrived = self._placement.place(received.stamp, asked.left, seen)
        rtt = max(0.0, (seen if arrived is None else arrived) - asked.left)
        if isinstance(asked, Past):
            self._events.append(Extra(asked.destination, "duplicate" if asked.answered else "late", rtt))
        elif rtt > self._timeout:
            self._events.append(Extra(asked.destination, "late", rtt))
            self._settle(number, None, "loss")
        else:
            self.replies += 1
            self.kernel_stamps["receive"] += arrived is not None
            self.kernel_stamps["send"] += asked.left != asked.before
            ttl = received.ttl if message.ttl is None else message.ttl
            self._settle(number, rtt, None, ttl=ttl)

    def _refused(self, wire: _Wire, echo: Echo | None, kind: int, code: int, offender: str) -> None:
        match = self._matched(wire, echo) if echo is not None else None
        if match is None:
            return
        number, asked = match
        refusal = Refusal(asked.destination, wire.codec.family, kind, code, offender)
        self._events.append(refusal)
        if isinstance(asked, _Request):
            self._settle(number, None, "unreachable", failure=refusal.failure())

    def _matched(self, wire: _Wire, echo: Echo) -> tuple[int, _Request | Past] | None:
        """The request that an echo belongs to and its number, None if it is none of this run."""
        if wire.socket.kind == "raw" and echo.identifier != wire.codec.identifier:
            return None
        number = echo.number
        if number is None:
            number = next((waits for waits in self._pending if waits & 0xFFFF == echo.sequence), None)
        if number is None:
            return None
        asked = self._pending.get(number) or self._past.find(number)
        return None if asked is None else (number, asked)

    def _expire(self, now: float) -> None:
        """Gives up what had not come when the sockets were last read empty."""
        while self._pending:
            number, request = next(iter(self._pending.items()))
            if request.before + self._timeout >= now:
                return
            self._settle(number, None, "loss")

    def _settle(
        self,
        number: int,
        rtt: float | None,
        reason: str | None,
        *,
        ttl: int | None = None,
        failure: Failed | None = None,
    ) -> None:
        request = self._pending.pop(number)
        due = request.due
        self._past.remember(number, Past(due.destination, request.left, rtt is not None))
        self._events.append(
            Settled(
                due.destination,
                due.place,
                request.left,
                rtt,
                reason,
                ttl,
                slipped=request.slipped,
                failure=failure,
            )
        )


def send_failure(error: OSError) -> Failed:
    """What it means that the kernel refused to send."""
    code = errno.errorcode.get(error.errno or 0, "OSError")
    if error.errno == errno.EMSGSIZE:
        return Failed(
            "unreachable",
            "request",
            code,
            "the packet is larger than the path allows and must not be cut up",
            remedy=N_("Ask for a smaller size, or allow fragmentation (df: false)."),
        )
    if error.errno in (errno.EACCES, errno.EINVAL):
        # EACCES is how the kernel reports a prohibiting route, EINVAL a black hole.
        return Failed("unreachable", "request", code, "a route of this machine refuses the address")
    return classify(error, "request")
