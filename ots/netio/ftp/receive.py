"""A file's bytes from a data connection into a transfer's meter: read into one buffer, counted, let go."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from ots.clock import Clock
from ots.netio.ready import readable, writable
from ots.netio.transfer.meter import Flow, Meter

BUFFER = 256 << 10

_FOR_EVER = float(1 << 30)
"""The watch ends what stalls."""


async def receive(
    sock: socket.socket,
    flow: Flow,
    meter: Meter,
    clock: Clock,
    first_until: float,
    digest: Callable[[memoryview], object] | None,
    book: Callable[[], None],
) -> int:
    """Reads to the end of the file; returns its bytes.

    The first byte has to come before `first_until`: TimeoutError. Later the watch over the transfer decides.
    Other errors are the socket's. `book` is called after each read and may raise `Failed`.
    """
    buffer = memoryview(bytearray(BUFFER))
    until, count = first_until, 0
    flow.connection = sock
    while True:
        try:
            got = sock.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            await readable(sock, clock, until)
            continue
        except ssl.SSLWantWriteError:
            await writable(sock, clock, until)
            continue
        now = clock.monotonic()
        if not got:
            flow.look()
            return count
        until = _FOR_EVER
        count += got
        meter.arrived(flow, now, got)
        if digest is not None:
            digest(buffer[:got])
        if not meter.full.is_set():
            book()
        # A sender that is always ahead would keep the loop, the other connections and the cut from it.
        await asyncio.sleep(0)
