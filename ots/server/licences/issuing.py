"""Licences and their rows: a new one for an agent or a project, the one in force, what was withdrawn."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.license.document import Binding, Malformed, Revoked, Subject, moment
from ots.license.issue import (
    USUAL_DAYS,
    for_agents,
    new_licence,
    revocation_list,
    sign_licence,
    sign_revocations,
)
from ots.license.tiers import TIERS
from ots.server.api.problems import Refused
from ots.server.database.database import one_at_a_time
from ots.server.database.tables import agent as table
from ots.server.database.tables import department, licence, project
from ots.server.licences.grants import LONGEST_GRACE
from ots.server.services import Services


async def issue(
    services: Services,
    connection: AsyncConnection,
    *,
    tier: str,
    by: str,
    agent: Any | None = None,
    project_id: int | None = None,
    days: float = USUAL_DAYS,
    note: str = "",
) -> str:
    """Signs and keeps a licence for one agent (its row) or for all agents of a project. Raises Refused.

    Its serial is above every one that this server gave before.
    """
    now = services.wall()
    await one_at_a_time(connection)
    serial = ((await connection.execute(select(func.max(licence.c.serial)))).scalar() or 0) + 1
    scope = await _subject(connection, agent.project_id if agent is not None else project_id)
    if agent is not None:
        binding = for_agents([agent.agent_id])
    elif scope.project is not None:
        binding = Binding(kind="project")
    else:
        raise Refused("not-found", "there is no such project")
    if tier not in TIERS:
        raise Refused("invalid-body", f"there is no tier {tier!r}")
    try:
        made = new_licence(tier, scope, binding, serial, now, days=days, note=note)
    except Malformed as error:
        raise Refused("invalid-body", str(error)) from None
    text = sign_licence(made, services.keys.licence)
    await connection.execute(
        insert(licence).values(
            licence_id=made.licence_id,
            serial=serial,
            tier=tier,
            agent_id=None if agent is None else agent.agent_id,
            project_id=None if agent is not None else project_id,
            text=text,
            issued=now,
            issued_by=by,
            not_before=moment(made.not_before),
            not_after=moment(made.not_after),
        )
    )
    return text


async def in_force(connection: AsyncConnection, agent: Any, now: float) -> Any | None:
    """The row of the licence in force for an agent: of its own and its project's the one with the highest
    serial; None if none holds.
    """
    own = licence.c.agent_id == agent.agent_id
    common = (licence.c.project_id == agent.project_id) & licence.c.agent_id.is_(None)
    return (
        await connection.execute(
            select(licence)
            .where(own | common, licence.c.revoked.is_(None), licence.c.not_after > now)
            .order_by(licence.c.serial.desc())
            .limit(1)
        )
    ).one_or_none()


async def revocations(services: Services, connection: AsyncConnection) -> str:
    """The signed list of the licences that were withdrawn and could still be honoured; its serial grows with
    every withdrawal. Those that have ended are left out: a list has a limited size (ots.signing.statement).
    """
    serial, issued = (
        await connection.execute(
            select(func.count(), func.max(licence.c.revoked)).where(licence.c.revoked.is_not(None))
        )
    ).one()
    rows = (
        await connection.execute(
            select(licence.c.licence_id)
            .where(licence.c.revoked.is_not(None), licence.c.not_after > services.wall() - LONGEST_GRACE)
            .order_by(licence.c.revoked)
        )
    ).all()
    made = revocation_list([Revoked(licence_id=row.licence_id) for row in rows], serial, issued or 0.0)
    return sign_revocations(made, services.keys.licence)


async def _subject(connection: AsyncConnection, project_id: int | None) -> Subject:
    """Department and project of whom a licence is for."""
    if project_id is None:
        return Subject()
    row = (
        await connection.execute(
            select(project.c.number, department.c.number.label("department"))
            .join(department, department.c.id == project.c.department_id)
            .where(project.c.id == project_id)
        )
    ).one_or_none()
    if row is None:
        raise Refused("not-found", "there is no such project")
    return Subject(department=row.department, project=row.number)


async def set_tier(services: Services, connection: AsyncConnection, agent_id: str, tier: str) -> None:
    """Notes with the agent what its licence grants."""
    await connection.execute(update(table).where(table.c.agent_id == agent_id).values(tier=tier))
    services.agents.forget(agent_id)
