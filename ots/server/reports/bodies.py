"""Taking the bytes of reports away: hashes and signatures stay, so that what was there can be proven."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.database.tables import artifact, report, report_artifact, revision


async def take_bodies(connection: AsyncConnection, rows: Sequence[Any], now: float) -> None:
    """Takes the bytes of all revisions of these rows of `report`, the words to find them by, and the files
    that no other report names. The rows stay: what an agent sends again does not come back.
    """
    await connection.execute(update(revision).where(_of(revision, rows)).values(body=None))
    await connection.execute(
        update(report)
        .where(report.c.id.in_([row.id for row in rows]))
        .values(words="", targets="", job=None, removed=now)
    )
    named = _of(report_artifact, rows)
    files = set((await connection.execute(select(report_artifact.c.sha256).where(named))).scalars())
    await connection.execute(delete(report_artifact).where(named))
    # Whoever is being told that a file is here holds it until they have been: intake looks with FOR SHARE.
    await connection.execute(select(artifact.c.sha256).where(artifact.c.sha256.in_(files)).with_for_update())
    still = select(report_artifact.c.sha256).where(report_artifact.c.sha256.in_(files))
    files -= set((await connection.execute(still)).scalars())
    await connection.execute(delete(artifact).where(artifact.c.sha256.in_(files)))


def _of(table: Any, rows: Sequence[Any]) -> Any:
    return or_(*(and_(table.c.agent_id == row.agent_id, table.c.report_id == row.report_id) for row in rows))
