"""Who is there, for everybody to see: written in batches, never for a ping."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, update
from sqlalchemy.dialects import postgresql, sqlite

from ots.remote import control_wire as wire
from ots.server.control.gateway import Gateway
from ots.server.control.line import Line
from ots.server.control.steadily import steadily
from ots.server.database.control_tables import presence
from ots.server.database.tables import agent

if TYPE_CHECKING:
    from ots.server.services import Services

CHANGES = 0.5
"""Seconds between two batches of agents that came or went."""
FLUSH = 30.0
"""Seconds between two batches of `last_seen`."""

STALE = wire.DEAD * wire.PING * (1 + wire.JITTER)
"""Seconds after which an agent that was not heard of is not there, whatever the row says."""


class Presence:
    """One task that writes who came, who went, and when each was last heard."""

    def __init__(self, services: Services, gateway: Gateway) -> None:
        self._services = services
        self._gateway = gateway
        self._came: dict[str, Line] = {}
        self._went: dict[str, Line] = {}
        self._flushed = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        gateway.on_gone = self._gone

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="control presence")

    async def close(self) -> None:
        """Writes that everybody has gone."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for line in list(self._gateway.lines):
            self._gone(line)
        await steadily("the list of who is there", partial(self._write, []))

    def came(self, line: Line) -> None:
        self._came[line.agent_id] = line

    def _gone(self, line: Line) -> None:
        self._went[line.line_id] = line

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHANGES)
            due = time.monotonic() - self._flushed >= FLUSH
            if not (due or self._came or self._went):
                continue
            heard = list(self._gateway.lines) if due else []
            if await steadily("the list of who is there", partial(self._write, heard)) and due:
                self._flushed = time.monotonic()

    async def _write(self, heard: Iterable[Line]) -> None:
        wall, now = self._services.wall(), time.monotonic()
        came, went = dict(self._came), dict(self._went)
        seen = [(line.agent_id, wall - (now - line.heard)) for line in heard]
        async with self._services.control.bus.changing() as change:
            connection = change.connection
            change.tell(*(f"l:{line.agent_id}:{line.line_id}" for line in came.values()))
            insert: Any = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
            if came:
                placed = insert(presence)
                columns = ("line", "way", "since", "last_seen")
                await connection.execute(
                    placed.on_conflict_do_update(
                        index_elements=["agent_id"], set_={name: placed.excluded[name] for name in columns}
                    ),
                    [
                        {"agent_id": line.agent_id, "line": line.line_id, "way": line.way}
                        | {"since": wall, "last_seen": wall}
                        for line in sorted(came.values(), key=lambda one: one.agent_id)
                    ],
                )
            if went:
                of = presence.c.line == bindparam("of")
                await connection.execute(delete(presence).where(of), [{"of": line} for line in sorted(went)])
            if seen:
                heard_of = [{"of": agent_id, "moment": moment} for agent_id, moment in sorted(seen)]
                for table, column in ((presence, "last_seen"), (agent, "seen")):
                    await connection.execute(
                        update(table)
                        .where(table.c.agent_id == bindparam("of"))
                        .values({column: bindparam("moment")}),
                        heard_of,
                    )
        for agent_id, line in came.items():
            if self._came.get(agent_id) is line:
                del self._came[agent_id]
        for line_id in went:
            self._went.pop(line_id, None)
