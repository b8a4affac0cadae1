"""Agents as people see them: listed, approved, suspended, revoked, released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.control.agent_tags import online, set_tags, tags_of
from ots.server.control.selecting import Tag
from ots.server.database.tables import agent, department, project
from ots.server.licences.issuing import issue

Status = Literal["pending", "active", "suspended", "revoked", "left"]
Action = Literal["approve", "refuse", "suspend", "resume", "revoke"]

MOVES: dict[Action, tuple[tuple[Status, ...], Status]] = {
    "approve": (("pending",), "active"),
    "refuse": (("pending",), "revoked"),
    "suspend": (("active",), "suspended"),
    "resume": (("suspended",), "active"),
    "revoke": (("active", "suspended", "pending", "left"), "revoked"),
}
"""From which states each action leads to which; `revoked` is final, one that left comes back by itself."""


class AgentView(msgspec.Struct, kw_only=True):
    """An agent. Times are RFC 3339 UTC; `waiting` is how many reports it said are not sent yet."""

    agent_id: str
    name: str
    status: Status
    department: str | None
    project: str | None
    tier: str
    version: str
    enrolled: str
    seen: str | None
    address: str | None
    clock_offset: float | None
    waiting: int | None
    possible_clone: str | None
    replaces: str | None
    tags: list[str]
    online: bool


class AgentDetail(AgentView, kw_only=True):
    """An agent with its key and what it told of its machine."""

    public_key: str
    fingerprint: str | None
    token_id: str | None
    revoked: str | None
    info: dict[str, Any] | None


class AgentPage(msgspec.Struct, kw_only=True):
    items: list[AgentView]
    next: str | None


class AgentQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which agents; `search` goes through names and ids."""

    status: Status | None = None
    department: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    project: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    search: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class AgentEdit(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What people may say of an agent: its name, null to keep it, and all of its tags."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    tags: Annotated[list[Tag], msgspec.Meta(max_length=50)]


class AgentChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to become of an agent, and why."""

    action: Action
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


async def list_agents(call: Call) -> Answer:
    """The agents within the caller's reach."""
    wanted: AgentQuery = call.query
    query = _selected().where(call.person.reach("agents:read").condition(agent))
    if wanted.status is not None:
        query = query.where(agent.c.status == wanted.status)
    if wanted.department is not None:
        query = query.where(department.c.number == wanted.department)
    if wanted.project is not None:
        query = query.where(project.c.number == wanted.project)
    if wanted.search is not None:
        text = wanted.search.lower()
        query = query.where(
            agent.c.name.icontains(text, autoescape=True) | agent.c.agent_id.startswith(text, autoescape=True)
        )
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, agent.c.agent_id, wanted)
        more = await _more(connection, [row.agent_id for row in rows], call.services.wall())
    items = [AgentView(**_common(row), **more[row.agent_id]) for row in rows]
    return Answer(200, AgentPage(items=items, next=following))


async def show_agent(call: Call) -> Answer:
    """One agent."""
    async with call.services.database.reading() as connection:
        row = await _within_reach(connection, call, "agents:read")
        detail = await _detail(connection, row, call.services.wall())
    return Answer(200, detail)


async def edit_agent(call: Call) -> Answer:
    """Names an agent and tags it."""
    edit: AgentEdit = call.body
    now = call.services.wall()
    async with call.services.database.writing() as connection:
        row = await _within_reach(connection, call, "agents:write")
        if edit.name is not None:
            await connection.execute(
                update(agent).where(agent.c.agent_id == row.agent_id).values(name=edit.name)
            )
        await set_tags(connection, row.agent_id, edit.tags)
        await call.note(
            connection,
            "edit",
            f"agent {row.agent_id}",
            detail={"name": edit.name, "tags": sorted(set(edit.tags))},
            department_id=row.department_id,
            project_id=row.project_id,
        )
        detail = await _detail(connection, await _within_reach(connection, call, "agents:write"), now)
    return Answer(200, detail)


async def change_agent(call: Call) -> Answer:
    """Moves an agent to another state; an action that doesn't fit its state is a conflict."""
    change: AgentChange = call.body
    before, after = MOVES[change.action]
    now = call.services.wall()
    async with call.services.control.bus.changing() as telling:
        connection = telling.connection
        row = await _within_reach(connection, call, "agents:write")
        done = await connection.execute(
            update(agent)
            .where(agent.c.agent_id == row.agent_id, agent.c.status.in_(before))
            .values(status=after, revoked=now if after == "revoked" else None)
        )
        if not done.rowcount:
            raise Refused("conflict", f"{change.action} is not possible while the agent is {row.status}")
        if change.action == "approve" and row.tier != "default":
            await issue(call.services, connection, tier=row.tier, by=call.person.name, agent=row)
        await call.note(
            connection,
            change.action,
            f"agent {row.agent_id}",
            detail={"reason": change.reason},
            department_id=row.department_id,
            project_id=row.project_id,
        )
        if after != "active":
            telling.tell(f"x:{row.agent_id}")
        detail = await _detail(connection, await _within_reach(connection, call, "agents:write"), now)
    call.services.agents.forget(row.agent_id)
    return Answer(200, detail)


async def _within_reach(connection: AsyncConnection, call: Call, scope: str) -> Any:
    """The agent of the path; one beyond the caller's reach is as unknown as one that doesn't exist."""
    row = (
        await connection.execute(
            _selected().where(
                agent.c.agent_id == call.path["agent_id"], call.person.reach(scope).condition(agent)
            )
        )
    ).one_or_none()
    if row is None:
        raise Refused("not-found")
    return row


def _selected() -> Select[Any]:
    return (
        select(agent, department.c.number.label("department"), project.c.number.label("project"))
        .outerjoin(department, department.c.id == agent.c.department_id)
        .outerjoin(project, project.c.id == agent.c.project_id)
    )


async def _more(connection: AsyncConnection, agents: Sequence[str], now: float) -> dict[str, dict[str, Any]]:
    """What stands in other tables of each agent."""
    tags, there = await tags_of(connection, agents), await online(connection, agents, now)
    return {agent_id: {"tags": tags[agent_id], "online": agent_id in there} for agent_id in agents}


async def _detail(connection: AsyncConnection, row: Any, now: float) -> AgentDetail:
    more = await _more(connection, [row.agent_id], now)
    return AgentDetail(
        **_common(row),
        **more[row.agent_id],
        public_key=row.public_key,
        fingerprint=row.fingerprint,
        token_id=row.token_id,
        revoked=stamp(row.revoked),
        info=None if row.info is None else msgspec.json.decode(row.info),
    )


def _common(row: Any) -> dict[str, Any]:
    return {
        "agent_id": row.agent_id,
        "name": row.name,
        "status": row.status,
        "department": row.department,
        "project": row.project,
        "tier": row.tier,
        "version": row.version,
        "enrolled": stamp(row.enrolled),
        "seen": stamp(row.seen),
        "address": row.address,
        "clock_offset": row.clock_offset,
        "waiting": row.waiting,
        "possible_clone": row.possible_clone,
        "replaces": row.replaces,
    }


OPERATIONS = (
    Operation(
        name="listAgents",
        method="GET",
        path="/api/v1/agents",
        summary="List agents.",
        access=Access.PERSON,
        scope="agents:read",
        rate=Rate.READ,
        query=AgentQuery,
        gives={200: AgentPage},
        handle=list_agents,
    ),
    Operation(
        name="showAgent",
        method="GET",
        path="/api/v1/agents/{agent_id}",
        summary="Show one agent.",
        access=Access.PERSON,
        scope="agents:read",
        rate=Rate.READ,
        gives={200: AgentDetail},
        handle=show_agent,
    ),
    Operation(
        name="editAgent",
        method="PUT",
        path="/api/v1/agents/{agent_id}",
        summary="Name an agent and tag it.",
        access=Access.PERSON,
        scope="agents:write",
        rate=Rate.WRITE,
        takes=AgentEdit,
        gives={200: AgentDetail},
        problems=("storage-full",),
        handle=edit_agent,
    ),
    Operation(
        name="changeAgent",
        method="POST",
        path="/api/v1/agents/{agent_id}/status",
        summary="Approve, refuse, suspend, resume or revoke an agent.",
        access=Access.PERSON,
        scope="agents:write",
        rate=Rate.WRITE,
        takes=AgentChange,
        gives={200: AgentDetail},
        problems=("conflict", "storage-full"),
        handle=change_agent,
    ),
)
