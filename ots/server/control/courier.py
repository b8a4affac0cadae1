"""Takes commands from the database to the lines of this process, for many agents in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ots.remote import control_wire as wire
from ots.server.control.bus import RESCAN, Bus
from ots.server.control.gateway import Gateway
from ots.server.control.states import move_all
from ots.server.control.steadily import steadily
from ots.server.database.control_tables import command

if TYPE_CHECKING:
    from ots.server.services import Services

_AT_ONCE = 500
_PAUSE = 1.0


class Courier:
    """One task. An agent is looked after when it connects, when the bus says so, and every RESCAN seconds."""

    def __init__(self, services: Services, bus: Bus, gateway: Gateway) -> None:
        self._services = services
        self._bus = bus
        self._gateway = gateway
        self._due: dict[str, None] = {}
        self._all = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        bus.subscribe(self._told)
        bus.on_reconnect = self.look_everywhere

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="control courier")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def look_after(self, agent_id: str) -> None:
        """There may be commands for this agent."""
        self._due[agent_id] = None
        self._wake.set()

    def look_everywhere(self) -> None:
        self._all = True
        self._wake.set()

    def _told(self, topic: str) -> None:
        kind, _, agent_id = topic.partition(":")
        if kind == "c" and self._gateway.line_of(agent_id) is not None:
            self.look_after(agent_id)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RESCAN):
                    await self._wake.wait()
            except TimeoutError:
                self._all = True
            self._wake.clear()
            if not await steadily("the courier of commands", self._round):
                self._all = True
                await asyncio.sleep(_PAUSE)
                self._wake.set()

    async def _round(self) -> None:
        if self._all:
            self._all = False
            await self._find()
        while self._due:
            agents = list(self._due)[:_AT_ONCE]
            for agent_id in agents:
                del self._due[agent_id]
            await self._deliver([one for one in agents if self._gateway.line_of(one) is not None])

    async def _find(self) -> None:
        async with self._services.database.reading() as connection:
            found = await connection.execute(
                select(command.c.agent_id)
                .where(command.c.open.is_(True), command.c.state.in_(("queued", "delivered")))
                .distinct()
            )
            for agent_id in found.scalars():
                if self._gateway.line_of(agent_id) is not None:
                    self._due[agent_id] = None

    async def _deliver(self, agents: Sequence[str]) -> None:
        """Sends what has not gone out on the present line; marked before it is sent."""
        if not agents:
            return
        now = self._services.wall()
        async with self._services.database.reading() as connection:
            rows = (
                await connection.execute(
                    select(
                        command.c.command_id,
                        command.c.agent_id,
                        command.c.run_id,
                        command.c.state,
                        command.c.text,
                    )
                    .where(
                        command.c.agent_id.in_(agents),
                        command.c.open.is_(True),
                        command.c.state.in_(("queued", "delivered")),
                        command.c.not_after > now,
                    )
                    .order_by(command.c.seq)
                )
            ).all()
        fresh = [row for row in rows if not self._is_out(row)]
        if not fresh:
            return
        async with self._bus.changing() as change:
            queued = [row.command_id for row in fresh if row.state == "queued"]
            for row in await move_all(change.connection, queued, "delivered", now=now, by="server"):
                change.tell(f"k:{row.command_id}", *([f"r:{row.run_id}"] if row.run_id else []))
        for row in fresh:
            line = self._gateway.line_of(row.agent_id)
            if line is not None and not self._is_out(row):
                line.note_sent(row.command_id)
                if not await line.send(wire.Deliver(command=row.text)) and line.sent is not None:
                    line.sent.discard(row.command_id)

    def _is_out(self, row: Any) -> bool:
        line = self._gateway.line_of(row.agent_id)
        return line is None or line.has_sent(row.command_id)
