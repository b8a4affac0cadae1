"""A file's bytes from a data connection into a transfer's meter, read by a thread and let go."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from ots.clock import Clock
from ots.netio.transfer.aside import aside, wake
from ots.netio.transfer.intake import BUFFER, GULP, Intake
from ots.netio.transfer.meter import Flow, Meter

_LEAST_WAIT = 0.001


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
    Other errors are the socket's. `book` is called after each read, by the thread, and may raise `Failed`.
    """
    flow.connection = sock
    intake = Intake(flow, meter, clock.monotonic, book, digest, polls=True)

    def stop() -> None:
        intake.stopped = True
        wake(sock, socket.SHUT_RD)

    sock.settimeout(max(_LEAST_WAIT, first_until - clock.monotonic()))
    await aside(lambda: _read(sock, intake), stop)
    await intake.settle()
    flow.look()
    return intake.count


def _read(sock: socket.socket, intake: Intake) -> None:
    """To the file's end, in a thread."""
    blind = intake.blind and not isinstance(sock, ssl.SSLSocket)
    first = True
    while not intake.over:
        if blind:
            got = intake.drop(sock, GULP)
            intake.arrived(got, more=got > 0)
        else:
            data = intake.read(sock, BUFFER)
            got = len(data)
            intake.pieces([data], more=got > 0, t=intake.stamp())
        if not got:
            return
        if first:
            first = False
            sock.settimeout(None)
