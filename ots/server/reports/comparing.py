"""Two revisions of a report held against each other, place by place; two runs, figure by figure."""

from __future__ import annotations

import asyncio
import itertools
from typing import Annotated, Any

import msgspec

from ots.model.report import Report
from ots.reports.difference import Difference, compare
from ots.reports.reading import Reader
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.reports.reading import readable_revision, report_within_reach, revision_of
from ots.server.reports.rendering import document_of, view_for
from ots.server.reports.structure import Edit, edits

Revision = Annotated[int, msgspec.Meta(ge=1, le=999_999)]
Number = Annotated[int, msgspec.Meta(ge=1, le=999_999_999_999_999_999)]
MOST = 2_000
"""Places that a diff names at most."""


class DiffQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which revisions: `to` is the newest, and `from` the one before it, where nothing is said."""

    since: Revision | None = msgspec.field(name="from", default=None)
    to: Revision | None = None


class RevisionDiff(msgspec.Struct, kw_only=True):
    """What changed between two revisions. `cut` says that there is more than is listed."""

    since: int = msgspec.field(name="from")
    to: int
    from_sha256: str
    to_sha256: str
    edits: list[Edit]
    cut: bool


class PairQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The numbers of two reports; the newest revision of each is compared."""

    a: Number
    b: Number


async def diff_revisions(call: Call) -> Answer:
    """What changed, at which places of the document."""
    wish: DiffQuery = call.query
    async with call.services.database.reading() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"])
        later = await readable_revision(connection, call.person, row, wish.to or row.revision)
        since = wish.since or max(1, later.revision - 1)
        earlier = await readable_revision(connection, call.person, row, since)
    found = await asyncio.to_thread(_edits, earlier, later)
    return Answer(
        200,
        RevisionDiff(
            since=earlier.revision,
            to=later.revision,
            from_sha256=earlier.sha256,
            to_sha256=later.sha256,
            edits=found[:MOST],
            cut=len(found) > MOST,
        ),
    )


async def compare_reports(call: Call) -> Answer:
    """What changed from run a to run b, and what can't be compared, with the reason."""
    wish: PairQuery = call.query
    rows = []
    async with call.services.database.reading() as connection:
        for number in (wish.a, wish.b):
            row = await report_within_reach(connection, call.person, str(number))
            rows.append(await revision_of(connection, row, row.revision))
    return Answer(200, await asyncio.to_thread(_compared, *rows))


def _edits(earlier: Any, later: Any) -> list[Edit]:
    documents = [msgspec.to_builtins(document_of(row)) for row in (earlier, later)]
    return list(itertools.islice(edits(*documents), MOST + 1))


def _compared(first: Any, second: Any) -> Difference:
    before: Report = document_of(first)
    after: Report = document_of(second)
    return compare(before, after, Reader(view_for("en", before, after)))


OPERATIONS = (
    Operation(
        name="diffRevisions",
        method="GET",
        path="/api/v1/reports/{number}/diff",
        summary="What changed between two revisions of a report.",
        access=Access.PERSON,
        scope="reports:read",
        rate=Rate.READ,
        query=DiffQuery,
        gives={200: RevisionDiff},
        problems=("schema-unsupported",),
        handle=diff_revisions,
    ),
    Operation(
        name="compareReports",
        method="GET",
        path="/api/v1/report-comparison",
        summary="What changed between two runs, figure by figure, and what can't be compared.",
        access=Access.PERSON,
        scope="reports:read",
        rate=Rate.READ,
        query=PairQuery,
        gives={200: Difference},
        problems=("schema-unsupported",),
        handle=compare_reports,
    ),
)
