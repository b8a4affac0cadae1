"""A revision in any of the report formats, as a download that no browser runs."""

from __future__ import annotations

import asyncio
import zlib
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.reports.format import CannotRender, renderer
from ots.server.api.operation import Access, Answer, Call, Operation, Rate, Raw
from ots.server.api.problems import Refused
from ots.server.database.tables import artifact, report_artifact
from ots.server.reports.reading import may_see_files, readable_revision, report_within_reach
from ots.server.reports.rendering import document_of, view_for

FormatName = Literal[
    "terminal", "html", "json", "junit", "csv", "csv-samples", "markdown", "nagios", "har", "pdf"
]
MEDIA_TYPES = (
    *("text/plain", "text/html", "application/json", "application/xml"),
    *("text/csv", "text/markdown", "application/pdf"),
)
_AT_ONCE = asyncio.Semaphore(2)
"""A page of PDF costs seconds of a processor: more at once would hold up everybody else."""

_WITH_FILES = ("html", "har", "pdf")
_MOST_FILES = 32 << 20


class ExportQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """In which format, of which revision (the newest), in which language."""

    format: FormatName
    revision: Annotated[int, msgspec.Meta(ge=1, le=999_999)] | None = None
    language: Literal["en", "zh"] = "en"


async def export_report(call: Call) -> Answer:
    """The revision in that format; `json` are its exact bytes."""
    wish: ExportQuery = call.query
    async with call.services.database.reading() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"])
        found = await readable_revision(connection, call.person, row, wish.revision or row.revision)
        with_files = wish.format in _WITH_FILES and await may_see_files(connection, call.person, row)
        files = await _files(connection, row) if with_files else {}
    made = renderer(wish.format).FORMAT
    async with _AT_ONCE:
        data = await asyncio.to_thread(_rendered, found, wish, files)
    headers = {
        "Content-Disposition": f'attachment; filename="report-{row.id}-{found.revision}.{made.extension}"',
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    }
    return Answer(200, data, headers, media_type=made.media_type.partition(";")[0])


def _rendered(found: Any, wish: ExportQuery, files: dict[str, bytes]) -> bytes:
    document = document_of(found)
    if wish.format == "json":
        return zlib.decompress(found.body)
    try:
        shown = renderer(wish.format).render(document, view_for(wish.language, document, artifacts=files))
    except CannotRender as error:
        raise Refused("conflict", f"{error}; {error.remedy}" if error.remedy else str(error)) from None
    return shown if isinstance(shown, bytes) else shown.encode()


async def _files(connection: AsyncConnection, row: Any) -> dict[str, bytes]:
    """The files beside a report, as many as a document may hold."""
    rows = await connection.execute(
        select(artifact.c.sha256, artifact.c.size)
        .join(report_artifact, report_artifact.c.sha256 == artifact.c.sha256)
        .where(report_artifact.c.agent_id == row.agent_id, report_artifact.c.report_id == row.report_id)
        .order_by(artifact.c.size, artifact.c.sha256)
    )
    chosen, size = [], 0
    for each in rows:
        size += each.size
        if size > _MOST_FILES:
            break
        chosen.append(each.sha256)
    bodies = await connection.execute(
        select(artifact.c.sha256, artifact.c.body).where(artifact.c.sha256.in_(chosen))
    )
    return {each.sha256: zlib.decompress(each.body) for each in bodies}


OPERATIONS = (
    Operation(
        name="exportReport",
        method="GET",
        path="/api/v1/reports/{number}/export",
        summary="A revision in one of the report formats.",
        access=Access.PERSON,
        scope="reports:read",
        rate=Rate.WRITE,
        query=ExportQuery,
        gives={200: Raw(MEDIA_TYPES)},
        problems=("conflict", "schema-unsupported"),
        handle=export_report,
    ),
)
