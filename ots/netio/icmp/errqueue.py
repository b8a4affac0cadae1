"""A socket's error queue (Linux): ICMP errors about what it sent, and the stamps of its sending.

An unprivileged datagram socket gets the ICMP errors that quote its packets here and nowhere else
(IP_RECVERR, ip(7)); each with the machine that sent it, the kernel's receive stamp and what was quoted.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

# Linux numbers that the socket module does not name (asm-generic/socket.h, linux/in.h, linux/in6.h,
# linux/errqueue.h).
SO_TIMESTAMPNS = 35
SO_TIMESTAMPING = 37
IP_RECVERR = 11
IP_RECVERR_RFC4884 = 26
IPV6_RECVERR = 25
IPV6_RECVERR_RFC4884 = 31
_ORIGIN_LOCAL, _ORIGIN_TIMESTAMPING = 1, 4

ANCILLARY_BYTES = 512

_EXTENDED_ERROR = struct.Struct("=IBBBBIHBB")
_INVALID_EXTENSION = 1
_TIMESPEC = {16: struct.Struct("=qq"), 8: struct.Struct("=ii")}


@dataclass(frozen=True, slots=True)
class Quoted:
    """An ICMP error, with the payload of the packet that it quotes (an ICMP socket: from its ICMP header on).

    `destination` is where the quoted packet was going, `stamp` the kernel's receive stamp on the wall clock,
    `mtu` the next hop's in "fragmentation needed" and "packet too big". `extension` is the part that RFC 4884
    appends, empty without one or where the socket did not ask for it.
    """

    packet: bytes
    type: int
    code: int
    offender: str
    destination: str
    stamp: float | None = None
    mtu: int = 0
    extension: bytes = b""


@dataclass(frozen=True, slots=True)
class Sent:
    """The kernel's transmit stamp (wall clock) of the packet that was the `index`-th on this socket."""

    index: int
    stamp: float


def error_queue(sock: socket.socket) -> Iterator[Quoted | Sent]:
    """All that waits in the error queue of a non-blocking socket."""
    while True:
        try:
            packet, ancillary, _, address = sock.recvmsg(65535, ANCILLARY_BYTES, socket.MSG_ERRQUEUE)
        except OSError:
            return
        sent = received = report = None
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
                sent = seconds(data[: len(data) // 3])
            elif level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                received = seconds(data)
            elif (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
                report = data
        if report is None or len(report) < _EXTENDED_ERROR.size:
            continue
        _, origin, kind, code, _, info, low, flags, high = _EXTENDED_ERROR.unpack_from(report)
        if origin == _ORIGIN_TIMESTAMPING:
            if sent:
                yield Sent(_word(low, flags, high), sent)
        elif origin != _ORIGIN_LOCAL:
            extended = 0 < low < len(packet) and not flags & _INVALID_EXTENSION
            yield Quoted(
                packet[:low] if extended else packet,
                kind,
                code,
                _offender(report[_EXTENDED_ERROR.size :]),
                address[0].partition("%")[0],
                received,
                info,
                packet[low:] if extended else b"",
            )


def seconds(data: bytes) -> float | None:
    """A timespec as seconds; None if it is empty or of unknown size."""
    layout = _TIMESPEC.get(len(data))
    if layout is None:
        return None
    whole, nanoseconds = layout.unpack(data)
    return whole + nanoseconds * 1e-9 if whole else None


def _word(low: int, flags: int, high: int) -> int:
    """The last 32 bits of an extended error, which are a number in a transmit stamp's."""
    (number,) = struct.unpack("=I", struct.pack("=HBB", low, flags, high))
    return int(number)


def _offender(sockaddr: bytes) -> str:
    """The address of the machine that sent an error (the kernel puts it behind the error's fields)."""
    family = int.from_bytes(sockaddr[:2], sys.byteorder)
    if len(sockaddr) >= 8 and family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, sockaddr[4:8])
    if len(sockaddr) >= 24 and family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, sockaddr[8:24])
    return ""
