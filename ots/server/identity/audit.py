"""Who changed what: written in the transaction of the change, each entry bound to the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.database.database import one_at_a_time
from ots.server.database.tables import audit

_BEGINNING = "0" * 64


async def note(
    connection: AsyncConnection,
    *,
    time: float,
    actor: str,
    action: str,
    object: str,
    address: str | None = None,
    outcome: str = "done",
    detail: Mapping[str, Any] | None = None,
    department_id: int | None = None,
    project_id: int | None = None,
) -> None:
    """Adds an entry. Secrets don't belong into `detail`."""
    await one_at_a_time(connection)
    before = (await connection.execute(select(audit.c.hash).order_by(audit.c.id.desc()).limit(1))).scalar()
    entry = {
        "time": time,
        "actor": actor,
        "address": address,
        "action": action,
        "object": object,
        "outcome": outcome,
        "detail": json.dumps(detail or {}, sort_keys=True, ensure_ascii=False),
        "department_id": department_id,
        "project_id": project_id,
    }
    await connection.execute(insert(audit).values(**entry, hash=chained(before or _BEGINNING, entry)))


def chained(before: str, entry: Mapping[str, Any]) -> str:
    """The hash of an entry over the one before it and all of its own content."""
    content = json.dumps(dict(entry), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{before}\n{content}".encode()).hexdigest()


async def first_break(connection: AsyncConnection) -> int | None:
    """The id of the first entry that does not fit what stands before it; None if all do."""
    before = _BEGINNING
    rows = await connection.stream(select(audit).order_by(audit.c.id))
    async for row in rows.mappings():
        entry = {name: value for name, value in row.items() if name not in ("id", "hash")}
        if chained(before, entry) != row["hash"]:
            return int(row["id"])
        before = row["hash"]
    return None
