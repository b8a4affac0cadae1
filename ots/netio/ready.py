"""Waiting for a socket to become ready, with the stamp taken in the loop's callback.

`loop.sock_connect` and its kin wake the waiting task one turn of the loop later, and only then could it look
at the clock. Here the clock is read the moment the selector reports the socket.
"""

from __future__ import annotations

import asyncio
import socket

from ots.clock import Clock


async def readable(sock: socket.socket, clock: Clock, until: float) -> float:
    """When the socket became readable, on `clock.monotonic()`. TimeoutError after `until`."""
    return await _ready(sock, clock, until, write=False)


async def writable(sock: socket.socket, clock: Clock, until: float) -> float:
    """When the socket became writable (also: when its connect ended). TimeoutError after `until`."""
    return await _ready(sock, clock, until, write=True)


async def _ready(sock: socket.socket, clock: Clock, until: float, *, write: bool) -> float:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[float] = loop.create_future()

    def seen() -> None:
        if not waiter.done():
            waiter.set_result(clock.monotonic())

    def late() -> None:
        if not waiter.done():
            waiter.set_exception(TimeoutError())

    descriptor = sock.fileno()
    timer = loop.call_later(max(0.0, until - clock.monotonic()), late)
    (loop.add_writer if write else loop.add_reader)(descriptor, seen)
    try:
        return await waiter
    finally:
        timer.cancel()
        (loop.remove_writer if write else loop.remove_reader)(descriptor)
