"""The content of one message on its way: from the first octet after 354 to the answer after the last dot."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from ots.netio.errors import classify
from ots.netio.ready import writable
from ots.netio.tcpinfo import unacknowledged, unsent
from ots.netio.transfer.meter import TICK
from ots.probe import Context, Failed

_PIECE = 64 << 10
_FINE_TICK = 0.002
"""Seconds between two looks while the kernel still holds a part of the message back."""

_WORD = 1.0
"""Seconds that a server gets to say why it broke the connection."""

Answer = tuple[str, list[str]]


def transparent(data: bytes) -> bytes:
    """A message as DATA takes it: leading dots doubled, a dot of its own at the end (RFC 5321 4.5.2)."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")


def _refusal_in(hearing: asyncio.Task[Answer]) -> Failed | None:
    """The refusal that the server has sent, if it has."""
    failure = hearing.exception() if hearing.done() else None
    return failure if isinstance(failure, Failed) and failure.error.code[:1] in ("4", "5") else None


class Outgoing:
    """One message into one connection. `begin` and `left` are the stamps of its first and last octet.

    `left` is when the last octet left this machine, not when the kernel took it: what that buffers of a large
    message has still to cross the network.
    """

    def __init__(self, ctx: Context, sock: socket.socket, *, stall: float, timeout: float) -> None:
        """`stall`: longest time without progress; `timeout`: longest wait for the answer after all of it."""
        self.begin: float | None = None
        self.left: float | None = None
        self.handed = False
        """The kernel has all of it: from now on nobody but the server knows whether it was taken."""
        self._ctx = ctx
        self._clock = ctx.clock
        self._sock = sock
        self._stall = stall
        self._timeout = timeout

    async def send(self, data: bytes, answer: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Sends, and listens all the while: a server that says no may say it in the middle.

        `answer` waits for the server's answer as long as it takes, and raises `Failed` if it is a refusal.
        """
        hearing = asyncio.create_task(answer())
        sending = asyncio.create_task(self._hand_over(transparent(data)))
        try:
            await asyncio.wait({hearing, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                hearing.result()
                raise Failed("protocol", "transfer", "EARLY_ANSWER", "accepted before the message had ended")
            try:
                sending.result()
            except OSError as error:
                await asyncio.wait({hearing}, timeout=_WORD)
                raise _refusal_in(hearing) or classify(error, "transfer") from None
            await self._until_answered(hearing)
            return hearing.result()
        finally:
            hearing.cancel()
            sending.cancel()
            await asyncio.gather(hearing, sending, return_exceptions=True)

    async def _hand_over(self, data: bytes) -> None:
        place, size = 0, len(data)
        view = memoryview(data)
        until = self._clock.monotonic() + self._stall
        while place < size:
            try:
                sent = self._sock.send(view[place : place + _PIECE])
            except (BlockingIOError, ssl.SSLWantWriteError):
                await self._writable(until)
            except ssl.SSLWantReadError:
                # Whoever listens for the answer reads what TLS is waiting for.
                await asyncio.sleep(TICK)
            else:
                now = self._clock.monotonic()
                self.begin = now if self.begin is None else self.begin
                self.left = now
                until = now + self._stall
                place += sent
                self._ctx.budget.spend(sent=sent)
                self._ctx.progress(place / size)
                # Lets the answer in: a fast network would take the whole message without a pause.
                await asyncio.sleep(0)
        self.handed = True

    async def _writable(self, until: float) -> None:
        try:
            await writable(self._sock, self._clock, until)
        except TimeoutError:
            raise self._stalled() from None

    async def _until_answered(self, hearing: asyncio.Task[Answer]) -> None:
        """Waits: for the kernel to get rid of the message, then for the server to say what became of it."""
        deadline: float | None = None
        progress, waiting = self._clock.monotonic(), unacknowledged(self._sock)
        gone = False
        while not hearing.done():
            now = self._clock.monotonic()
            if not gone:
                gone = not unsent(self._sock)
                self.left = self.left if gone else now
            before, waiting = waiting, unacknowledged(self._sock)
            if waiting != before:
                progress = now
            if not waiting:
                deadline = deadline or now + self._timeout
            elif now - progress > self._stall:
                raise self._stalled()
            if deadline is not None and now > deadline:
                raise Failed(
                    "timeout",
                    "transfer",
                    "TIMEOUT",
                    f"the message was sent, and no answer came within {self._timeout:g} s",
                    retryable=True,
                )
            await asyncio.wait({hearing}, timeout=TICK if gone else _FINE_TICK)

    def _stalled(self) -> Failed:
        return Failed(
            "stalled",
            "transfer",
            "STALLED",
            f"the server took nothing of the message for {self._stall:g} s",
            retryable=True,
        )
