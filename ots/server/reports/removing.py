"""Deleting a report: its bytes go, its hashes and signatures stay, so that what was there can be proven."""

from __future__ import annotations

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.reports.bodies import take_bodies
from ots.server.reports.reading import report_within_reach


async def delete_report(call: Call) -> Answer:
    """Takes the bytes of all revisions, the files that no other report names, and the words to find it by.

    The row and the revisions' hashes stay: if the agent sends the report again, it does not come back.
    """
    async with call.services.database.writing() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"], "reports:delete")
        await take_bodies(connection, [row], call.services.wall())
        await call.note(
            connection,
            "delete",
            f"report {row.id}",
            detail={"agent": row.agent_id, "report_id": row.report_id, "revisions": row.revision},
            department_id=row.department_id,
            project_id=row.project_id,
        )
    return Answer(204)


OPERATIONS = (
    Operation(
        name="deleteReport",
        method="DELETE",
        path="/api/v1/reports/{number}",
        summary="Delete a report: its bytes go, its hashes stay.",
        access=Access.PERSON,
        scope="reports:delete",
        rate=Rate.WRITE,
        gives={204: None},
        problems=("storage-full",),
        handle=delete_report,
    ),
)
