"""What should have arrived and did not, over all assignments within reach."""

from __future__ import annotations

import msgspec

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.times import stamp
from ots.server.assignments.arrivals import UNRUN
from ots.server.assignments.operations import selected
from ots.server.assignments.runs import PlannedRun, RunsQuery, runs_of, window
from ots.server.database.assignment_tables import assignment

_MOST = 1_000
_MISSING = ("missing", *UNRUN)


class MissingRun(PlannedRun, kw_only=True):
    """A planned run of which nothing has arrived, or a report that says why there was none."""

    assignment_id: str
    assignment: str


class MissingRuns(msgspec.Struct, kw_only=True):
    """`expected` counts all planned runs, `counts` those of each state. `cut`: there are more than listed."""

    since: str
    until: str
    expected: int
    counts: dict[str, int]
    items: list[MissingRun]
    cut: bool


async def list_missing(call: Call) -> Answer:
    """Every planned run that has no result, the newest first."""
    since, until = window(call)
    now = call.services.wall()
    items: list[MissingRun] = []
    counts: dict[str, int] = {}
    async with call.services.database.reading() as connection:
        rows = await connection.execute(
            selected()
            .where(call.person.reach("assignments:read").condition(assignment))
            .order_by(assignment.c.assignment_id)
        )
        for row in rows.all():
            _members, found = await runs_of(connection, row, since, until, now)
            for one in found:
                counts[one.state] = counts.get(one.state, 0) + 1
                if one.state in _MISSING and len(items) <= _MOST:
                    facts = msgspec.structs.asdict(one)
                    items.append(MissingRun(**facts, assignment_id=row.assignment_id, assignment=row.name))
    items.sort(key=lambda one: (one.planned, one.agent_id), reverse=True)
    return Answer(
        200,
        MissingRuns(
            since=stamp(since),
            until=stamp(until),
            expected=sum(counts.values()),
            counts=counts,
            items=items[:_MOST],
            cut=len(items) > _MOST,
        ),
    )


OPERATIONS = (
    Operation(
        name="listMissing",
        method="GET",
        path="/api/v1/missing-runs",
        summary="Planned runs of all assignments of which there is no result, and why.",
        access=Access.PERSON,
        scope="assignments:read",
        rate=Rate.READ,
        query=RunsQuery,
        gives={200: MissingRuns},
        handle=list_missing,
    ),
)
