"""Where an assignment belongs: its department and project, and the agents that it names."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.operation import Call
from ots.server.api.problems import Refused
from ots.server.assignments.group import Selector
from ots.server.database.tables import agent, department, project


async def place_of(
    connection: AsyncConnection, call: Call, place: str | None, part: str | None
) -> tuple[int | None, int | None]:
    """The ids of a department and a project, by their numbers, within the caller's reach. Raises Refused."""
    reach = call.person.reach("assignments:write")
    if place is None:
        if part is not None:
            raise Refused("invalid-body", "a project needs its department")
        if not reach.everywhere:
            raise Refused("forbidden", "name a department within your reach")
        return None, None
    found = (
        await connection.execute(
            select(department.c.id, project.c.id.label("project_id"))
            .outerjoin(project, (project.c.department_id == department.c.id) & (project.c.number == part))
            .where(department.c.number == place)
        )
    ).one_or_none()
    if found is None or (part is not None and found.project_id is None):
        raise Refused("forbidden", "there is no such department or project within your reach")
    if not reach.covers(found.id, found.project_id):
        raise Refused("forbidden", "there is no such department or project within your reach")
    return found.id, found.project_id


async def check_agents(
    connection: AsyncConnection,
    call: Call,
    selector: Selector,
    department_id: int | None,
    project_id: int | None,
) -> None:
    """Raises Refused where an agent is named that the caller does not reach, or that is of another place."""
    wanted = set(selector.agents)
    if not wanted:
        return
    rows = await connection.execute(
        select(agent.c.agent_id, agent.c.department_id, agent.c.project_id).where(
            agent.c.agent_id.in_(wanted), call.person.reach("assignments:write").condition(agent)
        )
    )
    there = {
        row.agent_id
        for row in rows
        if department_id in (None, row.department_id) and project_id in (None, row.project_id)
    }
    if missing := sorted(wanted - there):
        raise Refused("invalid-body", f"there is no agent {missing[0][:60]!r} in this place")
