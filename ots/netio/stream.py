"""Whole messages over a connected non-blocking socket, plain or TLS."""

from __future__ import annotations

import socket
import ssl

from ots.clock import Clock
from ots.netio.ready import readable, writable


async def send(sock: socket.socket, data: bytes, clock: Clock, until: float) -> None:
    """Hands all of `data` to the kernel. TimeoutError after `until`, else the socket's own exceptions."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            await writable(sock, clock, until)
        except ssl.SSLWantReadError:
            await readable(sock, clock, until)


async def receive(sock: socket.socket, size: int, clock: Clock, until: float) -> bytes:
    """Exactly `size` bytes. EOFError if the peer ends before, TimeoutError after `until`."""
    parts, missing = [], size
    while missing:
        try:
            part = sock.recv(missing)
        except (BlockingIOError, ssl.SSLWantReadError):
            await readable(sock, clock, until)
        except ssl.SSLWantWriteError:
            await writable(sock, clock, until)
        else:
            if not part:
                raise EOFError(f"{missing} of {size} bytes missing")
            parts.append(part)
            missing -= len(part)
    return b"".join(parts)
