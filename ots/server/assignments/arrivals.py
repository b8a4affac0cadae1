"""Reports of planned runs: which assignment and which moment a report says it is of."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.model.report import Report
from ots.remote.assignment_wire import ASSIGNMENT_TAG, PLANNED_TAG, UNTIL_TAG
from ots.server.database.assignment_tables import arrival, assignment
from ots.server.database.tables import report

if TYPE_CHECKING:
    from ots.server.reports.writer import Upload

_POLICY = "POLICY"
UNRUN = ("missed", "skipped", "refused", "interrupted")
"""What may have become of a planned run instead of a run; a report says it before the colon of its reason."""


def arrival_of(document: Report) -> dict[str, Any] | None:
    """What a report's tags say of the planned run that it is of; None where they say nothing that is one."""
    try:
        assignment_id = str(uuid.UUID(document.tags[ASSIGNMENT_TAG]))
        planned = datetime.fromisoformat(document.tags[PLANNED_TAG]).timestamp()
        until = datetime.fromisoformat(document.tags.get(UNTIL_TAG, document.tags[PLANNED_TAG])).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
    return {
        "assignment_id": assignment_id,
        "planned": planned,
        "until": max(planned, until),
        "verdict": document.verdict,
        **_outcome(document),
    }


def _outcome(document: Report) -> dict[str, Any]:
    """`completed`, `aborted`; or why there was no run: a report of none says it first of its reason, and of a
    run that the agent's policy forbade every step says so."""
    reason = document.run.reason
    word = (reason or "").partition(":")[0]
    if document.run.state == "aborted" and word in UNRUN:
        return {"state": word, "reason": reason}
    errors = [step.error for step in document.steps]
    if errors and all(error is not None and error.code == _POLICY for error in errors):
        return {"state": "refused", "reason": next(error.message for error in errors if error is not None)}
    return {"state": document.run.state, "reason": reason}


async def note_arrivals(connection: AsyncConnection, uploads: Sequence[Upload]) -> None:
    """Notes the first report of each planned run of assignments that there are."""
    found = [upload for upload in uploads if upload.arrival is not None]
    if not found:
        return
    wanted = {upload.arrival["assignment_id"] for upload in found if upload.arrival is not None}
    known = set(
        (
            await connection.execute(
                select(assignment.c.assignment_id).where(assignment.c.assignment_id.in_(wanted))
            )
        ).scalars()
    )
    numbers = await connection.execute(
        select(report.c.id, report.c.agent_id, report.c.report_id).where(
            report.c.report_id.in_({upload.report_id for upload in found})
        )
    )
    number = {(row.agent_id, row.report_id): row.id for row in numbers}
    rows = [
        {
            **(upload.arrival or {}),
            "agent_id": upload.agent_id,
            "report": number[upload.agent_id, upload.report_id],
            "started": upload.report_row["start"],
            "received": upload.report_row["received"],
        }
        for upload in found
        if upload.arrival is not None and upload.arrival["assignment_id"] in known
    ]
    if rows:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
        await connection.execute(insert(arrival).on_conflict_do_nothing(), rows)
