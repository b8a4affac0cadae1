"""One HTTP body, read to its end into a transfer's meter, beside aiohttp.

aiohttp has had the header and gets nothing more. A plain connection is read by a thread, which lets the
kernel drop content that nobody has to see: no copy, and the loop stays free. TLS is read on the loop,
decrypted into one buffer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from ots.netio.errors import classify
from ots.netio.http.client import Answer
from ots.netio.http.framing import LARGE, Framing
from ots.netio.http.successive import AHEAD, Successive
from ots.netio.transfer.aside import aside, borrowed, wake
from ots.netio.transfer.intake import BUFFER, Intake
from ots.netio.transfer.meter import Flow, Meter
from ots.probe import Failed


async def receive(
    answer: Answer,
    flow: Flow,
    meter: Meter,
    digest: Callable[[memoryview], object] | None,
    book: Callable[[], None],
    *,
    successive: Successive | None = None,
    polls: bool = False,
) -> int:
    """Reads one body to its end into the meter; returns its bytes.

    With `successive`, on a plain connection, all bodies that follow on it, too. `polls`: see `Intake`.

    `book` is called after each read that others may follow, also from a thread; it may raise `Failed`. Bytes
    are stamped with the instant at which they came from the socket.
    """
    handler = answer.handler
    intake = Intake(flow, meter, handler.stamp, book, digest, polls=polls)
    flow.look()
    framing, held = answer.take()
    if len(held):
        pieces = framing.feed(held)
        if framing.beyond:
            raise Failed("protocol", "first_byte", "BAD_RESPONSE", "no valid HTTP answer: more than promised")
        intake.pieces(pieces, more=not framing.ended, t=answer.arrivals.first or handler.stamp())
        framing.verify()
    wire = handler.wire
    if not (framing.ended or intake.over):
        if wire is None:
            framing.eof()
        elif wire.get_extra_info("sslcontext") is None:
            await _plain(wire, framing, intake, successive)
        else:
            await _Decrypted(wire, framing, intake).read()
    await intake.settle()
    if successive is not None and successive.given_up:
        answer.handler.force_close()
    answer.done()
    return intake.count


async def _plain(
    wire: asyncio.Transport, framing: Framing, intake: Intake, successive: Successive | None
) -> None:
    with borrowed(wire.get_extra_info("socket").fileno()) as sock:

        def stop() -> None:
            intake.stopped = True
            wake(sock, socket.SHUT_RD)

        await aside(lambda: _bodies(sock, framing, intake, successive), stop)


def _bodies(sock: socket.socket, framing: Framing, intake: Intake, successive: Successive | None) -> None:
    """In a thread: to the body's end, and all those that follow."""
    _read(sock, framing, intake, successive)
    while successive is not None and not intake.over:
        if framing.beyond:
            successive.given_up = True
            return
        following = successive.next(sock)
        if following is None:
            return
        intake.follows()
        framing, held = following
        if held:
            _feed(framing, intake, held, intake.stamp())
        _read(sock, framing, intake, successive)


def _read(sock: socket.socket, framing: Framing, intake: Intake, successive: Successive | None) -> None:
    """To the body's end."""
    try:
        while not (framing.ended or intake.over):
            if successive is not None and framing.certain <= AHEAD:
                successive.ask(sock)
            if intake.blind and framing.certain >= LARGE:
                got = intake.drop(sock, framing.certain)
                if got:
                    framing.skip(got)
                    intake.arrived(got, more=not framing.ended)
                    continue
            elif data := intake.read(sock, framing.appetite):
                t = intake.stamp()
                _feed(framing, intake, data, t)
                continue
            framing.eof()
    except OSError as error:
        raise classify(error, "transfer") from None


def _feed(framing: Framing, intake: Intake, data: memoryview, t: float) -> None:
    pieces = framing.feed(data)
    intake.pieces(pieces, more=not framing.ended, t=t)
    framing.verify()


class _Decrypted(asyncio.BufferedProtocol):
    """Takes aiohttp's place behind asyncio's TLS while a body is read."""

    def __init__(self, wire: asyncio.Transport, framing: Framing, intake: Intake) -> None:
        self._wire, self._framing, self._intake = wire, framing, intake
        self._before = cast(asyncio.Protocol, wire.get_protocol())
        self._place = memoryview(bytearray(BUFFER))
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def read(self) -> None:
        """To the body's end."""
        self._wire.set_protocol(self)
        self._wire.resume_reading()
        try:
            await self._done
        finally:
            self._wire.pause_reading()
            self._wire.set_protocol(self._before)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._place

    def buffer_updated(self, nbytes: int) -> None:
        if self._done.done():
            return
        t = self._intake.stamp()
        try:
            _feed(self._framing, self._intake, self._place[:nbytes], t)
        except Failed as failure:
            self._end(failure)
        else:
            if self._framing.ended or self._intake.over:
                self._end(None)

    def eof_received(self) -> None:
        self._closed(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed(exc)
        # Its own protocol is told too, as if it had been there all the time.
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()

    def _closed(self, error: Exception | None) -> None:
        try:
            if error is not None:
                raise classify(error, "transfer")
            self._framing.eof()
        except Failed as failure:
            self._end(failure)
        else:
            self._end(None)

    def _end(self, failure: Failed | None) -> None:
        if self._done.done():
            return
        if failure is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(failure)
