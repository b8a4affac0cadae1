"""What the kernel knows of a TCP connection (TCP_INFO, linux/tcp.h)."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import termios
from dataclasses import dataclass
from typing import Protocol

_SIOCOUTQNSD = 0x894B

_SYN = struct.Struct("=B 67x I 28x I")
"""tcpi_state, tcpi_rtt and tcpi_total_retrans."""

_SYN_SENT = 2
"""The state of a connection that is being asked for (linux/tcp_states.h)."""


class Connection(Protocol):
    """A socket, or what asyncio shows of one."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...
    def fileno(self) -> int: ...


@dataclass(frozen=True, slots=True)
class TCPInfo:
    """`rtt` is the smoothed round trip in seconds; right after connect it is that of the SYN alone.

    `retransmits` counts all segments sent again, the SYN too, `segments_sent` those with data (sent again
    ones among them). `bytes_acked` is what the peer has acknowledged. `bytes_written` is what the application
    has put in, sent or still queued. All but the first two are None where the kernel is too old to tell
    (before Linux 4.6, `bytes_written` before 4.19, the last three before 4.10). `busy` are the seconds
    in which there was something to send, `window_limited` and `buffer_limited` those of them in which the
    receiver's window or the own send buffer held it up. `receive_rtt` is what a receiver makes of the
    timestamps of what came, None before anything came.
    """

    rtt: float
    retransmits: int
    min_rtt: float | None = None
    segments_sent: int | None = None
    bytes_acked: int | None = None
    bytes_written: int | None = None
    busy: float | None = None
    window_limited: float | None = None
    buffer_limited: float | None = None
    receive_rtt: float | None = None


def tcp_info(sock: Connection) -> TCPInfo | None:
    """The kernel's view of a connection, or None where the system has no TCP_INFO.

    The kernel fills as much of the structure as it knows; each field is read only if it lies inside.
    """
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except (AttributeError, OSError):
        return None
    rtt, retransmits = _word(raw, 68), _word(raw, 100)
    if rtt is None or retransmits is None:
        return None
    min_rtt = _word(raw, 148)
    queued, sent, resent = _word(raw, 144), _long(raw, 200), _long(raw, 208)
    return TCPInfo(
        rtt=rtt / 1e6,
        retransmits=retransmits,
        # All ones: no round trip has been timed yet.
        min_rtt=None if min_rtt is None or min_rtt == 0xFFFFFFFF else min_rtt / 1e6,
        segments_sent=_word(raw, 156),
        bytes_acked=_long(raw, 120),
        busy=_seconds(raw, 168),
        window_limited=_seconds(raw, 176),
        buffer_limited=_seconds(raw, 184),
        bytes_written=None if queued is None or sent is None else queued + sent - (resent or 0),
        receive_rtt=(_word(raw, 92) or 0) / 1e6 or None,
    )


def syn_round_trip(sock: Connection) -> tuple[bool, float, int] | None:
    """Right after connect: whether the SYN was answered, seconds of its round trip, and how often it was sent
    again. None where the system doesn't tell. What of `tcp_info` thousands of connections can afford."""
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SYN.size)
    except (AttributeError, OSError):
        return None
    if len(raw) < _SYN.size:
        return None
    state, rtt, retransmits = _SYN.unpack(raw)
    return state != _SYN_SENT, rtt / 1e6, retransmits


@dataclass(frozen=True, slots=True)
class Arriving:
    """How a connection receives.

    `bytes` so far; `rtt` in seconds by the timestamps of what came; the `window` last offered to the peer;
    bytes `waiting` to be read; `quiet` seconds since the last segment.
    """

    bytes: int
    rtt: float
    window: int
    waiting: int
    quiet: float


def arriving(sock: Connection) -> Arriving | None:
    """The receiving side of a connection; None where the kernel tells no window of its own (before 6.2)."""
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except (AttributeError, OSError):
        return None
    window, received, rtt, quiet = _word(raw, 232), _long(raw, 128), _word(raw, 92), _word(raw, 52)
    waiting = _queued(sock, termios.FIONREAD)
    if window is None or received is None or rtt is None or quiet is None or waiting is None:
        return None
    return Arriving(received, rtt / 1e6, window, waiting, quiet / 1e3)


@dataclass(frozen=True, slots=True)
class Sending:
    """How a connection sends: bytes that the peer was last willing to take (its `window`), and bytes written
    that have not been sent even once (`unsent`)."""

    window: int
    unsent: int


def sending(sock: Connection) -> Sending | None:
    """The sending side of a connection; None where the kernel doesn't tell the peer's window (before 5.4)."""
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except (AttributeError, OSError):
        return None
    window, unsent = _word(raw, 228), _word(raw, 144)
    return None if window is None or unsent is None else Sending(window, unsent)


def unacknowledged(sock: Connection) -> int | None:
    """Bytes in the send queue that the peer has not acknowledged (SIOCOUTQ), sent or not."""
    return _queued(sock, termios.TIOCOUTQ)


def unsent(sock: Connection) -> int | None:
    """Bytes in the send queue that have not left this machine yet (SIOCOUTQNSD, linux/sockios.h)."""
    return _queued(sock, _SIOCOUTQNSD)


def _queued(sock: Connection, request: int) -> int | None:
    count = array.array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), request, count)
    except OSError:
        return None
    return count[0]


def _word(raw: bytes, offset: int) -> int | None:
    return int(struct.unpack_from("=I", raw, offset)[0]) if len(raw) >= offset + 4 else None


def _long(raw: bytes, offset: int) -> int | None:
    return int(struct.unpack_from("=Q", raw, offset)[0]) if len(raw) >= offset + 8 else None


def _seconds(raw: bytes, offset: int) -> float | None:
    microseconds = _long(raw, offset)
    return None if microseconds is None else microseconds / 1e6
