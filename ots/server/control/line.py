"""The line to one agent, as this process holds it: a WebSocket (socket_line.py), or the agent's polls."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from typing import Literal

from ots.remote import control_wire as wire
from ots.session.identity import uuid7

_MOST_UNREAD = 64
_BURST, _RATE = 200.0, 20.0
"""Messages of one agent: at once, and each second."""

Way = Literal["websocket", "poll"]


class Line(abc.ABC):
    """What both kinds have in common. A younger line has a greater `line_id`; `sent` are the commands that
    went out on this line; `greeted` is whether the agent has said hello on it."""

    __slots__ = ("_left", "agent_id", "closed", "greeted", "heard", "line_id", "opened", "sent")
    way: Way

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        self.line_id = uuid7(time.time())
        self.sent: set[str] | None = None
        self.closed = self.greeted = False
        self.heard = self.opened = time.monotonic()
        self._left = _BURST

    def has_sent(self, command_id: str) -> bool:
        return self.sent is not None and command_id in self.sent

    def note_sent(self, command_id: str) -> None:
        self.sent = self.sent or set()
        self.sent.add(command_id)

    def hear(self) -> bool:
        """A message came; False if too many do."""
        self._notice()
        fair = self._left >= 1
        self._left = max(0.0, self._left - 1)
        return fair

    def _notice(self) -> None:
        """The agent lives."""
        now = time.monotonic()
        self._left = min(_BURST, self._left + (now - self.heard) * _RATE)
        self.heard = now

    @property
    @abc.abstractmethod
    def gone(self) -> bool:
        """Whether nothing is left of it, not even a goodbye on its way."""

    @abc.abstractmethod
    def say(self, message: wire.FromServer) -> bool:
        """Puts a message on its way; whether it goes out as far as this side can tell."""

    async def send(self, message: wire.FromServer) -> bool:
        """The same once there is room, for whoever may have much to say."""
        return self.say(message)

    @abc.abstractmethod
    def end(self, bye: wire.Bye) -> None:
        """Says goodbye and closes; nothing more comes of this line."""

    @abc.abstractmethod
    def keep_alive(self, now: float) -> None:
        """Called every second: pings when it is time, closes what is dead."""


class PollLine(Line):
    """Polls of one agent: messages wait until it asks. It is dead when it has not asked for a while."""

    __slots__ = ("_news", "_waiting")
    way: Way = "poll"

    def __init__(self, agent_id: str) -> None:
        super().__init__(agent_id)
        self._waiting: list[wire.FromServer] = []
        self._news = asyncio.Event()

    @property
    def gone(self) -> bool:
        return self.closed

    def say(self, message: wire.FromServer) -> bool:
        if self.closed or len(self._waiting) >= _MOST_UNREAD:
            return False
        self._waiting.append(message)
        self._news.set()
        return True

    async def take(self, patience: float) -> list[wire.FromServer]:
        """What waits; if nothing does, what comes within `patience` seconds."""
        self._notice()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._news.wait()
        self._notice()
        taken, self._waiting = self._waiting, []
        if not self.closed:
            self._news.clear()
        return taken

    def end(self, bye: wire.Bye) -> None:
        if not self.closed:
            self._waiting.append(bye)
            self.closed = True
            self._news.set()

    def keep_alive(self, now: float) -> None:
        if now - self.heard > wire.DEAD * wire.POLL:
            self.closed = True
