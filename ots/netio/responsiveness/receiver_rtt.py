"""The round trip that a connection's receiver sees (Linux TCP_INFO, tcpi_rcv_rtt).

The smoothed RTT of TCP_INFO is the sender's; who only receives has it from the handshake alone. The kernel's
receiver keeps an estimate of its own, from time stamps or from how long a window takes (tcp_input.c).
"""

from __future__ import annotations

import socket
import struct

_PLACE = 92


def receiver_rtt(sock: socket.socket) -> float | None:
    """Seconds, None where the kernel has no estimate."""
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except (AttributeError, OSError):
        return None
    if len(raw) < _PLACE + 4:
        return None
    (microseconds,) = struct.unpack_from("=I", raw, _PLACE)
    return microseconds / 1e6 if microseconds else None
