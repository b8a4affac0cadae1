"""TCP SYNs as probes: what a firewall sees is what a browser sends. Needs the right to raw sockets.

All SYNs have the same addresses and ports; the number is the low half of the sequence number. The source port
is held by a socket that never connects, so the kernel answers a SYN-ACK with a reset: nothing stays half open
at the other end.
"""

from __future__ import annotations

import ctypes
import errno
import secrets
import socket
import struct
from collections.abc import Iterator, Sequence
from itertools import islice

from ots.i18n import N_
from ots.netio.errors import classify
from ots.netio.icmp.errqueue import ANCILLARY_BYTES, SO_TIMESTAMPNS, seconds
from ots.netio.icmp.packet import IP_HEADER_BYTES
from ots.netio.icmp.sockets import ICMPSocket, Received
from ots.netio.trace.quote import TCP, checksum, read_error
from ots.netio.trace.wire import MOST_READ, Heard, local_address, meaning_of, send_despite_news, set_hop_limit
from ots.probe import Address, Failed

REMEDY = N_("TCP needs a raw socket: run as root, or choose protocol udp, which needs no right.")

_HEADER = struct.Struct("!HHIIBBHHH")
_SYN, _RST, _ACK = 2, 4, 16
_MSS_OPTION = b"\x02\x04\x05\x64"
"""A maximum segment size of 1380: a SYN without any is what some firewalls drop."""

_HEADER_BYTES = _HEADER.size + len(_MSS_OPTION)
_SO_ATTACH_FILTER = 26


class TCPWire:
    """The probes of one run, on a raw TCP socket beside a raw ICMP socket; the wire closes both."""

    protocol = "tcp"
    socket_kind = "raw"

    def __init__(
        self, destination: Address, port: int, opened: ICMPSocket, raw: socket.socket, holder: socket.socket
    ) -> None:
        """`raw` and `holder` are of the destination's family and bound as the route says; `opened` is raw."""
        self.destination = destination
        self._icmp = opened
        self._raw = raw
        self._holder = holder
        self._port = port
        self._base = secrets.randbits(16)
        try:
            source = local_address(destination, holder)
            if not holder.getsockname()[1]:
                holder.bind((source, 0, 0, destination.scope) if destination.family == "6" else (source, 0))
            raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        except OSError as error:
            raise classify(error, "request") from None
        self._own_port = holder.getsockname()[1]
        self._pseudo = _pseudo_header(source, destination)
        _only_ports(raw, port, self._own_port)

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return [self._raw, self._icmp.socket]

    def send(self, number: int, ttl: int, size: int | None = None) -> int:
        segment = self._syn(number)
        set_hop_limit(self._raw, ttl)
        send_despite_news(self._raw, lambda: self._raw.sendto(segment, self.destination.sockaddr(0)))
        return len(segment) + IP_HEADER_BYTES[self.destination.family]

    def hear(self) -> Iterator[Heard]:
        for received in islice(self._icmp.receive(), MOST_READ):
            heard = self._error(received)
            if heard is not None:
                yield heard
        yield from self._answers()

    def close(self) -> None:
        for sock in (self._icmp, self._raw, self._holder):
            sock.close()

    def _syn(self, number: int) -> bytes:
        sequence = self._base << 16 | number
        fixed = (self._own_port, self._port, sequence, 0, _HEADER_BYTES // 4 << 4, _SYN, 64240)
        unsummed = _HEADER.pack(*fixed, 0, 0) + _MSS_OPTION
        return _HEADER.pack(*fixed, checksum(self._pseudo + unsummed), 0) + _MSS_OPTION

    def _number_of(self, sequence: int) -> int | None:
        return sequence & 0xFFFF if sequence >> 16 == self._base else None

    def _error(self, received: Received) -> Heard | None:
        packet = received.packet
        if self._icmp.ip_header:
            if len(packet) < 20:
                return None
            packet = packet[(packet[0] & 0x0F) * 4 :]
        message = read_error(packet, self.destination.family)
        if message is None or message.protocol != TCP or len(message.transport) < 8:
            return None
        own, port, sequence = struct.unpack_from("!HHI", message.transport)
        number = self._number_of(sequence)
        meant = meaning_of(
            message.type, message.code, received.source, self.destination, port_means_arrival=False
        )
        if number is None or meant is None or (own, port) != (self._own_port, self._port):
            return None
        meaning, sign, told = meant
        size = len(received.packet)
        return Heard(
            number, received.source, meaning, received.stamp, sign, told, message.mtu, message.labels, size
        )

    def _answers(self) -> Iterator[Heard]:
        """SYN-ACKs and resets of the destination."""
        for _ in range(MOST_READ):
            try:
                packet, ancillary, _, address = self._raw.recvmsg(65535, ANCILLARY_BYTES)
            except OSError:
                return
            segment = packet[(packet[0] & 0x0F) * 4 :] if self.destination.family == "4" else packet
            if len(segment) < _HEADER.size or address[0].partition("%")[0] != self.destination.ip:
                continue
            port, own, _, acknowledged, _, flags, _, _, _ = _HEADER.unpack_from(segment)
            number = self._number_of(acknowledged - 1 & 0xFFFFFFFF)
            if number is None or (own, port) != (self._own_port, self._port):
                continue
            if not flags & _ACK or not flags & (_SYN | _RST):
                continue
            stamp = None
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    stamp = seconds(data)
            size = len(segment) + IP_HEADER_BYTES[self.destination.family]
            yield Heard(number, self.destination.ip, "reply", stamp, size=size)


def raw_tcp(family: socket.AddressFamily) -> socket.socket:
    """A non-blocking raw TCP socket; `Failed`, class `permission`, where this user may have none."""
    try:
        sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
    except PermissionError:
        raise Failed(
            "permission", "connect", "EPERM", "no right to open a raw TCP socket", remedy=REMEDY
        ) from None
    except OSError as error:
        raise classify(error, "connect") from None
    sock.setblocking(False)
    return sock


def _pseudo_header(source: str, destination: Address) -> bytes:
    """What the checksum covers beside the segment (RFC 9293 §3.1, RFC 8200 §8.1)."""
    if destination.family == "4":
        pair = socket.inet_aton(source) + socket.inet_aton(destination.ip)
        return pair + struct.pack("!BBH", 0, TCP, _HEADER_BYTES)
    pair = b"".join(
        socket.inet_pton(socket.AF_INET6, text.partition("%")[0]) for text in (source, destination.ip)
    )
    return pair + struct.pack("!II", _HEADER_BYTES, TCP)


def _only_ports(sock: socket.socket, source: int, destination: int) -> None:
    """Lets the kernel drop all segments of other connections: a raw socket gets a copy of each (classic BPF).

    An IPv4 packet is seen from its IP header on, an IPv6 one from its TCP header on.
    """
    load_header_length = (0xB1, 0, 0, 0)
    clear_index = (0x01, 0, 0, 0)
    program = [
        load_header_length if sock.family == socket.AF_INET else clear_index,
        (0x48, 0, 0, 0),
        (0x15, 0, 3, source),
        (0x48, 0, 0, 2),
        (0x15, 0, 1, destination),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    try:
        sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code))
        )
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise classify(error, "connect") from None
