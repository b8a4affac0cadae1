"""Looks for commands that have run out of time: nobody took them, or nobody says how they ended."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import select

from ots.server.control.bus import Bus
from ots.server.control.states import State, move
from ots.server.control.steadily import steadily
from ots.server.database.control_tables import command

if TYPE_CHECKING:
    from ots.server.services import Services

EVERY = 2.0
_ACK_PATIENCE = 5.0
"""Seconds beyond its end in which an agent may still say that it had taken a delivered command."""
_AT_ONCE = 500


class Keeping:
    """One task in each process; what two of them find at once, one of them moves."""

    def __init__(self, services: Services, bus: Bus) -> None:
        self._services = services
        self._bus = bus
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="control keeping")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await steadily("the look for late commands", self._look)

    async def _look(self) -> None:
        now = self._services.wall()
        unsettled = select(command.c.command_id, command.c.run_id, command.c.state).where(
            command.c.open.is_(True)
        )
        late = (
            ((command.c.state == "queued") & (command.c.not_after <= now))
            | ((command.c.state == "delivered") & (command.c.not_after <= now - _ACK_PATIENCE))
            | (command.c.state.in_(("accepted", "started")) & (command.c.lost_after <= now))
        )
        async with self._services.database.reading() as connection:
            rows = (await connection.execute(unsettled.where(late).limit(_AT_ONCE))).all()
        if not rows:
            return
        async with self._bus.changing() as change:
            for row in rows:
                after: State = "expired" if row.state in ("queued", "delivered") else "lost"
                if await move(change.connection, row.command_id, after, now=now, by="server"):
                    change.tell(f"k:{row.command_id}", *([f"r:{row.run_id}"] if row.run_id else []))
