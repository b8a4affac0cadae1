"""The line to one agent, as this process holds it: a WebSocket, or the agent's polls."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import random
import time
import uuid
from typing import Literal

import msgspec
from aiohttp import WSCloseCode, web

from ots.remote import control_wire as wire

_MOST_UNREAD = 64
_SEND_PATIENCE = 10.0
_BURST, _RATE = 200.0, 20.0
"""Messages of one agent: at once, and each second."""

Way = Literal["websocket", "poll"]


class Line(abc.ABC):
    """What both kinds have in common. `sent` are the commands that went out on this line."""

    __slots__ = ("_left", "agent_id", "closed", "heard", "line_id", "opened", "sent")
    way: Way

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        self.line_id = uuid.uuid4().hex[:12]
        self.sent: set[str] | None = None
        self.closed = False
        self.heard = self.opened = time.monotonic()
        self._left = (_BURST, self.heard)

    def has_sent(self, command_id: str) -> bool:
        return self.sent is not None and command_id in self.sent

    def note_sent(self, command_id: str) -> None:
        self.sent = self.sent or set()
        self.sent.add(command_id)

    def hear(self) -> bool:
        """A message came; False if too many do."""
        now = time.monotonic()
        left = min(_BURST, self._left[0] + (now - self._left[1]) * _RATE)
        self.heard = now
        self._left = (max(0.0, left - 1), now)
        return left >= 1

    @abc.abstractmethod
    async def send(self, message: wire.FromServer) -> bool:
        """Whether it went out as far as this side can tell."""

    @abc.abstractmethod
    async def end(self, bye: wire.Bye) -> None:
        """Says goodbye and closes."""

    @abc.abstractmethod
    async def keep_alive(self, now: float) -> None:
        """Called every second: pings when it is time, closes what is dead."""


class SocketLine(Line):
    """A WebSocket. Pings come from this side; whatever the agent sends, a pong too, shows that it lives."""

    __slots__ = ("_next_ping", "_ping", "_socket", "_transport")
    way: Way = "websocket"

    def __init__(
        self, agent_id: str, socket: web.WebSocketResponse, transport: asyncio.Transport | None, ping: float
    ) -> None:
        super().__init__(agent_id)
        self._socket = socket
        self._transport = transport
        self._ping = ping
        self._next_ping = self.opened + self._interval()

    async def send(self, message: wire.FromServer) -> bool:
        try:
            async with asyncio.timeout(_SEND_PATIENCE):
                await self._socket.send_str(msgspec.json.encode(message).decode())
        except (TimeoutError, ConnectionError, RuntimeError):
            return False
        return True

    async def end(self, bye: wire.Bye) -> None:
        if self.closed:
            return
        self.closed = True
        await self.send(bye)
        code = WSCloseCode.POLICY_VIOLATION if bye.reason == "protocol" else WSCloseCode.GOING_AWAY
        with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
            async with asyncio.timeout(_SEND_PATIENCE):
                await self._socket.close(code=code)

    async def keep_alive(self, now: float) -> None:
        if now - self.heard > wire.DEAD * self._ping:
            self.closed = True
            if self._transport is not None:
                self._transport.abort()  # nobody answers any more, so nobody is waited for
        elif now >= self._next_ping:
            self._next_ping = now + self._interval()
            with contextlib.suppress(ConnectionError, RuntimeError):
                await self._socket.ping()

    def _interval(self) -> float:
        return self._ping * random.uniform(1 - wire.JITTER, 1 + wire.JITTER)


class PollLine(Line):
    """Polls of one agent: messages wait until it asks. It is dead when it has not asked for a while."""

    __slots__ = ("_news", "_waiting")
    way: Way = "poll"

    def __init__(self, agent_id: str) -> None:
        super().__init__(agent_id)
        self._waiting: list[wire.FromServer] = []
        self._news = asyncio.Event()

    async def send(self, message: wire.FromServer) -> bool:
        if self.closed or len(self._waiting) >= _MOST_UNREAD:
            return False
        self._waiting.append(message)
        self._news.set()
        return True

    async def take(self, patience: float) -> list[wire.FromServer]:
        """What waits; if nothing does, what comes within `patience` seconds."""
        self.heard = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._news.wait()
        self.heard = time.monotonic()
        taken, self._waiting = self._waiting, []
        if not self.closed:
            self._news.clear()
        return taken

    async def end(self, bye: wire.Bye) -> None:
        if not self.closed:
            self._waiting.append(bye)
            self.closed = True
            self._news.set()

    async def keep_alive(self, now: float) -> None:
        if now - self.heard > wire.DEAD * wire.POLL:
            self.closed = True
