"""What an agent tells the server of itself: its information, its gaps, that it leaves."""

from __future__ import annotations

import msgspec
from sqlalchemy import or_, update
from sqlalchemy.dialects import postgresql, sqlite

from ots.remote import wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused
from ots.server.database.tables import agent, gap, licence

_COUNTABLE = 1 << 53


async def put_info(call: Call) -> Answer:
    """Keeps the newest information; one that was sent earlier changes nothing."""
    info: wire.AgentInfo = call.body
    async with call.services.database.writing() as connection:
        await connection.execute(
            update(agent)
            .where(
                agent.c.agent_id == call.agent.agent_id,
                or_(agent.c.info_sent.is_(None), agent.c.info_sent < info.sent),
            )
            .values(
                info=msgspec.json.encode(info).decode(),
                info_sent=info.sent,
                version=info.version[:100],
                waiting=max(0, min(info.waiting, 1 << 30)),
                seen=call.services.wall(),
                address=call.address,
                clock_offset=call.agent.skew,
            )
        )
    return Answer(204)


async def put_gap(call: Call) -> Answer:
    """Keeps what an agent will never send."""
    told: wire.Gap = call.body
    numbers = (told.first_seq, told.last_seq, told.count)
    if told.gap_id != call.path["gap_id"] or any(not 0 <= number < _COUNTABLE for number in numbers):
        raise Refused("invalid-body", "the gap's id or numbers do not fit")
    async with call.services.database.writing() as connection:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
        done = await connection.execute(
            insert(gap)
            .on_conflict_do_nothing()
            .values(
                agent_id=call.agent.agent_id,
                received=call.services.wall(),
                **{**msgspec.structs.asdict(told), "noticed": told.noticed[:60]},
            )
        )
    return Answer(201 if done.rowcount else 200)


async def leave(call: Call) -> Answer:
    """The agent gives its place up, and the licences of its own with it; its reports stay."""
    now = call.services.wall()
    async with call.services.database.writing() as connection:
        done = await connection.execute(
            update(agent)
            .where(agent.c.agent_id == call.agent.agent_id, agent.c.status == "active")
            .values(status="left", revoked=now)
        )
        if not done.rowcount:
            raise Refused("conflict", "the agent has no place any more")
        await connection.execute(
            update(licence)
            .where(licence.c.agent_id == call.agent.agent_id, licence.c.revoked.is_(None))
            .values(revoked=now)
        )
        await call.note(
            connection,
            "leave",
            call.agent.name,
            department_id=call.agent.department_id,
            project_id=call.agent.project_id,
        )
    call.services.agents.forget(call.agent.agent_id)
    return Answer(204)


OPERATIONS = (
    Operation(
        name="putInfo",
        method="PUT",
        path="/api/v1/agent/info",
        summary="Tell of the machine that the agent runs on.",
        access=Access.AGENT,
        rate=Rate.WRITE,
        takes=wire.AgentInfo,
        gives={204: None},
        problems=("digest-mismatch", "storage-full"),
        handle=put_info,
    ),
    Operation(
        name="putGap",
        method="PUT",
        path="/api/v1/agent/gaps/{gap_id}",
        summary="Tell of reports that will never come, and why.",
        access=Access.AGENT,
        rate=Rate.WRITE,
        takes=wire.Gap,
        gives={201: None, 200: None},
        problems=("digest-mismatch", "storage-full"),
        handle=put_gap,
    ),
    Operation(
        name="leave",
        method="DELETE",
        path="/api/v1/agent",
        summary="Give this agent's place up.",
        access=Access.AGENT,
        rate=Rate.WRITE,
        gives={204: None},
        problems=("storage-full", "conflict"),
        handle=leave,
    ),
)
