"""Licences as the server keeps them: issued, renewed, withdrawn, handed to their agents."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.database.tables import licence
from ots.server.services import Services


async def licence_text(services: Services, connection: AsyncConnection, agent_row: Any) -> str | None:
    """The licence in force for an agent: the newest of its own or of its project; None if there is none."""
    return (
        await connection.execute(
            select(licence.c.text)
            .where(
                (licence.c.agent_id == agent_row.agent_id)
                | (licence.c.project_id == agent_row.project_id) & licence.c.agent_id.is_(None),
                licence.c.revoked.is_(None),
            )
            .order_by(licence.c.serial.desc())
            .limit(1)
        )
    ).scalar()
