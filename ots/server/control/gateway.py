"""The lines of this process: who is connected, and the one that is in use where there are several."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ots.clock import rfc3339
from ots.remote import control_wire as wire
from ots.server.api.problems import Refused
from ots.server.control.bus import Bus
from ots.server.control.line import Line

if TYPE_CHECKING:
    from ots.server.services import Services

log = logging.getLogger("ots.server")

_TICK = 1.0
_RETURN = 30.0
_REPLACED = 60.0
_SOONEST, _LATEST = 5.0, 300.0
"""Seconds within which whoever is turned away is to come again."""


class Admission:
    """How many agents may come onto a line each second: fewer at first, since after a start all want to.

    Who is turned away hears of a moment of its own, one behind the other at the rate of the admission.
    """

    def __init__(self, rate: float = 50.0, first_rate: float = 10.0, ramp: float = 30.0) -> None:
        self._rate, self._first, self._ramp = rate, first_rate, ramp
        self._begun = self._then = time.monotonic()
        self._left = first_rate
        self._promised = 0.0

    def admit(self) -> None:
        """Takes one in. Raises Refused `overloaded` before anything was spent on it."""
        now = time.monotonic()
        rate = self._rate_at(now)
        self._left = min(rate, self._left + (now - self._then) * rate)
        self._then = now
        if self._left < 1:
            moment = max(self._promised, now + _SOONEST)
            self._promised = min(moment + 1 / self._rate_at(moment), now + _LATEST)
            raise Refused("overloaded", retry_after=moment - now)
        self._left -= 1

    def _rate_at(self, moment: float) -> float:
        return self._rate if moment - self._begun >= self._ramp else self._first


class Gateway:
    """Lines by agent. The newest line of an agent is its line; older ones are closed, in every process."""

    def __init__(self, services: Services, bus: Bus) -> None:
        self._services = services
        self._bus = bus
        self._lines: dict[str, Line] = {}
        self._held: set[Line] = set()
        self._empty = asyncio.Event()
        self._heart: asyncio.Task[None] | None = None
        self.ping = wire.PING
        self.first_wait = _RETURN
        self.admission = Admission()
        self.on_gone: Callable[[Line], None] = lambda _line: None
        bus.subscribe(self._told)

    def start(self) -> None:
        self._heart = asyncio.create_task(self._beat(), name="control heart")

    async def close(self) -> None:
        """Sends everybody away, to come back spread over a while."""
        if self._heart is not None:
            self._heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._heart
        self._empty.clear()
        for line in list(self._held):
            self._end(line, wire.Bye(after=min(1.0, self.first_wait), reason="closing"))
        if self._held:
            await self._empty.wait()

    def line_of(self, agent_id: str) -> Line | None:
        line = self._lines.get(agent_id)
        return None if line is None or line.closed else line

    @property
    def lines(self) -> Iterable[Line]:
        return self._lines.values()

    def hold(self, line: Line) -> None:
        """Looks after a line from now on, though it may not be in use yet."""
        self._held.add(line)

    def open(self, line: Line) -> None:
        """Puts a line into use and greets the agent."""
        older = self._lines.get(line.agent_id)
        self._lines[line.agent_id] = line
        self.hold(line)
        if older is not None:
            self._end(older, wire.Bye(after=_REPLACED, reason="replaced"))
        line.greeted = True
        line.say(
            wire.Welcome(
                server_id=self._services.server_id,
                time=rfc3339(self._services.wall()),
                ping=self.ping,
                first_wait=self.first_wait,
            )
        )

    def drop(self, line: Line) -> None:
        """Forgets a line of which nothing is left; in use may be another of its agent."""
        if self._lines.get(line.agent_id) is line:
            del self._lines[line.agent_id]
        if line in self._held:
            self._held.discard(line)
            if line.greeted:
                self.on_gone(line)
        if not self._held:
            self._empty.set()

    def _told(self, topic: str) -> None:
        kind, _, rest = topic.partition(":")
        if kind == "x":
            self._services.agents.forget(rest)
            line = self._lines.get(rest)
            if line is not None:
                self._end(line, wire.Bye(after=300.0, reason="state"))
        elif kind == "l":
            agent_id, _, line_id = rest.partition(":")
            line = self._lines.get(agent_id)
            if line is not None and line.line_id < line_id:
                self._end(line, wire.Bye(after=_REPLACED, reason="replaced"))

    def _end(self, line: Line, bye: wire.Bye) -> None:
        line.end(bye)
        if line.gone:
            self.drop(line)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            for line in list(self._held):
                line.keep_alive(now)
                if line.gone:
                    self.drop(line)
