"""Echo requests as probes, on a raw or a datagram ICMP socket.

Routers that spread flows over several paths look at the first bytes behind the IP header, of ICMP: type,
code, checksum and identifier. So the checksum of every probe is the same: two bytes of the payload make up
for the number (Augustin et al., "Avoiding traceroute anomalies with Paris traceroute", 2006).
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterator, Sequence
from itertools import islice

from ots.netio.icmp.errqueue import IP_RECVERR_RFC4884, IPV6_RECVERR_RFC4884, Quoted
from ots.netio.icmp.packet import ECHO_REPLY, ECHO_REQUEST, IP_HEADER_BYTES
from ots.netio.icmp.sockets import ICMPSocket, Received
from ots.netio.trace.quote import ICMP, ICMPV6, checksum, mpls_labels, read_error
from ots.netio.trace.wire import (
    MOST_READ,
    Heard,
    forbid_fragments,
    meaning_of,
    send_despite_news,
    set_hop_limit,
)
from ots.probe import Address

_HEADER = struct.Struct("!BBHHH")
_COOKIE_BYTES = 12
_TOKEN_BYTES = _COOKIE_BYTES + 4
LEAST_PAYLOAD = _TOKEN_BYTES
"""Cookie, number, and the bytes that keep the checksum what it is."""


class EchoCodec:
    """The probes of one run. Pure."""

    def __init__(self, family: str, identifier: int) -> None:
        self.family = family
        self.identifier = identifier
        self.cookie = secrets.token_bytes(_COOKIE_BYTES)

    def request(self, number: int, payload: int) -> bytes:
        """The probe with this number and so many bytes of payload. The checksum is ICMP's; for ICMPv6 the
        kernel writes it."""
        # The number stands in the packet twice, and this takes both out of the one's complement sum.
        balance = -2 * number % 0xFFFF
        body = self.cookie + struct.pack("!HH", number, balance) + bytes(payload - _TOKEN_BYTES)
        kind = ECHO_REQUEST[self.family]
        summed = checksum(_HEADER.pack(kind, 0, 0, self.identifier, number) + body)
        return _HEADER.pack(kind, 0, summed, self.identifier, number) + body

    def number_of(self, icmp: bytes, *, own_identifier: bool) -> int | None:
        """The number of the probe that begins here, None if it is none of this run's.

        A router need quote no more than eight bytes of it: then identifier and number are all there is.
        """
        if len(icmp) < _HEADER.size:
            return None
        _, _, _, identifier, number = _HEADER.unpack_from(icmp)
        if own_identifier and identifier != self.identifier:
            return None
        payload = icmp[_HEADER.size : _HEADER.size + _COOKIE_BYTES + 2]
        expected = self.cookie + struct.pack("!H", number)
        return int(number) if payload == expected[: len(payload)] else None


class EchoWire:
    """The probes of one run on one ICMP socket, which the wire closes."""

    protocol = "icmp"

    def __init__(self, destination: Address, opened: ICMPSocket, payload: int) -> None:
        self.destination = destination
        self.socket_kind: str = opened.kind
        self._icmp = opened
        self._payload = payload
        self._codec = EchoCodec(destination.family, secrets.randbelow(0xFFFF) + 1)
        self._overhead = IP_HEADER_BYTES[destination.family] + _HEADER.size
        if opened.kind == "datagram":
            level, option = (
                (socket.IPPROTO_IP, IP_RECVERR_RFC4884)
                if destination.family == "4"
                else (socket.IPPROTO_IPV6, IPV6_RECVERR_RFC4884)
            )
            opened.ask_for(level, option)

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return [self._icmp.socket]

    def send(self, number: int, ttl: int, size: int | None = None) -> int:
        payload = self._payload if size is None else max(LEAST_PAYLOAD, size - self._overhead)
        packet = self._codec.request(number, payload)
        sock = self._icmp.socket
        set_hop_limit(sock, ttl)
        send_despite_news(sock, lambda: sock.sendto(packet, self.destination.sockaddr(0)))
        return payload + self._overhead

    def hear(self) -> Iterator[Heard]:
        for report in islice(self._icmp.errors(), MOST_READ):
            if isinstance(report, Quoted):
                heard = self._quoted(report)
                if heard is not None:
                    yield heard
        for received in islice(self._icmp.receive(), MOST_READ):
            heard = self._received(received)
            if heard is not None:
                yield heard

    def forbid_fragments(self) -> None:
        forbid_fragments(self._icmp.socket)

    def close(self) -> None:
        self._icmp.close()

    def _quoted(self, report: Quoted) -> Heard | None:
        if report.destination != self.destination.ip:
            return None
        number = self._codec.number_of(report.packet, own_identifier=False)
        meant = meaning_of(
            report.type, report.code, report.offender, self.destination, port_means_arrival=False
        )
        if meant is None or (number is None and len(report.packet) >= _HEADER.size):
            return None
        meaning, sign, told = meant
        size = IP_HEADER_BYTES[self.destination.family] * 2 + 8 + len(report.packet) + len(report.extension)
        labels = mpls_labels(report.extension)
        return Heard(number, report.offender, meaning, report.stamp, sign, told, report.mtu, labels, size)

    def _received(self, received: Received) -> Heard | None:
        family = self.destination.family
        packet = received.packet
        size = len(packet) if self._icmp.ip_header else len(packet) + IP_HEADER_BYTES[family]
        if self._icmp.ip_header:
            if len(packet) < 20:
                return None
            packet = packet[(packet[0] & 0x0F) * 4 :]
        if len(packet) < _HEADER.size:
            return None
        raw = self._icmp.kind == "raw"
        if packet[0] == ECHO_REPLY[family]:
            number = self._codec.number_of(packet, own_identifier=raw)
            if number is None or len(packet) < _HEADER.size + _TOKEN_BYTES:
                return None
            if received.source != self.destination.ip:
                return None
            return Heard(number, received.source, "reply", received.stamp, size=size)
        message = read_error(packet, family)
        if message is None or message.protocol != (ICMP if family == "4" else ICMPV6):
            return None
        if message.destination != self.destination.ip or message.transport[:1] != bytes(
            [ECHO_REQUEST[family]]
        ):
            return None
        number = self._codec.number_of(message.transport, own_identifier=raw)
        meant = meaning_of(
            message.type, message.code, received.source, self.destination, port_means_arrival=False
        )
        if number is None or meant is None:
            return None
        meaning, sign, told = meant
        return Heard(
            number, received.source, meaning, received.stamp, sign, told, message.mtu, message.labels, size
        )
