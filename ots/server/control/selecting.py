"""Which agents a run is for: what was asked, within the reach of who asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.problems import Refused
from ots.server.database.control_tables import agent_tag
from ots.server.database.tables import agent, department, project
from ots.server.identity.caller import Reach

MOST_AGENTS = 10_000
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Tag = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]


class Choice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Active agents; of one kind of condition any may hold, of different kinds each must.

    `everything` is for all agents within reach and goes with no condition.
    """

    agents: Annotated[list[_Text], msgspec.Meta(max_length=1000)] = []
    tags: Annotated[list[Tag], msgspec.Meta(max_length=100)] = []
    departments: Annotated[list[_Text], msgspec.Meta(max_length=100)] = []
    projects: Annotated[list[_Text], msgspec.Meta(max_length=100)] = []
    everything: bool = False


async def selected(connection: AsyncConnection, wanted: Choice, reach: Reach) -> Sequence[Any]:
    """The rows of the agents, with `department` and `project`. Raises Refused where one named isn't there."""
    conditions = (wanted.agents, wanted.tags, wanted.departments, wanted.projects)
    if wanted.everything == any(conditions):
        raise Refused("invalid-body", "on: name agents, tags, departments or projects, or everything")
    query = (
        select(agent, department.c.number.label("department"), project.c.number.label("project"))
        .outerjoin(department, department.c.id == agent.c.department_id)
        .outerjoin(project, project.c.id == agent.c.project_id)
        .where(reach.condition(agent), agent.c.status == "active")
        .order_by(agent.c.name, agent.c.agent_id)
        .limit(MOST_AGENTS + 1)
    )
    if wanted.agents:
        query = query.where(agent.c.agent_id.in_(wanted.agents) | agent.c.name.in_(wanted.agents))
    if wanted.tags:
        query = query.where(
            agent.c.agent_id.in_(select(agent_tag.c.agent_id).where(agent_tag.c.tag.in_(wanted.tags)))
        )
    if wanted.departments:
        query = query.where(department.c.number.in_(wanted.departments))
    if wanted.projects:
        query = query.where(project.c.number.in_(wanted.projects))
    rows = (await connection.execute(query)).all()
    if len(rows) > MOST_AGENTS:
        raise Refused("invalid-body", f"on: these are more than {MOST_AGENTS} agents")
    found = {row.agent_id for row in rows} | {row.name for row in rows}
    missing = [name for name in wanted.agents if name not in found]
    if missing:
        raise Refused("not-found", f"no active agent {missing[0]!r}")
    return rows


def licence_says(grant: Any, agents: int) -> str | None:
    """Why this agent's licence does not let it take part; None if it does."""
    if not grant.covers("remote-run"):
        return "remote-run: the agents' licences do not grant it"
    most = grant.limit("agents_per_run")
    if most is not None and agents > most:
        return f"agents_per_run: at most {most:g} agents in one run, not {agents}"
    return None
