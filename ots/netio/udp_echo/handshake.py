"""Opening a session with a responder, asking it what arrived, and closing it.

HELLO and CHALLENGE show the responder that our address is ours, OPEN and ACCEPT make the session. What gets
lost is sent again; the responder answers a repeated OPEN with the same session.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ots.clock import Clock, wall_offset
from ots.i18n import N_
from ots.netio.errors import TIMER, classify
from ots.netio.ready import readable
from ots.netio.udp_echo import wire
from ots.netio.udp_echo.clocks import Comparison, compare
from ots.probe import Failed

T = TypeVar("T")

_TRIES = 4
_STRANGE = N_("Something else listens there: give the address of an OTS echo responder.")
_SILENT = N_("Is an OTS echo responder running there, and does a firewall let UDP through to it and back?")
_KEY = N_("Give both sides the same key, or neither one.")


@dataclass(frozen=True, slots=True)
class Channel:
    """An open session: its token, its key, and how the two clocks compare."""

    token: int
    key: bytes | None
    clocks: Comparison


async def open_session(
    sock: socket.socket, wish: wire.Wish, shared: bytes | None, clock: Clock, timeout: float
) -> Channel:
    """Over a connected non-blocking socket. `Failed` in phase `connect` or `login` if there is no session.

    Each of the two round trips is tried four times within `timeout` seconds.
    """
    nonce = os.urandom(8)

    def cookie_in(packet: bytes) -> bytes | None:
        read = wire.read(packet, None)
        if read.type is not wire.Type.CHALLENGE:
            return None
        answered, cookie = wire.challenge_of(read.body)
        return cookie if answered == nonce else None

    cookie = await _ask(sock, wire.hello(nonce), cookie_in, clock, timeout)
    key = wire.session_key(shared, nonce, cookie)

    def session_in(packet: bytes) -> Channel | Failed | None:
        read = wire.read(packet, key)
        if read.type is wire.Type.REFUSE:
            refused = wire.Refused.of(read.body)
            return _refusal(refused, wish) if refused.nonce == nonce else None
        if read.type is not wire.Type.ACCEPT or not read.authentic:
            return None
        acceptance = wire.Acceptance.of(read.body)
        if acceptance.nonce != nonce:
            return None
        return Channel(read.token, key, compare(acceptance, nonce, wall_offset(clock)))

    opening = wire.Opening(nonce, cookie, wish).write(key)
    answer: Channel | Failed = await _ask(sock, opening, session_in, clock, timeout)
    if isinstance(answer, Failed):
        raise answer
    return answer


async def ask_report(
    sock: socket.socket, channel: Channel, first: int, clock: Clock, timeout: float
) -> wire.Report | None:
    """What had arrived of the requests from `first` on; None if the responder doesn't say."""

    def report_in(packet: bytes) -> wire.Report | None:
        read = wire.read(packet, channel.key)
        if read.type is not wire.Type.REPORTED or read.token != channel.token or not read.authentic:
            return None
        report = wire.Report.of(read.body)
        return report if report.first == first else None

    try:
        return await _ask(sock, wire.ask(channel.token, first, channel.key), report_in, clock, timeout)
    except Failed:
        return None


def close_session(sock: socket.socket, channel: Channel) -> None:
    """Tells the responder that nothing more will come, without waiting; it would find out by itself."""
    try:
        sock.send(wire.write(wire.Type.CLOSE, channel.token, b"", channel.key))
    except OSError:
        return


async def _ask(
    sock: socket.socket, question: bytes, read: Callable[[bytes], T | None], clock: Clock, timeout: float
) -> T:
    """Sends a question until `read` finds its answer in what arrives. `Failed` if none comes in time."""
    strange = 0
    until = clock.monotonic() + timeout
    for attempt in range(1, _TRIES + 1):
        again = until - timeout * (_TRIES - attempt) / _TRIES
        try:
            sock.send(question)
            while True:
                await readable(sock, clock, again)
                try:
                    answer = read(sock.recv(65535))
                except BlockingIOError:
                    continue
                except wire.Malformed:
                    strange += 1
                    continue
                if answer is not None:
                    return answer
        except TimeoutError:
            continue
        except OSError as error:
            raise classify(error, "connect") from None
    if strange:
        raise Failed(
            "protocol", "connect", "NO_ECHO", "what answers is no OTS echo responder", remedy=_STRANGE
        )
    raise Failed("timeout", "connect", TIMER, f"no answer within {timeout:g} s", remedy=_SILENT)


def _refusal(refused: wire.Refused, wish: wire.Wish) -> Failed:
    most = refused.most
    match refused.why:
        case wire.Refusal.KEY:
            return Failed("auth", "login", "KEY", "the responder has another key", remedy=_KEY)
        case wire.Refusal.BUSY:
            message = f"the responder has no session free, wait {refused.wait} s"
            return Failed("rejected", "login", "BUSY", message, retryable=True)
        case wire.Refusal.LIMIT:
            message = (
                f"the responder grants at most {most.count} packets, one every {most.interval * 1e3:g} ms, "
                f"of {most.size} B; asked were {wish.count}, one every {wish.interval * 1e3:g} ms, "
                f"of {wish.size} B"
            )
            remedy = N_("Ask for fewer, smaller or rarer packets.")
            return Failed("rejected", "login", "LIMIT", message, remedy=remedy)
