"""What the kernel knows of a TCP connection (TCP_INFO, linux/tcp.h)."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TCPInfo:
    """`rtt` is the smoothed round trip in seconds; right after connect it is that of the SYN alone.

    `retransmits` counts all segments sent again, the SYN too. `bytes_written` is what the application has put
    in, sent or still queued, and None before Linux 4.19.
    """

    rtt: float
    retransmits: int
    bytes_written: int | None


def tcp_info(sock: socket.socket) -> TCPInfo | None:
    """The kernel's view of a connection, or None where the system has no TCP_INFO."""
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except (AttributeError, OSError):
        return None
    if len(raw) < 104:
        return None
    (rtt_us,) = struct.unpack_from("=I", raw, 68)
    (retransmits,) = struct.unpack_from("=I", raw, 100)
    written = None
    if len(raw) >= 208:
        (queued,) = struct.unpack_from("=I", raw, 144)
        (sent,) = struct.unpack_from("=Q", raw, 200)
        (resent,) = struct.unpack_from("=Q", raw, 208) if len(raw) >= 216 else (0,)
        written = queued + sent - resent
    return TCPInfo(rtt_us / 1e6, retransmits, written)
