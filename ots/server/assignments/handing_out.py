"""What an agent is assigned: the signed index and the documents, and that it has fetched them."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.clock import rfc3339
from ots.remote.assignment_wire import INDEX, AssignmentText, Index, IndexEntry
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.assignments.group import of_place
from ots.server.assignments.operations import content_of, digest_of, handed_out, selected
from ots.server.database.assignment_tables import assignment, assignment_fetch
from ots.server.database.control_tables import agent_tag
from ots.server.identity.caller import AgentCaller
from ots.signing.statement import sign

MOST = 200
"""Assignments that one agent gets at most, the oldest first: what its index can hold."""


async def own_assignments(call: Call) -> Answer:
    """The agent's assignments; that it fetched a version is noted the first time."""
    now = call.services.wall()
    async with call.services.database.reading() as connection:
        rows = await _of(connection, call.agent)
        known = await _fetched(connection, call.agent.agent_id)
    documents = [msgspec.json.encode(handed_out(row)).decode() for row in rows]
    index = Index(
        agent_id=call.agent.agent_id,
        server_id=call.services.server_id,
        issued_at=rfc3339(now),
        assignments=[
            IndexEntry(assignment_id=row.assignment_id, version=row.version, sha256=digest_of(document))
            for row, document in zip(rows, documents, strict=True)
        ],
    )
    new = [row for row in rows if known.get(row.assignment_id) != row.version]
    if new:
        async with call.services.database.writing() as connection:
            await _note_fetched(connection, call.agent.agent_id, new, now)
    signed = sign(msgspec.to_builtins(index), INDEX, call.services.keys.command)
    return Answer(200, AssignmentText(index=signed, documents=documents))


async def _of(connection: AsyncConnection, caller: AgentCaller) -> list[Any]:
    rows = await connection.execute(
        selected()
        .where(assignment.c.retired.is_(None), of_place(caller.department_id, caller.project_id))
        .order_by(assignment.c.created, assignment.c.assignment_id)
    )
    mine = await connection.execute(select(agent_tag.c.tag).where(agent_tag.c.agent_id == caller.agent_id))
    tags = set(mine.scalars())
    return [row for row in rows if content_of(row).selector.names(caller.agent_id, tags)][:MOST]


async def _fetched(connection: AsyncConnection, agent_id: str) -> dict[str, int]:
    rows = await connection.execute(
        select(assignment_fetch.c.assignment_id, assignment_fetch.c.version).where(
            assignment_fetch.c.agent_id == agent_id
        )
    )
    return {row.assignment_id: row.version for row in rows}


async def _note_fetched(connection: AsyncConnection, agent_id: str, rows: list[Any], now: float) -> None:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
    statement = insert(assignment_fetch)
    values = [
        {"assignment_id": row.assignment_id, "agent_id": agent_id, "version": row.version, "fetched": now}
        for row in rows
    ]
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["assignment_id", "agent_id"],
            set_={"version": statement.excluded.version, "fetched": statement.excluded.fetched},
        ),
        values,
    )


OPERATIONS = (
    Operation(
        name="ownAssignments",
        method="GET",
        path="/api/v1/agent/assignments",
        summary="What this agent is assigned.",
        access=Access.AGENT,
        rate=Rate.READ,
        gives={200: AssignmentText},
        problems=("storage-full",),
        handle=own_assignments,
    ),
)
