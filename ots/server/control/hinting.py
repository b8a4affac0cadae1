"""Hints to all agents on a line that something has changed which is worth asking for."""

from __future__ import annotations

import asyncio
from typing import Literal, get_args

from ots.remote import control_wire as wire
from ots.server.control.bus import Bus
from ots.server.control.gateway import Gateway

What = Literal["sync", "licence", "assignments"]
_KINDS: tuple[What, ...] = get_args(What)
_SLICE = 50
_PAUSE = 0.05


def topic(what: What) -> str:
    """What is told on the bus so that every process hints."""
    return f"h:{what}"


class Hinting:
    """Hints go out in slices, so that thousands of lines hold nobody up; of the same one twice is once."""

    def __init__(self, bus: Bus, gateway: Gateway) -> None:
        self._gateway = gateway
        self._due: dict[What, None] = {}
        self._task: asyncio.Task[None] | None = None
        bus.subscribe(self._told)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _told(self, told: str) -> None:
        for what in _KINDS:
            if told == topic(what):
                self._due[what] = None
                if self._task is None or self._task.done():
                    self._task = asyncio.create_task(self._hint(), name="control hints")

    async def _hint(self) -> None:
        while self._due:
            what = next(iter(self._due))
            del self._due[what]
            for number, line in enumerate(list(self._gateway.lines), 1):
                if not line.closed:
                    await line.send(wire.Hint(what=what))
                if number % _SLICE == 0:
                    await asyncio.sleep(_PAUSE)
