"""Word between the processes of one server that something has changed: topics, never what has changed.

On PostgreSQL a topic travels with the commit (NOTIFY) to every process, this one among them; on SQLite there
is only this process. A lost notification is made up for by whoever looks again after RESCAN seconds.

    c:AGENT        there is a command for this agent
    l:AGENT:LINE   this agent has a new line; older ones are to be closed
    x:AGENT        this agent's status has changed
    r:RUN          there is news of this group run
    k:COMMAND      there is news of this command
    h:WHAT         agents are to be hinted at something new
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.database.database import Database, DatabaseAway

CHANNEL = "ots_control"
RESCAN = 15.0
_AGAIN = 2.0
_LONGEST = 200

log = logging.getLogger("ots.server")


class Change:
    """A transaction, and what is to be told when it is committed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.topics: dict[str, None] = {}

    def tell(self, *topics: str) -> None:
        self.topics.update(dict.fromkeys(topics))


class Bus:
    """One for each process. `start` and `close` run its one task, which PostgreSQL needs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Callable[[str], None]] = []
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self.on_reconnect: Callable[[], None] = lambda: None

    def start(self) -> None:
        if self._database.dialect == "postgresql":
            self._task = asyncio.create_task(self._listen(), name="control bus")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Calls it with every topic, in the event loop; it must return at once."""
        self._listeners.append(listener)

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[Change]:
        """A transaction whose topics are told once it is committed. Raises DatabaseAway, DatabaseFull."""
        async with self._database.writing() as connection:
            change = Change(connection)
            yield change
            if change.topics and self._database.dialect == "postgresql":
                await connection.execute(
                    text("SELECT pg_notify(:channel, topic) FROM unnest(CAST(:topics AS text[])) AS topic"),
                    {"channel": CHANNEL, "topics": list(change.topics)},
                )
        for topic in change.topics:
            self.hear(topic)

    def hear(self, topic: str) -> None:
        """Hands a topic to whoever listens here."""
        for listener in self._listeners:
            listener(topic)
        for event in self._waiting.get(topic, ()):
            event.set()

    @contextlib.contextmanager
    def expecting(self, *topics: str) -> Any:
        """An event that is set whenever one of the topics is told."""
        event = asyncio.Event()
        for topic in topics:
            self._waiting.setdefault(topic, set()).add(event)
        try:
            yield event
        finally:
            for topic in topics:
                self._waiting[topic].discard(event)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    async def _listen(self) -> None:
        while True:
            try:
                async with self._database.listening(CHANNEL, self._notified) as gone:
                    self.on_reconnect()
                    await gone.wait()
            except DatabaseAway as error:
                log.warning("commands of other processes come late: %s", error)
            await asyncio.sleep(_AGAIN)

    def _notified(self, topic: str) -> None:
        if len(topic) <= _LONGEST:
            self.hear(topic)
