"""One thread of a sweep: sends its share of the requests when they are due, and reads what comes back.

What holds:
- Requests leave in batches and replies are read in batches (`mmsg`). A batch is what is due: at a thousand
  packets a second that is one.
- The rate is a bound. After a delay no more than `_CATCH_UP` seconds' worth is sent in one burst.
- A reply counts if token, sequence number, source and (raw socket) identifier are those of the request, and
  it came within the timeout by the kernel's receive stamp. An address has the smallest of its round trips.
- Within a batch the time of sending is interpolated between the beginning and the end of the call; `spread`
  is the longest call, which bounds the error that this can make. Who wants a round trip to the microsecond
  pings a host.
"""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from ots.clock import Clock
from ots.netio.icmp.errqueue import Quoted
from ots.netio.icmp.ledger import Ledger, Place
from ots.netio.icmp.mmsg import BATCH, Inbox, Outbox, Parsed, Stamp
from ots.netio.icmp.packet import ECHO_REPLY, HEADER_BYTES, TOKEN_BYTES, Echo, EchoCodec
from ots.netio.icmp.session import send_failure
from ots.netio.icmp.sockets import ICMPSocket
from ots.netio.icmp.stream import Refusal
from ots.netio.icmp.swept import Swept
from ots.netio.stamps import Placement
from ots.netio.worker import Worker

Sockets = Mapping[Literal["4", "6"], ICMPSocket]

_CATCH_UP = 0.02
_SEND_RETRY = 1e-3
_LOCAL_SHORTAGE = (errno.ENOBUFS, errno.EAGAIN)
_BARE_IPV4 = 0x45
"""The first byte of an IPv4 header without options."""
_STAMPED = (1, 35)
"""Level and type of a kernel's receive stamp: SOL_SOCKET, SO_TIMESTAMPNS."""

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
        self.reply = ECHO_REPLY[sock.family]
        self.head: int | bytes = _BARE_IPV4 if sock.ip_header else b""
        self.shortest = (20 if sock.ip_header else 0) + HEADER_BYTES + TOKEN_BYTES
        self.identifier = self.codec.identifier if sock.kind == "raw" else None
        sock.hear_only(self.codec.identifier)

    def is_plain(self, fields: Parsed) -> bool:
        """Whether a packet is an echo reply without IP options, whosoever."""
        return fields[3] == self.reply and fields[2] == self.head


class Shard:
    """`run` fills the `Swept` of its networks; the sockets stay the caller's."""

    def __init__(
        self, networks: Sequence[Swept], sockets: Sockets, *, size: int, timeout: float, clock: Clock
    ) -> None:
        self.ledger = Ledger(networks, timeout)
        self._wires = {family: _Wire(sock, size) for family, sock in sockets.items()}
        self._timeout = timeout
        self._clock = clock
        self._placement = Placement(clock)
        self._start = self._retry_at = 0.0
        self._worker = Worker("ots-icmp-sweep")
        self._told = [0, 0]

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock jumped meanwhile (the stamps it spoilt were not used)."""
        return self._placement.stepped

    async def run(self, tick: Tick) -> None:
        """Runs to the last reply or timeout; cancelled, what is on its way stays undecided."""
        await self._worker.run(self._work, lambda: self._tell(tick))

    def _tell(self, tick: Tick) -> None:
        now = [self.ledger.sent, self.ledger.received]
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
            self.ledger.forget(looked)
            if self.ledger.finished:
                return
        self.ledger.cut(self._clock.monotonic())

    def _send_due(self) -> None:
        """Sends what is due: a batch at most, of one network and one round, numbered without a carry."""
        now, number = self._clock.monotonic(), self.ledger.number
        if self.ledger.all_sent or now < self._retry_at:
            return
        behind = now - self._start - self.ledger.due(number)
        if behind < 0:
            return
        if behind > _CATCH_UP:
            self._start += behind - _CATCH_UP
            behind = _CATCH_UP
        place = self.ledger.place(number)
        network = self.ledger.networks[place.at]
        count = min(
            BATCH,
            int(behind / network.stream.spacing) + 1,
            self.ledger.room(place),
            0x10000 - (number & 0xFFFF),
        )
        wire = self._wires[network.members.family]
        if wire.aimed is not network:
            wire.outbox.aim(network.members.prefix, network.members.scope)
            wire.aimed = network
        wire.outbox.write(number, network.members.low + place.member, count)
        self._send(wire, place, count)

    def _send(self, wire: _Wire, place: Place, count: int) -> None:
        """Sends a written batch; of a packet that can't be sent the rest waits for the next turn."""
        before = self._clock.monotonic()
        try:
            sent = wire.outbox.send(wire.socket.socket, 0, count)
        except OSError as error:
            self._unsent(wire, place, error, before)
            return
        self.ledger.book(sent, before, self._clock.monotonic())

    def _unsent(self, wire: _Wire, place: Place, error: OSError, now: float) -> None:
        """Passes over a request that the kernel refuses, unless that may be about another one, or is a
        shortage that passes.

        The next call on an unprivileged socket also returns the ICMP error that an earlier packet met.
        """
        if any([self._quoted(wire, report) for report in wire.socket.errors() if isinstance(report, Quoted)]):
            return
        waited = now - self._start - self.ledger.due(self.ledger.number)
        if error.errno in _LOCAL_SHORTAGE and waited < self._timeout:
            self._retry_at = now + _SEND_RETRY
            return
        failure = send_failure(error)
        network = self.ledger.networks[place.at]
        network.blame(failure)
        network.reasons.setdefault(place.member, failure.error.class_)
        self.ledger.pass_over(now)

    def _wait(self, poll: select.poll) -> None:
        """Sleeps until something arrives or is due. poll counts whole milliseconds; the rest is slept off
        without listening, which costs nothing because the kernel stamps what arrives."""
        now = self._clock.monotonic()
        if not self.ledger.all_sent:
            until = max(self._start + self.ledger.due(self.ledger.number), self._retry_at)
        else:
            given_up = self.ledger.gives_up_at
            until = now if given_up is None else given_up
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
            if not count:
                return
            self._placement.renew()
            offset = self._placement.offset if self._placement.trusted else None
            seen = self._clock.monotonic()
            if offset is None or not self._in_a_row(wire, count, offset, seen):
                self._one_by_one(wire, count, offset, seen)

    def _in_a_row(self, wire: _Wire, count: int, offset: float, seen: float) -> bool:
        """Books a batch at once if it is the replies to requests that followed one another."""
        length, stamp, fields = next(wire.inbox.read(1))
        if stamp[:2] != _STAMPED or not wire.is_plain(fields):
            return False
        place = self._matched(wire, length, fields)
        if place is None or count > self.ledger.room(place):
            return False
        if not wire.inbox.rises(count, fields[8], fields[1]):
            return False
        return self.ledger.answer_run(place, wire.inbox.arrivals(count, offset), seen)

    def _one_by_one(self, wire: _Wire, count: int, offset: float | None, seen: float) -> None:
        for number, (length, stamp, fields) in enumerate(wire.inbox.read(count)):
            if wire.is_plain(fields):
                place = self._matched(wire, length, fields)
                if place is not None:
                    self.ledger.answer(place, _arrival(stamp, offset), seen)
            else:
                self._unusual(wire, number, _arrival(stamp, offset), seen)

    def _matched(self, wire: _Wire, length: int, fields: Parsed) -> Place | None:
        """Whom a reply is from; None if it answers no request of this run or comes from elsewhere."""
        prefix, low, _, _, code, own, sequence, told, number = fields
        if (
            told != wire.codec.cookie
            or length < wire.shortest
            or code
            or number & 0xFFFF != sequence
            or (wire.identifier is not None and own != wire.identifier)
        ):
            return None
        place = self.ledger.place(number)
        members = self.ledger.members(place)
        return place if low - members.low == place.member and prefix == members.prefix else None

    def _unusual(self, wire: _Wire, number: int, arrived: float | None, seen: float) -> None:
        """Reads what is no plain reply: an error, or a reply whose IP header has options."""
        sender = wire.inbox.sender(number)
        message = wire.codec.read(wire.inbox.packet(number), ip_header=wire.socket.ip_header)
        if message is None or message.echo is None:
            return
        if message.type != wire.reply:
            self._refused(wire, message.echo, message.type, message.code, sender)
            return
        place = self._asked(wire, message.echo)
        if place is not None and sender == self.ledger.members(place)[place.member].ip:
            self.ledger.answer(place, arrived, seen)

    def _quoted(self, wire: _Wire, report: Quoted) -> bool:
        echo = wire.codec.read_quote(report.packet)
        return echo is not None and self._refused(wire, echo, report.type, report.code, report.offender)

    def _refused(self, wire: _Wire, echo: Echo, kind: int, code: int, offender: str) -> bool:
        """Books an ICMP error; False if it quotes no request of this run."""
        place = self._asked(wire, echo)
        if place is None:
            return False
        refusal = Refusal(0, wire.codec.family, kind, code, offender)
        self.ledger.refuse(place, refusal, self._clock.monotonic())
        return True

    def _asked(self, wire: _Wire, echo: Echo) -> Place | None:
        if wire.identifier is not None and echo.identifier != wire.identifier:
            return None
        return self.ledger.asked(echo, wire.codec.family)


def _arrival(stamp: Stamp, offset: float | None) -> float | None:
    """When a packet came, by its stamp; None without a usable one."""
    level, kind, whole, nanoseconds = stamp
    return whole + nanoseconds * 1e-9 - offset if offset is not None and (level, kind) == _STAMPED else None
