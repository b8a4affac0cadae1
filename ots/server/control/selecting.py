"""Which agents a run is for: what was asked, within the reach of who asks, and what their licences say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.license.document import read_licence
from ots.license.grant import Grant
from ots.server.api.problems import Refused
from ots.server.database.control_tables import agent_tag
from ots.server.database.tables import agent, department, licence, project
from ots.server.identity.caller import Reach
from ots.signing.keys import decode64
from ots.signing.statement import StatementError, strict_object

MOST_AGENTS = 10_000
_CHUNK = 500
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


async def grants(connection: AsyncConnection, agents: Sequence[Any], now: float) -> dict[str, Grant]:
    """What the licence in force of each of these agents grants."""
    newest: dict[str, Any] = {}
    for some in _chunks(agents):
        projects = {row.project_id for row in some if row.project_id is not None}
        rows = (
            await connection.execute(
                select(licence)
                .where(
                    licence.c.agent_id.in_([row.agent_id for row in some])
                    | (licence.c.project_id.in_(projects) & licence.c.agent_id.is_(None)),
                    licence.c.revoked.is_(None),
                    licence.c.not_after > now,
                )
                .order_by(licence.c.serial)
            )
        ).all()
        for row in some:
            for each in rows:
                if each.agent_id == row.agent_id or (
                    each.agent_id is None and each.project_id == row.project_id
                ):
                    newest[row.agent_id] = each
    return {row.agent_id: _grant(newest.get(row.agent_id)) for row in agents}


def _grant(row: Any | None) -> Grant:
    """The licence is this server's own, from its own database: its content counts without a signature."""
    if row is None:
        return Grant(None)
    try:
        return Grant(read_licence(strict_object(decode64(row.text.split(".")[1]))))
    except (StatementError, ValueError):
        return Grant(None)


def _chunks(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
