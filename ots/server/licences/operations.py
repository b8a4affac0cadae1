"""Licences over the interface: an agent fetches its own, people issue and withdraw."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.license.issue import USUAL_DAYS
from ots.remote import wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.control.hinting import topic
from ots.server.database.tables import agent, department, licence, project
from ots.server.licences.issuing import in_force, issue, revocations, set_tier

Tier = Literal["default", "friendly", "professional"]
Note = Annotated[str, msgspec.Meta(max_length=500)]
Days = Annotated[float, msgspec.Meta(gt=0, le=3660)]


class LicenceView(msgspec.Struct, kw_only=True):
    """A licence: for one agent, or for all agents of a project. Times are RFC 3339 UTC."""

    licence_id: str
    serial: int
    tier: Tier
    agent_id: str | None
    agent: str | None
    department: str | None
    project: str | None
    issued: str
    issued_by: str
    not_before: str
    not_after: str | None
    revoked: str | None


class LicenceDetail(LicenceView, kw_only=True):
    """A licence with its text, as an agent without a connection installs it."""

    text: str


class LicencePage(msgspec.Struct, kw_only=True):
    items: list[LicenceView]
    next: str | None


class NewLicence(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """For an agent by its id, or for a project by the numbers of its department and itself."""

    tier: Tier
    agent_id: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    department: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    project: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    days: Days = USUAL_DAYS
    note: Note = ""


class RevocationText(msgspec.Struct, kw_only=True):
    """The signed list of what was withdrawn."""

    revocations: str


async def own_licence(call: Call) -> Answer:
    """The licence in force for the agent that asks."""
    async with call.services.database.reading() as connection:
        found = await in_force(connection, call.agent, call.services.wall())
        withdrawn = await revocations(call.services, connection)
    return Answer(
        200,
        wire.LicenceText(
            licence=None if found is None else found.text,
            tier="default" if found is None else found.tier,
            revocations=withdrawn,
        ),
    )


async def list_licences(call: Call) -> Answer:
    """The licences within the caller's reach, the newest first."""
    query = _within(call, "licences:read")
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, licence.c.serial, call.query, newest_first=True)
    return Answer(200, LicencePage(items=[LicenceView(**_common(row)) for row in rows], next=following))


async def show_licence(call: Call) -> Answer:
    """One licence and its text."""
    async with call.services.database.reading() as connection:
        row = await _one(connection, call, "licences:read")
    return Answer(200, LicenceDetail(**_common(row), text=row.text))


async def make_licence(call: Call) -> Answer:
    """Issues a licence; an agent gets it the next time it asks."""
    wanted: NewLicence = call.body
    async with call.services.control.bus.changing() as change:
        connection = change.connection
        change.tell(topic("licence"))
        row, project_id = await _whom(connection, call, wanted)
        text = await issue(
            call.services,
            connection,
            tier=wanted.tier,
            by=call.person.name,
            agent=row,
            project_id=project_id,
            days=wanted.days,
            note=wanted.note,
        )
        made = (await connection.execute(_selected().where(licence.c.text == text))).one()
        if row is not None:
            await set_tier(call.services, connection, row.agent_id, wanted.tier)
        await _note(connection, call, "issue", made)
    return Answer(201, LicenceDetail(**_common(made), text=made.text))


async def revoke_licence(call: Call) -> Answer:
    """Withdraws a licence: the server no longer honours it, agents learn of it when they next ask."""
    now = call.services.wall()
    async with call.services.control.bus.changing() as change:
        connection = change.connection
        change.tell(topic("licence"))
        row = await _one(connection, call, "licences:write")
        await connection.execute(
            update(licence)
            .where(licence.c.licence_id == row.licence_id, licence.c.revoked.is_(None))
            .values(revoked=now)
        )
        if row.agent_id is not None:
            holder = (await connection.execute(select(agent).where(agent.c.agent_id == row.agent_id))).one()
            left = await in_force(connection, holder, now)
            await set_tier(call.services, connection, row.agent_id, "default" if left is None else left.tier)
        await _note(connection, call, "revoke", row)
        row = await _one(connection, call, "licences:write")
    return Answer(200, LicenceDetail(**_common(row), text=row.text))


async def revocation_text(call: Call) -> Answer:
    """What was withdrawn, for agents that have no connection."""
    async with call.services.database.reading() as connection:
        return Answer(200, RevocationText(revocations=await revocations(call.services, connection)))


async def _whom(connection: AsyncConnection, call: Call, wanted: NewLicence) -> tuple[Any | None, int | None]:
    """The agent's row or the project's id, within the caller's reach. Raises Refused."""
    reach = call.person.reach("licences:write")
    if (wanted.agent_id is None) == (wanted.project is None or wanted.department is None):
        raise Refused("invalid-body", "name an agent, or a department and its project")
    if wanted.agent_id is not None:
        row = (
            await connection.execute(
                select(agent).where(agent.c.agent_id == wanted.agent_id, reach.condition(agent))
            )
        ).one_or_none()
        if row is None:
            raise Refused("not-found", "there is no such agent")
        return row, None
    found = (
        await connection.execute(
            select(project.c.id, project.c.department_id)
            .join(department, department.c.id == project.c.department_id)
            .where(project.c.number == wanted.project, department.c.number == wanted.department)
        )
    ).one_or_none()
    if found is None or not reach.covers(found.department_id, found.id):
        raise Refused("not-found", "there is no such project")
    return None, int(found.id)


async def _note(connection: AsyncConnection, call: Call, action: str, row: Any) -> None:
    await call.note(
        connection,
        action,
        f"licence {row.licence_id}",
        detail={"tier": row.tier, "agent": row.agent_id, "serial": row.serial},
        department_id=row.department_id,
        project_id=row.in_project,
    )


async def _one(connection: AsyncConnection, call: Call, scope: str) -> Any:
    query = _within(call, scope).where(licence.c.licence_id == call.path["licence_id"])
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise Refused("not-found")
    return row


def _within(call: Call, scope: str) -> Select[Any]:
    """Licences of agents within the caller's reach, and of projects within it."""
    return _selected().where(call.person.reach(scope).over(department.c.id, project.c.id))


def _selected() -> Select[Any]:
    return (
        select(
            licence,
            agent.c.name.label("agent"),
            department.c.number.label("department"),
            department.c.id.label("department_id"),
            project.c.number.label("project"),
            project.c.id.label("in_project"),
        )
        .outerjoin(agent, agent.c.agent_id == licence.c.agent_id)
        .outerjoin(project, project.c.id == func.coalesce(licence.c.project_id, agent.c.project_id))
        .outerjoin(
            department, department.c.id == func.coalesce(project.c.department_id, agent.c.department_id)
        )
    )


def _common(row: Any) -> dict[str, Any]:
    return {
        "licence_id": row.licence_id,
        "serial": row.serial,
        "tier": row.tier,
        "agent_id": row.agent_id,
        "agent": row.agent,
        "department": row.department,
        "project": row.project,
        "issued": stamp(row.issued),
        "issued_by": row.issued_by,
        "not_before": stamp(row.not_before),
        "not_after": stamp(row.not_after),
        "revoked": stamp(row.revoked),
    }


_PERSON: dict[str, Any] = {"access": Access.PERSON}

OPERATIONS = (
    Operation(
        name="ownLicence",
        method="GET",
        path="/api/v1/agent/licence",
        summary="The licence in force for this agent, and what was withdrawn.",
        access=Access.AGENT,
        rate=Rate.READ,
        gives={200: wire.LicenceText},
        handle=own_licence,
    ),
    Operation(
        name="listLicences",
        method="GET",
        path="/api/v1/licences",
        summary="List licences.",
        scope="licences:read",
        rate=Rate.READ,
        query=PageQuery,
        gives={200: LicencePage},
        handle=list_licences,
        **_PERSON,
    ),
    Operation(
        name="makeLicence",
        method="POST",
        path="/api/v1/licences",
        summary="Issue a licence for an agent or a project.",
        scope="licences:write",
        rate=Rate.WRITE,
        takes=NewLicence,
        gives={201: LicenceDetail},
        problems=("storage-full",),
        handle=make_licence,
        **_PERSON,
    ),
    Operation(
        name="showLicence",
        method="GET",
        path="/api/v1/licences/{licence_id}",
        summary="Show a licence with its text.",
        scope="licences:read",
        rate=Rate.READ,
        gives={200: LicenceDetail},
        handle=show_licence,
        **_PERSON,
    ),
    Operation(
        name="revokeLicence",
        method="POST",
        path="/api/v1/licences/{licence_id}/revocation",
        summary="Withdraw a licence.",
        scope="licences:write",
        rate=Rate.WRITE,
        gives={200: LicenceDetail},
        problems=("storage-full",),
        handle=revoke_licence,
        **_PERSON,
    ),
    Operation(
        name="listRevocations",
        method="GET",
        path="/api/v1/licence-revocations",
        summary="The signed list of licences that were withdrawn.",
        access=Access.PUBLIC,
        rate=Rate.READ,
        gives={200: RevocationText},
        handle=revocation_text,
    ),
)
