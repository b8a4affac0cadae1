"""The connections of a page load: a few to each origin, kept alive, the one idle for longest closed first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from yarl import URL

from ots.netio.http.client import Client
from ots.netio.http.dialer import Way

CONNECTIONS = 24
"""All connections of a page load together, busy and idle ones."""

Origin = tuple[str, str, int]


@dataclass(eq=False)
class Line:
    """One connection, and the stamps of its latest request. It dials anew when the peer has closed it.

    `spoiled`: something is left on it that nobody wants, so it can't be used again.
    """

    number: int
    origin: Origin
    client: Client
    stamps: dict[str, float] = field(default_factory=dict)
    known_dials: int = 0
    spoiled: bool = False


class Lines:
    """At most `per_host` connections to one origin and `CONNECTIONS` in all.

    While `marking` is set, trigger points of a line are also those of the attempt.
    """

    def __init__(self, way: Way, per_host: int) -> None:
        self.marking = True
        self._way = way
        self._per_host = per_host
        self._gate = asyncio.Semaphore(CONNECTIONS)
        self._gates: dict[Origin, asyncio.Semaphore] = {}
        self._made_so_far = 0
        self._idle: list[Line] = []
        self._open: set[Line] = set()

    @contextlib.asynccontextmanager
    async def to(self, url: URL) -> AsyncIterator[Line]:
        """A connection to the URL's origin, waited for if need be, and closed if something fails on it."""
        origin = (url.scheme, url.host or "", url.port or 0)
        gate = self._gates.setdefault(origin, asyncio.Semaphore(self._per_host))
        async with gate, self._gate:
            line = await self._take(origin)
            try:
                yield line
            except BaseException:
                await self._end(line)
                raise
            if line.spoiled:
                await self._end(line)
            else:
                self._idle.append(line)

    async def close(self) -> None:
        """Ends all of them."""
        for line in list(self._open):
            await self._end(line)

    async def _take(self, origin: Origin) -> Line:
        for position in range(len(self._idle) - 1, -1, -1):
            if self._idle[position].origin == origin:
                return self._idle.pop(position)
        while len(self._open) >= CONNECTIONS and self._idle:
            await self._end(self._idle.pop(0))
        return self._made(origin)

    def _made(self, origin: Origin) -> Line:
        stamps: dict[str, float] = {}

        def mark(trigger: str, *, t: float | None = None, source: str = "app") -> None:
            stamps[trigger] = self._way.clock.monotonic() if t is None else t
            if self.marking:
                self._way.mark(trigger, t=t, source=source)

        self._made_so_far += 1
        line = Line(self._made_so_far, origin, Client(replace(self._way, mark=mark)), stamps)
        self._open.add(line)
        return line

    async def _end(self, line: Line) -> None:
        self._open.discard(line)
        await line.client.close()
