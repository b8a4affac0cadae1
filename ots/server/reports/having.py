"""A restored server and its agents: which of the reports that were acknowledged are not here any more."""

from __future__ import annotations

from sqlalchemy import select

from ots.remote import wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.database.tables import revision


async def lacking(call: Call) -> Answer:
    """The reports of this agent, of those that it names, of which no byte and no hash is here.

    What retention or a person took away is known by its hash and is not asked for again.
    """
    asked: wire.HeldReports = call.body
    async with call.services.database.reading() as connection:
        rows = await connection.execute(
            select(revision.c.report_id, revision.c.revision).where(
                revision.c.agent_id == call.agent.agent_id,
                revision.c.report_id.in_({held.report_id for held in asked.reports}),
            )
        )
        there = {(row.report_id, row.revision) for row in rows}
    gone = [held.report_id for held in asked.reports if (held.report_id, held.revision) not in there]
    return Answer(200, wire.LackedReports(lacking=gone))


OPERATIONS = (
    Operation(
        name="lackedReports",
        method="POST",
        path="/api/v1/agent/reports/have",
        summary="Which of these reports, for which the agent has receipts, a restored server lacks.",
        access=Access.AGENT,
        rate=Rate.READ,
        takes=wire.HeldReports,
        gives={200: wire.LackedReports},
        problems=("digest-mismatch",),
        handle=lacking,
    ),
)
