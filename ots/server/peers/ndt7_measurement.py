"""What an ndt7 server says of a connection: its own count, and the kernel's TCP_INFO (linux/tcp.h)."""

from __future__ import annotations

import socket
import struct
from typing import Any

from aiohttp import web

_WORDS = {"RTT": 68, "RTTVar": 72, "MinRTT": 148}
_LONGS = {
    "PacingRate": 104,
    "BytesAcked": 120,
    "BytesReceived": 128,
    "DeliveryRate": 160,
    "BusyTime": 168,
    "RWndLimited": 176,
    "SndBufLimited": 184,
    "BytesSent": 200,
    "BytesRetrans": 208,
}
"""Offsets in struct tcp_info; times are in microseconds, there and in ndt7."""


def measurement(request: web.Request, test: str, uuid: str, elapsed: float, count: int) -> dict[str, object]:
    """One measurement, `elapsed` seconds after the beginning; `count` bytes of messages have been moved."""
    micros = int(elapsed * 1e6)
    return {
        "AppInfo": {"ElapsedTime": micros, "NumBytes": count},
        "ConnectionInfo": {
            "Client": _end_point(request, "peername"),
            "Server": _end_point(request, "sockname"),
            "UUID": uuid,
        },
        "Origin": "server",
        "Test": test,
        "TCPInfo": {**_tcp_info(request), "ElapsedTime": micros},
    }


def _end_point(request: web.Request, name: str) -> str:
    found: Any = None if request.transport is None else request.transport.get_extra_info(name)
    if not found:
        return ""
    return f"[{found[0]}]:{found[1]}" if ":" in found[0] else f"{found[0]}:{found[1]}"


def _tcp_info(request: web.Request) -> dict[str, int]:
    """As much as this system's kernel tells."""
    connection: Any = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is None:
        return {}
    try:
        raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except (AttributeError, OSError):
        return {}
    known: dict[str, int] = {}
    for form, offsets in (("=I", _WORDS), ("=Q", _LONGS)):
        for name, offset in offsets.items():
            if len(raw) >= offset + struct.calcsize(form):
                known[name] = struct.unpack_from(form, raw, offset)[0]
    return known
