"""Tiers that agents ask for, and what people decide."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Select, insert, select, update

from ots.license.issue import USUAL_DAYS
from ots.remote import wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.database.tables import agent, licence_request
from ots.server.licences.issuing import issue, set_tier
from ots.server.licences.operations import Days, Tier

_MOST_OPEN = 5


class WishView(msgspec.Struct, kw_only=True):
    """What an agent asked for, and what became of it."""

    number: int
    agent_id: str
    agent: str
    tier: Tier
    note: str
    made: str
    decided: str | None
    decided_by: str | None
    granted: bool | None


class WishPage(msgspec.Struct, kw_only=True):
    items: list[WishView]
    next: str | None


class Decision(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether a wish is granted, and for how long."""

    grant: bool
    days: Days = USUAL_DAYS


async def wish(call: Call) -> Answer:
    """Keeps what an agent asks for; the same wish again changes nothing."""
    wanted: wire.LicenceWish = call.body
    if wanted.tier not in ("friendly", "professional"):
        raise Refused("invalid-body", "tier is friendly or professional")
    open_ones = licence_request.c.agent_id == call.agent.agent_id, licence_request.c.decided.is_(None)
    async with call.services.database.writing() as connection:
        rows = (await connection.execute(select(licence_request).where(*open_ones))).all()
        if any((row.tier, row.note) == (wanted.tier, wanted.note[:500]) for row in rows):
            return Answer(201)
        if len(rows) >= _MOST_OPEN:
            raise Refused("conflict", f"{_MOST_OPEN} wishes of this agent wait already")
        await connection.execute(
            insert(licence_request).values(
                agent_id=call.agent.agent_id,
                tier=wanted.tier,
                note=wanted.note[:500],
                made=call.services.wall(),
            )
        )
    return Answer(201)


async def list_wishes(call: Call) -> Answer:
    """What agents within the caller's reach asked for, the newest first."""
    query = _wishes().where(call.person.reach("licences:read").condition(agent))
    async with call.services.database.reading() as connection:
        rows, following = await page_of(
            connection, query, licence_request.c.id, call.query, newest_first=True
        )
    return Answer(200, WishPage(items=[_wish_view(row) for row in rows], next=following))


async def decide(call: Call) -> Answer:
    """Grants a wish by issuing the licence, or refuses it."""
    decision: Decision = call.body
    number = int(call.path["number"])
    now = call.services.wall()
    async with call.services.database.writing() as connection:
        query = _wishes().where(
            licence_request.c.id == number, call.person.reach("licences:write").condition(agent)
        )
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise Refused("not-found")
        done = await connection.execute(
            update(licence_request)
            .where(licence_request.c.id == number, licence_request.c.decided.is_(None))
            .values(decided=now, decided_by=call.person.name, granted=decision.grant)
        )
        if not done.rowcount:
            raise Refused("conflict", "this was decided already")
        if decision.grant:
            holder = (await connection.execute(select(agent).where(agent.c.agent_id == row.agent_id))).one()
            await issue(
                call.services,
                connection,
                tier=row.tier,
                by=call.person.name,
                agent=holder,
                days=decision.days,
                note=row.note,
            )
            await set_tier(call.services, connection, row.agent_id, row.tier)
        await call.note(
            connection,
            "grant" if decision.grant else "refuse",
            f"licence request {number} of agent {row.agent_id}",
            detail={"tier": row.tier},
            department_id=row.department_id,
            project_id=row.project_id,
        )
        row = (await connection.execute(query)).one()
    return Answer(200, _wish_view(row))


def _wishes() -> Select[Any]:
    return select(
        licence_request, agent.c.name.label("agent"), agent.c.department_id, agent.c.project_id
    ).join(agent, agent.c.agent_id == licence_request.c.agent_id)


def _wish_view(row: Any) -> WishView:
    return WishView(
        number=row.id,
        agent_id=row.agent_id,
        agent=row.agent,
        tier=row.tier,
        note=row.note,
        made=stamp(row.made),
        decided=stamp(row.decided),
        decided_by=row.decided_by,
        granted=row.granted,
    )


OPERATIONS = (
    Operation(
        name="wishForLicence",
        method="POST",
        path="/api/v1/agent/licence-requests",
        summary="Ask for a tier; a person decides.",
        access=Access.AGENT,
        rate=Rate.WRITE,
        takes=wire.LicenceWish,
        gives={201: None},
        problems=("digest-mismatch", "conflict", "storage-full"),
        handle=wish,
    ),
    Operation(
        name="listWishes",
        method="GET",
        path="/api/v1/licence-requests",
        summary="List what agents asked for.",
        scope="licences:read",
        rate=Rate.READ,
        query=PageQuery,
        gives={200: WishPage},
        handle=list_wishes,
        access=Access.PERSON,
    ),
    Operation(
        name="decideWish",
        method="POST",
        path="/api/v1/licence-requests/{number}/decision",
        summary="Grant or refuse what an agent asked for.",
        scope="licences:write",
        rate=Rate.WRITE,
        takes=Decision,
        gives={200: WishView},
        problems=("conflict", "storage-full"),
        handle=decide,
        access=Access.PERSON,
    ),
)
