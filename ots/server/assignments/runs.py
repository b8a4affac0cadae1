"""What came of an assignment: every planned run of which a report arrived, and who has not fetched it yet."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused
from ots.server.api.times import moment, stamp
from ots.server.assignments.group import belongs
from ots.server.assignments.operations import content_of, within_reach
from ots.server.database.assignment_tables import arrival, assignment_fetch
from ots.server.database.tables import agent

Time = Annotated[str, msgspec.Meta(max_length=40)]
_DAY = 86_400.0
_LONGEST = 31 * _DAY
_MOST = 5_000


class RunsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The planned moments asked for: from `since` (a day ago) to before `until` (now), at most 31 days."""

    since: Time | None = None
    until: Time | None = None


class PlannedRun(msgspec.Struct, kw_only=True):
    """One planned run. `report` is the server's number of its report. Times are RFC 3339 UTC."""

    agent_id: str
    agent: str
    planned: str
    state: str
    verdict: str | None
    reason: str | None
    report: int | None
    started: str | None
    received: str | None


class Member(msgspec.Struct, kw_only=True):
    """An agent of the group, and the version of the assignment that it has; null: it has not fetched it."""

    agent_id: str
    agent: str
    version: int | None
    fetched: str | None


class Runs(msgspec.Struct, kw_only=True):
    """`cut`: there are more than are listed; ask for less time."""

    since: str
    until: str
    agents: list[Member]
    items: list[PlannedRun]
    cut: bool


async def list_runs(call: Call) -> Answer:
    """The planned runs of an assignment, the newest first."""
    since, until = window(call)
    async with call.services.database.reading() as connection:
        row = await within_reach(connection, call, "assignments:read")
        members = await members_of(connection, row)
        arrived = await _arrived(connection, row.assignment_id, since, until)
    return Answer(
        200,
        Runs(
            since=stamp(since),
            until=stamp(until),
            agents=[member for member, _ in members],
            items=[_of(one) for one in arrived[:_MOST]],
            cut=len(arrived) > _MOST,
        ),
    )


def window(call: Call) -> tuple[float, float]:
    """The time asked for. Raises Refused."""
    wish: RunsQuery = call.query
    until = call.services.wall() if wish.until is None else moment("until", wish.until)
    since = until - _DAY if wish.since is None else moment("since", wish.since)
    if not since < until <= since + _LONGEST:
        raise Refused("invalid-request", "until is to be after since, by at most 31 days")
    return since, until


async def members_of(connection: AsyncConnection, row: Any) -> list[tuple[Member, float | None]]:
    """The agents of an assignment's group, and since when each has its present version."""
    rows = await connection.execute(
        select(agent.c.agent_id, agent.c.name, assignment_fetch.c.version, assignment_fetch.c.fetched)
        .outerjoin(
            assignment_fetch,
            (assignment_fetch.c.agent_id == agent.c.agent_id)
            & (assignment_fetch.c.assignment_id == row.assignment_id),
        )
        .where(belongs(row, content_of(row).selector))
        .order_by(agent.c.name, agent.c.agent_id)
        .limit(_MOST)
    )
    return [
        (
            Member(
                agent_id=each.agent_id, agent=each.name, version=each.version, fetched=stamp(each.fetched)
            ),
            each.fetched,
        )
        for each in rows
    ]


async def _arrived(connection: AsyncConnection, assignment_id: str, since: float, until: float) -> list[Any]:
    rows = await connection.execute(
        select(arrival, agent.c.name)
        .join(agent, agent.c.agent_id == arrival.c.agent_id)
        .where(
            arrival.c.assignment_id == assignment_id,
            arrival.c.planned >= since,
            arrival.c.planned < until,
        )
        .order_by(arrival.c.planned.desc(), arrival.c.agent_id)
        .limit(_MOST + 1)
    )
    return list(rows)


def _of(row: Any) -> PlannedRun:
    return PlannedRun(
        agent_id=row.agent_id,
        agent=row.name,
        planned=stamp(row.planned),
        state=row.state,
        verdict=row.verdict,
        reason=row.reason,
        report=row.report,
        started=stamp(row.started),
        received=stamp(row.received),
    )


OPERATIONS = (
    Operation(
        name="listRuns",
        method="GET",
        path="/api/v1/assignments/{assignment_id}/runs",
        summary="The planned runs of an assignment, and what came of each.",
        access=Access.PERSON,
        scope="assignments:read",
        rate=Rate.READ,
        query=RunsQuery,
        gives={200: Runs},
        handle=list_runs,
    ),
)
