"""A sweep: every address of some networks is asked so many times, at no more than a given rate.

What holds:
- Requests leave in batches and replies are read in batches (`mmsg`), in a thread of its own. A batch is what
  is due: at a thousand packets a second that is one.
- The rate is a bound. After a delay no more than `_CATCH_UP` seconds' worth is sent in one burst.
- A reply counts if token, sequence number, source and (raw socket) identifier are those of the request, and
  it came within the timeout by the kernel's receive stamp. An address has the smallest of its round trips.
- Within a batch the time of sending is interpolated between the beginning and the end of the call; `spread`
  is the longest call, which bounds the error that this can make. Who wants a round trip to the microsecond
  pings a host.
- Memory: some forty bytes for each address, and nine for each request that can still be answered.
"""

from __future__ import annotations

import errno
import math
import select
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from ots.clock import Clock
from ots.netio.icmp.errqueue import Quoted
from ots.netio.icmp.mmsg import BATCH, Inbox, Outbox
from ots.netio.icmp.packet import ECHO_REPLY, HEADER_BYTES, TOKEN_BYTES, Echo, EchoCodec
from ots.netio.icmp.session import send_failure
from ots.netio.icmp.sockets import ICMPSocket
from ots.netio.icmp.stream import Refusal
from ots.netio.icmp.swept import Swept
from ots.netio.stamps import TOLERANCE, Placement
from ots.netio.worker import Worker

_CATCH_UP = 0.02
_SEND_RETRY = 1e-3
_LOCAL_SHORTAGE = (errno.ENOBUFS, errno.EAGAIN)
_BARE_IPV4 = 0x45
"""The first byte of an IPv4 header without options."""

Tick = Callable[[int, int], None]
"""Hears how many packets were sent and received since the last time."""


class _Wire:
    """One family's socket and blocks."""

    def __init__(self, sock: ICMPSocket, size: int) -> None:
        self.socket = sock
        self.codec = EchoCodec(sock.family, size)
        self.outbox = Outbox(self.codec, checksum=sock.ip_header)
        self.inbox = Inbox(sock.family, ip_header=sock.ip_header)
        self.aimed: Swept | None = None
        self.head: int | bytes = _BARE_IPV4 if sock.ip_header else b""
        self.shortest = (20 if sock.ip_header else 0) + HEADER_BYTES + TOKEN_BYTES
        self.identifier = self.codec.identifier if sock.kind == "raw" else None


@dataclass(slots=True)
class _Round:
    """One request to every address: when each left, and whether it has been settled."""

    sent: array[float]
    settled: bytearray
    last: float = 0.0
    calls: list[tuple[int, float]] = field(default_factory=list)
    """The first number and the beginning of each call of several packets."""

    def before(self, number: int) -> float:
        """When the call that sent a request began."""
        return self.calls[bisect_right(self.calls, (number, math.inf)) - 1][1]


class Sweep:
    """One run over networks. `run` fills their `Swept`; the sockets stay the caller's."""

    def __init__(
        self,
        networks: Sequence[Swept],
        sockets: Mapping[Literal["4", "6"], ICMPSocket],
        *,
        size: int,
        timeout: float,
        clock: Clock,
    ) -> None:
        self._networks = networks
        self._wires = {family: _Wire(sock, size) for family, sock in sockets.items()}
        self._timeout = timeout
        self._clock = clock
        self._placement = Placement(clock)
        self._starts = [0, *accumulate(len(each.members) for each in networks)]
        self._total = self._starts[-1]
        self._count = self._total * max((each.stream.rounds for each in networks), default=0)
        self._rounds: dict[int, _Round] = {}
        self._number = 0
        self._open = 0
        self._start = self._retry_at = 0.0
        self._worker = Worker("ots-icmp-sweep")
        self._told = [0, 0]
        self._packets = [0, 0]
        self.largest_batch = 0
        self.spread = 0.0
        self.unstamped = 0

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock jumped meanwhile (the stamps it spoilt were not used)."""
        return self._placement.stepped

    @property
    def timestamp_source(self) -> str:
        """`kernel_rx`, or `user` if some reply had no usable stamp."""
        return "user" if self.unstamped or not self._packets[1] else "kernel_rx"

    async def run(self, tick: Tick) -> None:
        """Runs to the last reply or timeout; cancelled, what is on its way stays undecided."""
        await self._worker.run(self._work, lambda: self._tell(tick))

    def _tell(self, tick: Tick) -> None:
        now = list(self._packets)
        sent, received = (new - old for new, old in zip(now, self._told, strict=True))
        self._told = now
        tick(sent, received)

    def _work(self) -> None:
        poll = select.poll()
        poll.register(self._worker, select.POLLIN)
        for wire in self._wires.values():
            poll.register(wire.socket, select.POLLIN)
        self._start = self._clock.monotonic()
        while not self._worker.stopping:
            self._send_due()
            self._wait(poll)
            looked = self._clock.monotonic()
            for wire in self._wires.values():
                self._read(wire)
            self._forget(looked)
            if self._number == self._count and (not self._open or not self._rounds):
                return
        self._cut(self._clock.monotonic())

    def _cut(self, now: float) -> None:
        for network in self._networks:
            network.cut = now - self._timeout
        network_of = self._network_of
        for each in self._rounds.values():
            for index, (at, settled) in enumerate(zip(each.sent, each.settled, strict=True)):
                if not settled and at >= now - self._timeout:
                    network_of(index).in_flight += 1

    def _network_of(self, index: int) -> Swept:
        return self._networks[bisect_right(self._starts, index) - 1]

    def _due(self, number: int) -> float:
        """When a request is due, in seconds after the start."""
        place, index = divmod(number, self._total)
        at = bisect_right(self._starts, index) - 1
        stream = self._networks[at].stream
        return stream.start + place * stream.period + (index - self._starts[at]) * stream.spacing

    def _send_due(self) -> None:
        """Sends what is due: a batch at most, of one network and one round, numbered without a carry."""
        now = self._clock.monotonic()
        if self._number == self._count or now < self._retry_at:
            return
        behind = now - self._start - self._due(self._number)
        if behind < 0:
            return
        if behind > _CATCH_UP:
            self._start += behind - _CATCH_UP
            behind = _CATCH_UP
        place, index = divmod(self._number, self._total)
        at = bisect_right(self._starts, index) - 1
        network = self._networks[at]
        count = min(
            BATCH,
            int(behind / network.stream.spacing) + 1,
            self._starts[at + 1] - index,
            0x10000 - (self._number & 0xFFFF),
        )
        wire = self._wires[network.members.family]
        if wire.aimed is not network:
            wire.outbox.aim(network.members.prefix, network.members.scope)
            wire.aimed = network
        member = index - self._starts[at]
        wire.outbox.write(self._number, network.members.low + member, count)
        self._send(wire, network, place, member, count)

    def _send(self, wire: _Wire, network: Swept, place: int, member: int, count: int) -> None:
        """Sends a written batch; of a packet that can't be sent the rest waits for the next turn."""
        current = self._round()
        before = self._clock.monotonic()
        try:
            sent = wire.outbox.send(wire.socket.socket, 0, count)
        except OSError as error:
            self._unsent(wire, network, member, error, before)
            return
        after = self._clock.monotonic()
        step = (after - before) / sent
        first = self._number - place * self._total
        current.sent[first : first + sent] = array("d", [before + step * turn for turn in range(sent)])
        current.last = before
        if sent > 1:
            current.calls.append((first, before))
            self.spread = max(self.spread, after - before)
        if place == 0:
            network.times[member : member + sent] = current.sent[first : first + sent]
        network.first_sent = min(network.first_sent, before)
        network.last_sent = before
        network.sent += sent
        self._open += sent
        self._packets[0] += sent
        self._number += sent
        self.largest_batch = max(self.largest_batch, sent)

    def _round(self) -> _Round:
        """The round that the next request belongs to."""
        place = self._number // self._total
        if place not in self._rounds:
            self._rounds[place] = _Round(array("d", [math.nan]) * self._total, bytearray(self._total))
        return self._rounds[place]

    def _unsent(self, wire: _Wire, network: Swept, member: int, error: OSError, now: float) -> None:
        """Passes over a request that the kernel refuses, unless that may be about another one, or is a
        shortage that passes.

        The next call on an unprivileged socket also returns the ICMP error that an earlier packet met.
        """
        if any([self._quoted(wire, report) for report in wire.socket.errors() if isinstance(report, Quoted)]):
            return
        if error.errno in _LOCAL_SHORTAGE and now - self._start - self._due(self._number) < self._timeout:
            self._retry_at = now + _SEND_RETRY
            return
        failure = send_failure(error)
        network.blame(failure)
        network.reasons.setdefault(member, failure.error.class_)
        if math.isnan(network.times[member]):
            network.times[member] = now
        network.first_sent = min(network.first_sent, now)
        network.last_sent = now
        self._round().settled[self._number % self._total] = 1
        self._number += 1

    def _wait(self, poll: select.poll) -> None:
        """Sleeps until something arrives or is due. poll counts whole milliseconds; the rest is slept off
        without listening, which costs nothing because the kernel stamps what arrives."""
        now = self._clock.monotonic()
        if self._number < self._count:
            until = max(self._start + self._due(self._number), self._retry_at)
        else:
            until = min((each.last + self._timeout for each in self._rounds.values()), default=now)
        left = until - now
        if left >= 1e-3:
            poll.poll(int(left * 1e3))
        elif left > 0:
            time.sleep(left)

    def _read(self, wire: _Wire) -> None:
        for report in wire.socket.errors() if wire.socket.kind == "datagram" else ():
            if isinstance(report, Quoted):
                self._quoted(wire, report)
        count = BATCH
        while count == BATCH:
            count = wire.inbox.receive(wire.socket.socket)
            if count:
                self._placement.renew()
                self._replies(wire, count, self._clock.monotonic())

    def _replies(self, wire: _Wire, count: int, seen: float) -> None:
        """Matches a batch. This loop is what a fast sweep spends its time in."""
        offset = self._placement.offset if self._placement.trusted else None
        reply, cookie, identifier = ECHO_REPLY[wire.codec.family], wire.codec.cookie, wire.identifier
        total, starts, networks = self._total, self._starts, self._networks
        for place, (length, stamp, fields) in enumerate(wire.inbox.read(count)):
            prefix, low, head, kind, code, own, sequence, told, number = fields
            if kind != reply or head != wire.head:
                self._unusual(wire, wire.inbox.packet(place), wire.inbox.sender(place), stamp, offset, seen)
                continue
            if (
                told != cookie
                or length < wire.shortest
                or code
                or number & 0xFFFF != sequence
                or (identifier is not None and own != identifier)
            ):
                continue
            turn, index = divmod(number, total)
            at = bisect_right(starts, index) - 1
            members = networks[at].members
            if low - members.low != index - starts[at] or prefix != members.prefix:
                continue
            self._answered(turn, index, at, stamp, offset, seen)

    def _answered(
        self, turn: int, index: int, at: int, stamp: tuple[int, ...], offset: float | None, seen: float
    ) -> None:
        """Books a reply to a request of ours, which may be one more of those, or late."""
        current = self._rounds.get(turn)
        if current is None:
            return
        sent = current.sent[index]
        network = self._networks[at]
        level, kind, whole, nanoseconds = stamp
        arrived = seen
        if offset is not None and level == 1 and kind == 35:
            arrived = whole + nanoseconds * 1e-9 - offset
        if not sent - self.spread - TOLERANCE <= arrived <= seen + TOLERANCE:
            arrived = seen
        if arrived is seen:
            self.unstamped += 1
        rtt = arrived - sent
        if rtt <= 0.0:
            rtt = max(0.0, arrived - current.before(index))
        self._packets[1] += 1
        if current.settled[index]:
            network.duplicates += 1
            return
        current.settled[index] = 1
        self._open -= 1
        if rtt > self._timeout:
            network.late += 1
            network.late_longest = max(rtt, network.late_longest or 0.0)
            return
        network.replies += 1
        if arrived > network.last_reply:
            network.last_reply = arrived
        member = index - self._starts[at]
        if rtt < network.rtts[member]:
            network.rtts[member] = rtt
            network.times[member] = sent

    def _unusual(
        self,
        wire: _Wire,
        packet: bytes,
        sender: str,
        stamp: tuple[int, ...],
        offset: float | None,
        seen: float,
    ) -> None:
        """Reads what is no plain reply: an error, or a reply whose IP header has options."""
        message = wire.codec.read(packet, ip_header=wire.socket.ip_header)
        if message is None or message.echo is None:
            return
        if message.type != ECHO_REPLY[wire.codec.family]:
            self._refused(wire, message.echo, message.type, message.code, sender)
            return
        found = self._found(wire, message.echo)
        if found is not None and sender == found[2].members[found[3]].ip:
            turn, index, network, _ = found
            self._answered(turn, index, self._networks.index(network), stamp, offset, seen)

    def _quoted(self, wire: _Wire, report: Quoted) -> bool:
        echo = wire.codec.read_quote(report.packet)
        return echo is not None and self._refused(wire, echo, report.type, report.code, report.offender)

    def _refused(self, wire: _Wire, echo: Echo, kind: int, code: int, offender: str) -> bool:
        """Books an ICMP error; False if it quotes no request of this run."""
        found = self._found(wire, echo)
        if found is None:
            return False
        turn, index, network, member = found
        refusal = Refusal(0, wire.codec.family, kind, code, offender)
        network.refuse(member, refusal)
        current = self._rounds[turn]
        if not current.settled[index]:
            current.settled[index] = 1
            self._open -= 1
            network.last_reply = max(network.last_reply, self._clock.monotonic())
        return True

    def _found(self, wire: _Wire, echo: Echo) -> tuple[int, int, Swept, int] | None:
        """Round, index, network and member of the request that an echo belongs to; None if it isn't ours.

        A router that quotes eight bytes leaves the sequence number alone to know it by, which may stand for
        several: then nobody can say.
        """
        if wire.identifier is not None and echo.identifier != wire.identifier:
            return None
        number = echo.number
        if number is None:
            high = (self._number - 1 - echo.sequence) >> 16
            number = (high << 16) + echo.sequence
            if high < 0 or number - 0x10000 >= 0 and (number - 0x10000) // self._total in self._rounds:
                return None
        turn, index = divmod(number, self._total)
        current = self._rounds.get(turn)
        if current is None or math.isnan(current.sent[index]):
            return None
        at = bisect_right(self._starts, index) - 1
        network = self._networks[at]
        if network.members.family != wire.codec.family:
            return None
        return turn, index, network, index - self._starts[at]

    def _forget(self, now: float) -> None:
        """Lets go of the rounds that can have no answer any more, counted from their last request."""
        for turn in list(self._rounds):
            current = self._rounds[turn]
            if (turn + 1) * self._total <= self._number and current.last + self._timeout < now:
                self._open -= len(current.settled) - sum(current.settled)
                del self._rounds[turn]
