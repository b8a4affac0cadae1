"""The pages of reports: found, read, compared, and revised by a note, a redaction or another judgement."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import yaml
from aiohttp import web

from ots.reports import difference_text
from ots.reports.difference import compare
from ots.reports.format import NAMES, renderer
from ots.reports.reading import Reader
from ots.server.api.problems import Refused
from ots.server.reports import comparing, reading, removing, revising
from ots.server.reports.comparing import DiffQuery, PairQuery
from ots.server.reports.reading import (
    UNREDACTED,
    ReportQuery,
    readable_revision,
    report_within_reach,
    revision_of,
)
from ots.server.reports.rendering import document_of, view_for
from ots.server.reports.revising import NewRevision
from ots.server.web.page import Visit, following, headers, named
from ots.strictyaml import YamlError, load_plain

_REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
_OPERATIONS = named(reading, revising, comparing, removing)


class DocumentQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which revision; the newest where nothing is said."""

    revision: Annotated[int, msgspec.Meta(ge=1, le=999_999)] | None = None


async def reports(visit: Visit) -> web.StreamResponse:
    wanted = visit.query(ReportQuery)
    found = await visit.call(_OPERATIONS["listReports"], query=wanted)
    return visit.show("reports", page=found, wanted=wanted, following=following(visit, found.next))


async def show_report(visit: Visit) -> web.StreamResponse:
    """One report: its place, its revisions, and the document itself in a frame."""
    assert visit.person is not None
    found = await visit.call(_OPERATIONS["showReport"])
    kept = any(each.kept for each in found.revisions)
    writing = kept and visit.person.may("reports:write")
    return visit.show(
        "report",
        report=found,
        formats=NAMES if kept else (),
        writing=writing,
        unredacted=visit.person.may(UNREDACTED),
        thresholds=await _thresholds(visit) if writing else None,
        deleting=kept and visit.person.may("reports:delete"),
    )


async def revise(visit: Visit) -> web.StreamResponse:
    """A new revision as one of the forms asks: texts and pointers stand one on a line, thresholds as YAML."""
    more: dict[str, object] = {}
    for name in ("texts", "pointers"):
        if name in visit.form:
            more[name] = [line.strip() for line in visit.form[name].splitlines() if line.strip()]
    if "thresholds" in visit.form:
        try:
            more["thresholds"] = load_plain(visit.form["thresholds"])
        except YamlError as error:
            raise Refused("invalid-body", str(error)) from None
    await visit.call(_OPERATIONS["reviseReport"], body=visit.filled(NewRevision, **more))
    return web.HTTPSeeOther(f"/reports/{visit.request.match_info['number']}")


async def delete(visit: Visit) -> web.StreamResponse:
    """Deletes the report, if the box was ticked."""
    if visit.form.get("sure") != "yes":
        raise Refused("invalid-body", visit.gettext("tick the box first"))
    await visit.call(_OPERATIONS["deleteReport"])
    return web.HTTPSeeOther("/reports")


async def show_diff(visit: Visit) -> web.StreamResponse:
    """What changed between two revisions."""
    found = await visit.call(_OPERATIONS["diffRevisions"], query=visit.query(DiffQuery))
    return visit.show("diff", number=visit.request.match_info["number"], diff=found)


async def show_document(visit: Visit) -> web.StreamResponse:
    """The newest revision that is kept, as the page that the agent itself would write."""
    assert visit.person is not None
    wish: DocumentQuery = visit.query(DocumentQuery)
    async with visit.services.database.reading() as connection:
        row = await report_within_reach(connection, visit.person, visit.request.match_info["number"])
        found = await readable_revision(connection, visit.person, row, wish.revision or row.revision)
    document = document_of(found)
    shown = renderer("html").render(document, view_for(visit.language, document))
    return web.Response(text=str(shown), content_type="text/html", headers=headers(_REPORT_POLICY))


async def show_comparison(visit: Visit) -> web.StreamResponse:
    """Two runs held against each other, in the reader's language."""
    assert visit.person is not None
    wish: PairQuery = visit.query(PairQuery)
    _OPERATIONS["compareReports"].permit(visit.person)
    documents = []
    async with visit.services.database.reading() as connection:
        for number in (wish.a, wish.b):
            row = await report_within_reach(connection, visit.person, str(number))
            documents.append(document_of(await revision_of(connection, row, row.revision)))
    how = view_for(visit.language, *documents)
    found = await asyncio.to_thread(compare, documents[0], documents[1], Reader(how))
    return visit.show(
        "comparison", wish=wish, found=found, text=difference_text.render(found, how, everything=True)
    )


async def _thresholds(visit: Visit) -> str | None:
    """The thresholds of the newest revision, step by step, as a case would write them; None where this
    server can't read the document."""
    assert visit.person is not None
    async with visit.services.database.reading() as connection:
        row = await report_within_reach(connection, visit.person, visit.request.match_info["number"])
        found = await revision_of(connection, row, row.revision)
    try:
        document = document_of(found)
    except Refused:
        return None
    written = {
        step.key: [
            {"metric": one.metric, "stat": one.stat}
            | {name: limit for name, limit in (("warn", one.warn), ("fail", one.fail)) if limit is not None}
            for one in step.thresholds
        ]
        for step in document.steps
    }
    return yaml.safe_dump(written, allow_unicode=True, sort_keys=False)


REPORT_PAGES = (
    ("GET", "/reports", reports),
    ("GET", "/reports/{number}", show_report),
    ("POST", "/reports/{number}/revisions", revise),
    ("POST", "/reports/{number}/delete", delete),
    ("GET", "/reports/{number}/diff", show_diff),
    ("GET", "/reports/{number}/document", show_document),
    ("GET", "/comparison", show_comparison),
)
"""Method, path and maker of each page of reports."""
