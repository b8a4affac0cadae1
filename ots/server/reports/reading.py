"""Reports as people find and read them: lists, one report with its revisions, the bytes, the proof."""

from __future__ import annotations

import zlib
from typing import Annotated, Any

import msgspec
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.model.outcome import Verdict
from ots.remote.wire import SIGNATURE_HEADER
from ots.server.api.operation import Access, Answer, Call, Operation, Rate, Raw
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import moment, stamp
from ots.server.database.tables import agent, artifact, department, project, report, report_artifact, revision
from ots.server.identity.caller import Person

Text = Annotated[str, msgspec.Meta(max_length=200)]
UNREDACTED = "reports:unredacted"
"""The scope that reading what a redaction took away needs."""


class ReportView(msgspec.Struct, kw_only=True):
    """One line of the list. `number` is the server's own; times are RFC 3339 UTC, durations seconds."""

    number: int
    report_id: str
    agent_id: str
    agent: str
    department: str | None
    project: str | None
    seq: int
    revision: int
    case: str
    case_version: int | None
    state: str
    verdict: Verdict
    start: str
    duration: float | None
    job: str | None
    tier: str
    targets: str
    size: int
    received: str


class RevisionView(msgspec.Struct, kw_only=True):
    """One revision: who made it, why, over which one, and whether its bytes are still kept. `redacted`: a
    later one took something away, so that reading these bytes needs `reports:unredacted`."""

    revision: int
    kind: str
    sha256: str
    parent_sha256: str | None
    size: int
    author: str
    reason: str | None
    received: str
    kept: bool
    redacted: bool


class ReportDetail(ReportView, kw_only=True):
    """A report with all its revisions and the files beside it."""

    revisions: list[RevisionView]
    artifacts: list[str]


class ReportPage(msgspec.Struct, kw_only=True):
    items: list[ReportView]
    next: str | None


class ReportQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which reports, the newest first. `since` and `until` bound the start (RFC 3339); every word of
    `search` must be in the report's texts.
    """

    since: Text | None = None
    until: Text | None = None
    verdict: Verdict | None = None
    case: Text | None = None
    job: Text | None = None
    agent_id: Text | None = None
    search: Text | None = None


class Proof(msgspec.Struct, kw_only=True):
    """What proves a revision: the agent's signature over its bytes with the agent's key, and our receipt.

    Revisions that were made on the server have no agent's signature.
    """

    sha256: str
    size: int
    signature: str | None
    receipt: str | None
    agent_key: str


async def list_reports(call: Call) -> Answer:
    """The reports within the caller's reach."""
    query = filtered(call.person, call.query)
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, report.c.id, call.query, newest_first=True)
    return Answer(200, ReportPage(items=[view_of(row) for row in rows], next=following))


async def show_report(call: Call) -> Answer:
    """One report and its revisions."""
    async with call.services.database.reading() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"])
        return Answer(200, await detail_of(connection, row))


async def raw_revision(call: Call) -> Answer:
    """The exact bytes of a revision."""
    async with call.services.database.reading() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"])
        found = await readable_revision(connection, call.person, row, int(call.path["revision"]))
    if found.body is None:
        raise Refused("not-found", "retention has taken the bytes of this revision; its hash stays")
    headers = {"ETag": f'"{found.sha256}"'}
    if found.signature is not None:
        headers[SIGNATURE_HEADER] = found.signature
    return Answer(200, zlib.decompress(found.body), headers)


async def prove_revision(call: Call) -> Answer:
    """The signatures of a revision."""
    async with call.services.database.reading() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"])
        found = await revision_of(connection, row, int(call.path["revision"]))
        key = (
            await connection.execute(select(agent.c.public_key).where(agent.c.agent_id == row.agent_id))
        ).scalar_one()
    return Answer(
        200,
        Proof(
            sha256=found.sha256,
            size=found.size,
            signature=found.signature,
            receipt=found.receipt,
            agent_key=key,
        ),
    )


async def show_artifact(call: Call) -> Answer:
    """A file beside a report, as a download that no browser runs."""
    digest = call.path["sha256"]
    async with call.services.database.reading() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"])
        if not await may_see_files(connection, call.person, row):
            raise Refused("forbidden", f"the report was redacted: its files need {UNREDACTED}")
        found = (
            await connection.execute(
                select(artifact.c.body)
                .join(report_artifact, report_artifact.c.sha256 == artifact.c.sha256)
                .where(
                    report_artifact.c.agent_id == row.agent_id,
                    report_artifact.c.report_id == row.report_id,
                    artifact.c.sha256 == digest,
                )
            )
        ).scalar()
    if found is None:
        raise Refused("not-found")
    headers = {
        "Content-Disposition": f'attachment; filename="{digest}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return Answer(200, zlib.decompress(found), headers, media_type="application/octet-stream")


def filtered(person: Person, wanted: ReportQuery) -> Select[Any]:
    """The reports that a person may read and asked for. Raises Refused."""
    query = selected().where(person.reach("reports:read").condition(report))
    if wanted.since is not None:
        query = query.where(report.c.start >= moment("since", wanted.since))
    if wanted.until is not None:
        query = query.where(report.c.start < moment("until", wanted.until))
    for column, value in (
        (report.c.verdict, wanted.verdict),
        (report.c.case_id, wanted.case),
        (report.c.job, wanted.job),
        (report.c.agent_id, wanted.agent_id),
    ):
        if value is not None:
            query = query.where(column == value)
    for word in (wanted.search or "").lower().split():
        query = query.where(report.c.words.contains(word, autoescape=True))
    return query


def selected() -> Select[Any]:
    """Reports with the names of their agent, department and project."""
    return (
        select(
            report,
            agent.c.name.label("agent"),
            department.c.number.label("department"),
            project.c.number.label("project"),
        )
        .join(agent, agent.c.agent_id == report.c.agent_id)
        .outerjoin(department, department.c.id == report.c.department_id)
        .outerjoin(project, project.c.id == report.c.project_id)
    )


async def report_within_reach(
    connection: AsyncConnection, person: Person, number: str, scope: str = "reports:read"
) -> Any:
    """The row of a report; one beyond the person's reach is as unknown as one that doesn't exist."""
    row = (
        await connection.execute(
            selected().where(report.c.id == int(number), person.reach(scope).condition(report))
        )
    ).one_or_none()
    if row is None:
        raise Refused("not-found")
    return row


async def revision_of(connection: AsyncConnection, row: Any, number: int) -> Any:
    """The row of a revision of a report. Raises Refused."""
    found = (
        await connection.execute(
            select(revision).where(
                revision.c.agent_id == row.agent_id,
                revision.c.report_id == row.report_id,
                revision.c.revision == number,
            )
        )
    ).one_or_none()
    if found is None:
        raise Refused("not-found")
    return found


async def readable_revision(connection: AsyncConnection, person: Person, row: Any, number: int) -> Any:
    """A revision whose bytes this person may read: those before a redaction need a scope of their own.
    Raises Refused."""
    redacted = await _last_redaction(connection, row)
    if redacted is not None and number < redacted and not _unredacted(person, row):
        raise Refused("forbidden", f"revision {redacted} redacted it: what was before needs {UNREDACTED}")
    return await revision_of(connection, row, number)


async def may_see_files(connection: AsyncConnection, person: Person, row: Any) -> bool:
    """Whether the files beside a report are for this person: they are as the agent sent them, unredacted."""
    return _unredacted(person, row) or await _last_redaction(connection, row) is None


def _unredacted(person: Person, row: Any) -> bool:
    return person.reach(UNREDACTED).covers(row.department_id, row.project_id)


async def _last_redaction(connection: AsyncConnection, row: Any) -> int | None:
    found: int | None = (
        await connection.execute(
            select(func.max(revision.c.revision)).where(
                revision.c.agent_id == row.agent_id,
                revision.c.report_id == row.report_id,
                revision.c.kind == "redaction",
            )
        )
    ).scalar()
    return found


async def detail_of(connection: AsyncConnection, row: Any) -> ReportDetail:
    """A report with its revisions."""
    of_report = revision.c.agent_id == row.agent_id, revision.c.report_id == row.report_id
    revisions = await connection.execute(
        select(
            *(column for column in revision.c if column.name != "body"),
            revision.c.body.is_not(None).label("kept"),
        )
        .where(*of_report)
        .order_by(revision.c.revision)
    )
    files = await connection.execute(
        select(report_artifact.c.sha256)
        .where(report_artifact.c.agent_id == row.agent_id, report_artifact.c.report_id == row.report_id)
        .order_by(report_artifact.c.sha256)
    )
    last = await _last_redaction(connection, row) or 0
    return ReportDetail(
        **msgspec.structs.asdict(view_of(row)),
        revisions=[
            RevisionView(
                revision=each.revision,
                kind=each.kind,
                sha256=each.sha256,
                parent_sha256=each.parent_sha256,
                size=each.size,
                author=each.author,
                reason=each.reason,
                received=stamp(each.received),
                kept=bool(each.kept),
                redacted=each.revision < last,
            )
            for each in revisions
        ],
        artifacts=list(files.scalars()),
    )


def view_of(row: Any) -> ReportView:
    """A row of `selected` as a list shows it."""
    return ReportView(
        number=row.id,
        report_id=row.report_id,
        agent_id=row.agent_id,
        agent=row.agent,
        department=row.department,
        project=row.project,
        seq=row.seq,
        revision=row.revision,
        case=row.case_id,
        case_version=row.case_version,
        state=row.state,
        verdict=row.verdict,
        start=stamp(row.start),
        duration=row.duration,
        job=row.job,
        tier=row.tier,
        targets=row.targets,
        size=row.size,
        received=stamp(row.received),
    )


_READS: dict[str, Any] = {
    "method": "GET",
    "access": Access.PERSON,
    "scope": "reports:read",
    "rate": Rate.READ,
}

OPERATIONS = (
    Operation(
        name="listReports",
        path="/api/v1/reports",
        summary="List reports, the newest first.",
        query=ReportQuery,
        gives={200: ReportPage},
        handle=list_reports,
        **_READS,
    ),
    Operation(
        name="showReport",
        path="/api/v1/reports/{number}",
        summary="Show a report, its revisions and files.",
        gives={200: ReportDetail},
        handle=show_report,
        **_READS,
    ),
    Operation(
        name="rawRevision",
        path="/api/v1/reports/{number}/revisions/{revision}",
        summary="The exact bytes of a revision.",
        gives={200: Raw(("application/json",))},
        handle=raw_revision,
        **_READS,
    ),
    Operation(
        name="proveRevision",
        path="/api/v1/reports/{number}/revisions/{revision}/proof",
        summary="The signatures that prove a revision.",
        gives={200: Proof},
        handle=prove_revision,
        **_READS,
    ),
    Operation(
        name="showArtifact",
        path="/api/v1/reports/{number}/artifacts/{sha256}",
        summary="A file beside a report.",
        gives={200: Raw(("application/octet-stream",))},
        handle=show_artifact,
        **_READS,
    ),
)
