"""What came of an assignment: every planned run of which a report arrived, and who has not fetched it yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Annotated, Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.schedule.moments import moments
from ots.schema.place import InOptions
from ots.schema.schedule import read_schedule
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused
from ots.server.api.times import moment, stamp
from ots.server.assignments.arrivals import UNRUN
from ots.server.assignments.group import belongs
from ots.server.assignments.operations import content_of, within_reach
from ots.server.database.assignment_tables import arrival, assignment_fetch
from ots.server.database.tables import agent
from ots.server.history import known_since

Time = Annotated[str, msgspec.Meta(max_length=40)]
_DAY = 86_400.0
_LONGEST = 31 * _DAY
_MOST = 5_000
_GRACE = 900.0
"""Seconds after the longest run within which its report still may arrive without being missed."""
_LATE = 60.0


class RunsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The planned moments asked for: from `since` (a day ago) to before `until` (now), at most 31 days."""

    since: Time | None = None
    until: Time | None = None


class PlannedRun(msgspec.Struct, kw_only=True):
    """One planned run. `report` is the server's number of its report. Times are RFC 3339 UTC.

    `state`: completed or aborted with a report, of these `late` where it began late; missed, skipped, refused
    or interrupted as the agent says; `missing` where nothing has arrived of it, `awaited` where it still may.
    """

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
    """`counts` are of states, `expected` how many runs were planned by agents that have the assignment.
    `cut`: there are more than are listed; ask for less time."""

    since: str
    until: str
    expected: int
    counts: dict[str, int]
    agents: list[Member]
    items: list[PlannedRun]
    cut: bool


async def list_runs(call: Call) -> Answer:
    """The planned runs of an assignment, the newest first."""
    since, until = window(call)
    async with call.services.database.reading() as connection:
        row = await within_reach(connection, call, "assignments:read")
        members, found = await runs_of(connection, row, since, until, call.services.wall())
    return Answer(
        200,
        Runs(
            since=stamp(since),
            until=stamp(until),
            expected=len(found),
            counts=dict(Counter(one.state for one in found)),
            agents=members,
            items=found[:_MOST],
            cut=len(found) > _MOST,
        ),
    )


async def runs_of(
    connection: AsyncConnection, row: Any, since: float, until: float, now: float
) -> tuple[list[Member], list[PlannedRun]]:
    """The group, and every run that was planned or has arrived, the newest first."""
    members = await members_of(connection, row)
    arrived = await _arrived(connection, row.assignment_id, since, until)
    found = [_of(one) for one in arrived]
    settled = {(one.agent_id, round(one.planned, 1)) for one in arrived}
    patience = content_of(row).max_duration + _GRACE
    reckoned = max(since, await known_since(connection))
    spans = [(one.agent_id, one.planned, one.until) for one in arrived if one.until > one.planned]
    for member, fetched in members:
        if fetched is None or row.retired is not None:
            continue
        for planned in expected(row, member.agent_id, fetched, reckoned, until):
            known = (member.agent_id, round(planned, 1)) in settled or any(
                agent_id == member.agent_id and first <= planned <= last for agent_id, first, last in spans
            )
            if not known and len(found) <= _MOST:
                found.append(_not_arrived(member, planned, awaited=now - planned < patience))
    found.sort(key=lambda one: (one.planned, one.agent_id), reverse=True)
    return [member for member, _ in members], found


def expected(row: Any, agent_id: str, fetched: float, since: float, until: float) -> Iterator[float]:
    """The moments that this agent has planned, as it reckons them itself; a page of them at most."""
    written = content_of(row)
    schedule = read_schedule(written.schedule, InOptions(str, []))
    if schedule is None:
        return iter(())
    last = until if written.not_after is None else min(until, moment("not_after", written.not_after))
    planned = moments(schedule, f"{agent_id} {row.assignment_id}", fetched, max(since, fetched))
    return islice(takewhile(lambda each: each < last, planned), _MOST)


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
            arrival.c.until >= since,
            arrival.c.planned < until,
        )
        .order_by(arrival.c.planned.desc(), arrival.c.agent_id)
        .limit(_MOST + 1)
    )
    return list(rows)


def _not_arrived(member: Member, planned: float, *, awaited: bool) -> PlannedRun:
    return PlannedRun(
        agent_id=member.agent_id,
        agent=member.agent,
        planned=stamp(planned),
        state="awaited" if awaited else "missing",
        verdict=None,
        reason=None,
        report=None,
        started=None,
        received=None,
    )


def _of(row: Any) -> PlannedRun:
    return PlannedRun(
        agent_id=row.agent_id,
        agent=row.name,
        planned=stamp(row.planned),
        state="late" if row.state not in UNRUN and row.started - row.planned > _LATE else row.state,
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
