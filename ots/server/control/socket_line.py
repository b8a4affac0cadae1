"""A line that is a WebSocket (RFC 6455): frames on a connection, with neither a task nor a request behind it.

The opening handshake and the frames are those of `websockets`' layer without I/O.
"""

from __future__ import annotations

import asyncio
import random

import msgspec
from aiohttp import web
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.server import ServerProtocol

from ots.remote import control_wire as wire
from ots.server.api.problems import Refused
from ots.server.control.line import Line, Way
from ots.server.control.reception import Reception

_FIRST_WORD = 15.0
_GOODBYE = 5.0
"""Seconds that an agent has to answer a goodbye."""
_SEND_PATIENCE = 10.0
_MOST_UNSENT = 64 << 10
_SLICE = 4 << 10
"""Bytes that are looked through before it is asked whether the agent says too much."""

_SAYS_NONSENSE = wire.Bye(after=60.0, reason="protocol")


def accept(request: web.Request) -> bytes:
    """The answer that makes the request's connection a WebSocket. Raises Refused."""
    headers = Headers(list(request.headers.items()))
    answer = ServerProtocol().accept(Request(request.path, headers, method=request.method))
    if answer.status_code != 101:
        raise Refused("invalid-request", bytes(answer.body).decode().strip())
    return answer.serialize()


class SocketLine(Line, asyncio.Protocol):
    """Pings come from this side, every `ping` seconds; whatever the agent sends, a pong too, shows that it
    lives. A connection is its own from `connection_made` on, after the handshake.
    """

    __slots__ = ("_cut", "_frames", "_next_ping", "_pieces", "_ping", "_reception", "_room", "_transport")
    way: Way = "websocket"

    def __init__(self, agent_id: str, ping: float, reception: Reception) -> None:
        super().__init__(agent_id)
        self._reception = reception
        self._frames = Protocol(SERVER, state=OPEN, max_size=wire.MAX_FRAME)
        self._transport: asyncio.Transport | None = None
        self._ping = ping
        self._next_ping = self.opened + self._interval()
        self._pieces: bytearray | None = None
        self._room: asyncio.Event | None = None
        self._cut: asyncio.TimerHandle | None = None

    @property
    def gone(self) -> bool:
        return self._transport is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._transport = None
        if self._cut is not None:
            self._cut.cancel()
        self.resume_writing()
        self._reception.gone(self)

    def pause_writing(self) -> None:
        self._room = asyncio.Event()

    def resume_writing(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE):
            self._frames.receive_data(data[start : start + _SLICE])
            for event in self._frames.events_received():
                assert isinstance(event, Frame)
                self._take(event)
            self._flush()
            if self._frames.parser_exc is not None:
                self._fail()

    def say(self, message: wire.FromServer) -> bool:
        if self.closed or self._transport is None or self._transport.is_closing():
            return False
        self._frames.send_text(msgspec.json.encode(message))
        self._flush()
        return True

    async def send(self, message: wire.FromServer) -> bool:
        if self._room is not None and self._unsent() > _MOST_UNSENT:
            try:
                async with asyncio.timeout(_SEND_PATIENCE):
                    await self._room.wait()
            except TimeoutError:
                return False
        return self.say(message)

    def end(self, bye: wire.Bye) -> None:
        if self.closed:
            return
        self.say(bye)
        self._close(CloseCode.POLICY_VIOLATION if bye.reason == "protocol" else CloseCode.GOING_AWAY)

    def keep_alive(self, now: float) -> None:
        if self.closed or self._transport is None:
            return
        if not self.greeted:
            if now - self.opened > _FIRST_WORD:
                self.end(_SAYS_NONSENSE)
        elif now - self.heard > wire.DEAD * self._ping:
            self.closed = True
            self._transport.abort()  # nobody answers any more, so nobody is waited for
        elif now >= self._next_ping:
            self._next_ping = now + self._interval()
            self._frames.send_ping(b"")
            self._flush()

    def _take(self, frame: Frame) -> None:
        """One frame; pings have been answered already."""
        fair = self.hear()
        if frame.opcode is Opcode.CLOSE:
            self.closed = True
            if self._transport is not None:
                self._flush()
                self._transport.close()
        elif self.closed or frame.opcode is Opcode.PONG:
            pass
        elif not fair or frame.opcode is Opcode.BINARY:
            self.end(_SAYS_NONSENSE)
        elif frame.opcode is not Opcode.PING:
            self._put_together(frame)

    def _put_together(self, frame: Frame) -> None:
        """A text, or a piece of one that comes in several."""
        if frame.fin and self._pieces is None:
            self._hear_text(bytes(frame.data))
            return
        self._pieces = self._pieces or bytearray()
        self._pieces += frame.data
        if frame.fin:
            whole, self._pieces = bytes(self._pieces), None
            self._hear_text(whole)

    def _hear_text(self, text: bytes) -> None:
        try:
            said = msgspec.json.decode(text.decode(), type=wire.FromAgent)
        except UnicodeDecodeError:
            self._close(CloseCode.INVALID_DATA)
        except (msgspec.MsgspecError, RecursionError):
            self.end(_SAYS_NONSENSE)
        else:
            if not self._reception.hear(self, said):
                self.end(_SAYS_NONSENSE)

    def _close(self, code: CloseCode) -> None:
        self.closed = True
        self._frames.send_close(code)
        self._flush()
        self._cut_soon()

    def _fail(self) -> None:
        """What came was no WebSocket's; the close frame is out, and nothing more is read."""
        self.closed = True
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()
        self._cut_soon()

    def _cut_soon(self) -> None:
        if self._transport is not None and self._cut is None:
            self._cut = asyncio.get_running_loop().call_later(_GOODBYE, self._transport.abort)

    def _flush(self) -> None:
        out = b"".join(self._frames.data_to_send())
        if out and self._transport is not None:
            self._transport.write(out)

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _interval(self) -> float:
        return self._ping * random.uniform(1 - wire.JITTER, 1 + wire.JITTER)
