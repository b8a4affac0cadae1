"""UDP datagrams as probes, to one port from one port. Needs no right: errors come by the error queue."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterator, Sequence
from itertools import islice

from ots.netio.errors import classify
from ots.netio.icmp.errqueue import (
    ANCILLARY_BYTES,
    IP_RECVERR,
    IP_RECVERR_RFC4884,
    IPV6_RECVERR,
    IPV6_RECVERR_RFC4884,
    SO_TIMESTAMPNS,
    Quoted,
    error_queue,
    seconds,
)
from ots.netio.icmp.packet import IP_HEADER_BYTES
from ots.netio.trace.quote import mpls_labels
from ots.netio.trace.wire import (
    MOST_READ,
    Heard,
    forbid_fragments,
    meaning_of,
    send_despite_news,
    set_hop_limit,
)
from ots.probe import Address

_COOKIE_BYTES = 12
_TOKEN_BYTES = _COOKIE_BYTES + 2
_HEADER_BYTES = 8


class UDPWire:
    """The probes of one run on one connected UDP socket, which the wire closes."""

    protocol = "udp"
    socket_kind = "datagram"

    def __init__(self, destination: Address, sock: socket.socket, port: int, payload: int) -> None:
        """Takes a bound or unbound UDP socket. Raises `Failed` where no route leads to the destination."""
        self.destination = destination
        self._socket = sock
        self._payload = payload
        self._cookie = secrets.token_bytes(_COOKIE_BYTES)
        self._overhead = IP_HEADER_BYTES[destination.family] + _HEADER_BYTES
        level, options = (
            (socket.IPPROTO_IP, (IP_RECVERR, IP_RECVERR_RFC4884))
            if destination.family == "4"
            else (socket.IPPROTO_IPV6, (IPV6_RECVERR, IPV6_RECVERR_RFC4884))
        )
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.setsockopt(level, options[0], 1)
            sock.connect(destination.sockaddr(port))
        except OSError as error:
            raise classify(error, "request") from None
        try:
            sock.setsockopt(level, options[1], 1)
        except OSError:
            # Linux before 5.9 tells the whole message and not where its extension begins: no MPLS labels.
            return

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return [self._socket]

    def send(self, number: int, ttl: int, size: int | None = None) -> int:
        payload = self._payload if size is None else size - self._overhead
        token = self._cookie + struct.pack("!H", number)
        packet = token + bytes(max(0, payload - _TOKEN_BYTES))
        set_hop_limit(self._socket, ttl)
        send_despite_news(self._socket, lambda: self._socket.send(packet))
        return len(packet) + self._overhead

    def hear(self) -> Iterator[Heard]:
        for report in islice(error_queue(self._socket), MOST_READ):
            if isinstance(report, Quoted):
                heard = self._quoted(report)
                if heard is not None:
                    yield heard
        yield from self._answers()

    def forbid_fragments(self) -> None:
        forbid_fragments(self._socket)

    def close(self) -> None:
        self._socket.close()

    def _quoted(self, report: Quoted) -> Heard | None:
        """What an error says. One that quotes no more than the UDP header has no number; one that quotes
        another payload than ours is none of this run's."""
        token = report.packet[:_TOKEN_BYTES]
        number = None
        if len(token) == _TOKEN_BYTES:
            number = int.from_bytes(token[_COOKIE_BYTES:], "big")
        if token[:_COOKIE_BYTES] != self._cookie[: len(token)]:
            return None
        meant = meaning_of(
            report.type, report.code, report.offender, self.destination, port_means_arrival=True
        )
        if meant is None:
            return None
        meaning, sign, told = meant
        size = IP_HEADER_BYTES[self.destination.family] * 2 + 16 + len(report.packet) + len(report.extension)
        labels = mpls_labels(report.extension)
        return Heard(number, report.offender, meaning, report.stamp, sign, told, report.mtu, labels, size)

    def _answers(self) -> Iterator[Heard]:
        """Datagrams of a service on that port: it is there. One that repeats a probe says which."""
        for _ in range(MOST_READ):
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(65535, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # The error of a probe, which stands in the error queue; the next call reads on.
                continue
            stamp = None
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    stamp = seconds(data)
            number = None
            if packet[:_COOKIE_BYTES] == self._cookie and len(packet) >= _TOKEN_BYTES:
                number = int.from_bytes(packet[_COOKIE_BYTES:_TOKEN_BYTES], "big")
            yield Heard(number, self.destination.ip, "reply", stamp, size=len(packet) + self._overhead)
