"""Retention: the bytes of a report go when its licence's time is over, or a cap's; its hashes stay.

Every process of a server does this now and then; one at a time works, and the others find nothing left.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import and_, case, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.license.tiers import DAY, LIMITS
from ots.server.database.database import Database, alone
from ots.server.database.tables import report, revision
from ots.server.identity import audit
from ots.server.reports.bodies import take_bodies

_AT_ONCE = 200
"""Reports in one transaction, so that uploads don't wait for long."""

_LOCK = 0x07_5059
"""The PostgreSQL advisory lock of whoever is at it."""


class Retention:
    """`cap` is the longest time in seconds that any report is kept; None leaves it to the licences."""

    def __init__(self, database: Database, wall: Callable[[], float], cap: float | None = None) -> None:
        self._database = database
        self._wall = wall
        self._cap = cap

    async def once(self) -> int:
        """Takes the bytes of every report whose time is over; how many reports that were.

        Raises DatabaseAway, DatabaseFull.
        """
        await self._date_older_ones()
        taken = 0
        while True:
            async with self._database.writing() as connection:
                count = await self._some(connection)
            taken += count or 0
            if not count:
                return taken

    async def _some(self, connection: AsyncConnection) -> int | None:
        """Those of one transaction; None where another process is at it."""
        if not await alone(connection, _LOCK):
            return None
        now = self._wall()
        over = report.c.keep_until <= now
        if self._cap is not None:
            over = or_(over, report.c.received <= now - self._cap)
        unacknowledged = exists().where(
            and_(
                revision.c.agent_id == report.c.agent_id,
                revision.c.report_id == report.c.report_id,
                revision.c.receipt.is_(None),
            )
        )
        rows = (
            await connection.execute(
                select(report.c.id, report.c.agent_id, report.c.report_id)
                .where(report.c.removed.is_(None), over, ~unacknowledged)
                .limit(_AT_ONCE)
            )
        ).all()
        if rows:
            await take_bodies(connection, rows, now)
            numbers = [row.id for row in rows]
            await audit.note(
                connection,
                time=now,
                actor="server",
                action="retention",
                object="reports",
                detail={"reports": len(rows), "first": min(numbers), "last": max(numbers), "cap": self._cap},
            )
        return len(rows)

    async def _date_older_ones(self) -> None:
        """Gives reports that came before there was retention the time of the tier that they came under."""
        days = LIMITS["retention_days"].values
        by_tier = case(
            *((report.c.tier == tier, value) for tier, value in days.items()), else_=days["default"]
        )
        undated = report.c.keep_until.is_(None), report.c.removed.is_(None)
        async with self._database.reading() as connection:
            if (await connection.execute(select(report.c.id).where(*undated).limit(1))).first() is None:
                return
        async with self._database.writing() as connection:
            await connection.execute(
                update(report).where(*undated).values(keep_until=report.c.received + by_tier * DAY)
            )
