"""Deleting a report: its bytes go, its hashes and signatures stay, so that what was there can be proven."""

from __future__ import annotations

from sqlalchemy import delete, select, update

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.database.tables import artifact, report, report_artifact, revision
from ots.server.identity import audit
from ots.server.reports.reading import report_within_reach


async def delete_report(call: Call) -> Answer:
    """Takes the bytes of all revisions, the files that no other report names, and the words to find it by.

    The row and the revisions' hashes stay: if the agent sends the report again, it does not come back.
    """
    async with call.services.database.writing() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"], "reports:delete")
        of_report = revision.c.agent_id == row.agent_id, revision.c.report_id == row.report_id
        await connection.execute(update(revision).where(*of_report).values(body=None))
        await connection.execute(
            update(report).where(report.c.id == row.id).values(words="", targets="", job=None)
        )
        named = report_artifact.c.agent_id == row.agent_id, report_artifact.c.report_id == row.report_id
        files = list((await connection.execute(select(report_artifact.c.sha256).where(*named))).scalars())
        await connection.execute(delete(report_artifact).where(*named))
        await connection.execute(
            delete(artifact).where(
                artifact.c.sha256.in_(files),
                artifact.c.sha256.not_in(select(report_artifact.c.sha256)),
            )
        )
        await audit.note(
            connection,
            time=call.services.wall(),
            actor=call.person.name,
            address=call.address,
            action="delete",
            object=f"report {row.id}",
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
