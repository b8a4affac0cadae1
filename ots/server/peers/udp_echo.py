"""The echo responder: the peer of `udp_echo`, on one UDP socket.

It answers nobody who has not shown that its address is its own, never with more bytes than it got, and each
request once. With a shared key it serves only who has it. Requests carry the kernel's receive stamp, so that
the time that this busy process kept them can be taken off.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from itertools import islice

from ots.clock import SystemClock, wall_offset
from ots.netio.stamps import Placement
from ots.netio.udp_echo import wire
from ots.netio.udp_echo.clocks import identity, wall_clock_error
from ots.netio.udp_echo.stamped import Datagram, StampedSocket
from ots.server.peers.echo_sessions import Bucket, Limits, Session, Sessions
from ots.server.peers.peer import Peer

_READ_AT_ONCE = 256
"""Packets read in a row, so that a flood leaves the other peers of this process their turn."""

_LONGEST_HELD = 60.0
_BUSY_WAIT = 5


async def start(host: str, port: int = 0, *, key: str | None = None, limits: Limits | None = None) -> Peer:
    """Listens on UDP host:port (0: any free one). OSError if it can't."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    responder = Responder(sock, limits or Limits(), key.encode() if key else None)
    loop = asyncio.get_running_loop()
    loop.add_reader(sock, responder.read)

    async def close() -> None:
        loop.remove_reader(sock)
        sock.close()

    return Peer("udp_echo", host, int(sock.getsockname()[1]), close)


class Responder:
    """Reads packets and answers those that deserve it."""

    def __init__(self, sock: socket.socket, limits: Limits, shared: bytes | None) -> None:
        self._socket = StampedSocket(sock)
        self._socket.ask_for_destination()
        self._clock = SystemClock()
        self._placement = Placement(self._clock)
        now = self._clock.monotonic()
        self._packets = Bucket(limits.packets, limits.packets, now)
        self.sessions = Sessions(limits, shared, now)

    def read(self) -> None:
        """Answers what waits, a share of it."""
        now = self._placement.renew()
        for datagram in islice(self._socket.receive(), _READ_AT_ONCE):
            if self._packets.admit(now):
                with suppress(wire.Malformed):
                    self._take(datagram)

    def _take(self, datagram: Datagram) -> None:
        now = self._clock.monotonic()
        packet = wire.read(datagram.data, None)
        address = (str(datagram.source[0]), int(datagram.source[1]))
        if packet.type is wire.Type.HELLO:
            if self.sessions.admits_handshake(now):
                nonce = wire.nonce_of(packet.body)
                self._answer(datagram, wire.challenge(nonce, self.sessions.cookie(address, nonce, now)))
            return
        if packet.type is wire.Type.OPEN:
            if self.sessions.admits_handshake(now):
                self._open(datagram, address, wire.Opening.of(packet.body), now)
            return
        session = self.sessions.find(address, packet.token)
        if session is None:
            return
        if session.key is not None:
            packet = wire.read(datagram.data, session.key)
        if packet.authentic:
            self._serve(datagram, packet, session, now)

    def _open(self, datagram: Datagram, address: tuple[str, int], opening: wire.Opening, now: float) -> None:
        found = self.sessions.open(address, opening, datagram.data, now)
        if isinstance(found, Session):
            clock = identity(opening.nonce), wall_offset(self._clock), wall_clock_error()
            acceptance = wire.Acceptance(opening.nonce, *clock)
            self._answer(datagram, acceptance.write(found.token, found.key))
        elif found is not None:
            refused = wire.Refused(opening.nonce, found, self.sessions.limits.most, _BUSY_WAIT)
            self._answer(datagram, refused.write(None))

    def _serve(self, datagram: Datagram, packet: wire.Packet, session: Session, now: float) -> None:
        match packet.type:
            case wire.Type.ECHO:
                if packet.size == session.wish.size:
                    self._echo(datagram, wire.Echo.of(packet.body).sequence, session, now)
            case wire.Type.REPORT:
                report = session.report(wire.first_asked(packet.body))
                session.last = now
                self._answer(datagram, report.write(session.token, session.key))
            case wire.Type.CLOSE:
                self.sessions.close(session)
                self._answer(datagram, wire.write(wire.Type.CLOSED, session.token, b"", session.key))

    def _echo(self, datagram: Datagram, sequence: int, session: Session, now: float) -> None:
        if not session.arrived(sequence, now):
            return
        filling = wire.filling_of(memoryview(datagram.data)[wire.FRAME_BYTES :])
        window = session.window(sequence)
        placed = self._placement.place(datagram.stamp, now - _LONGEST_HELD, now)
        came = now if placed is None else min(placed, now)
        held = self._clock.monotonic() - came
        echo = wire.Echo(sequence, session.received, window, int(came * 1e9), int(held * 1e9))
        self._answer(datagram, echo.write(wire.Type.REPLY, session.token, filling, session.key))

    def _answer(self, datagram: Datagram, reply: bytes) -> None:
        """The one place where anything is sent: never more than came in. A full buffer loses it, as a network
        would."""
        if len(reply) <= len(datagram.data):
            with suppress(OSError):
                self._socket.answer(datagram, reply)
