"""A new key for a server, with its entry in the audit trail."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import select

from ots.remote.wire import KeyPurpose
from ots.server.database.database import Database
from ots.server.database.tables import server
from ots.server.identity import audit
from ots.server.key_ring import rotate


async def rotate_key(database: Database, folder: Path, purpose: KeyPurpose, now: float) -> str:
    """The new public key. Raises UnusableKey, OSError, DatabaseAway, DatabaseFull.

    The entry is written first: a key in use of which the trail knows nothing would be the worse half.
    """
    async with database.writing() as connection:
        server_id = (
            await connection.execute(select(server.c.value).where(server.c.name == "id"))
        ).scalar_one()
        await audit.note(connection, time=now, actor="command line", action="rotate", object=f"{purpose} key")
    return await asyncio.to_thread(rotate, folder, purpose, server_id, now)
