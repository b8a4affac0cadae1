"""New revisions of a report: a note, a redaction, another judgement. What was there before stays as it is."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from typing import Annotated, Any, Literal

import msgspec
from pydantic import ValidationError
from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ots.clock import rfc3339
from ots.engine.rejudged import rejudged
from ots.model.report import Report
from ots.registry import BrokenProbe, kinds
from ots.remote import wire
from ots.schema.load_metrics import metrics_of
from ots.schema.report import ReportError, read_report
from ots.schema.threshold import Threshold, ThresholdWritten, understand
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused
from ots.server.database.tables import report, revision
from ots.server.reports.facts import facts_of
from ots.server.reports.reading import ReportDetail, detail_of, report_within_reach, revision_of
from ots.server.reports.redaction import CannotRedact, redacted
from ots.signing.statement import sign
from ots.store.document import encode

Said = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
Pointer = Annotated[str, msgspec.Meta(min_length=2, max_length=500)]
Struck = Annotated[str, msgspec.Meta(min_length=3, max_length=500)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class NewRevision(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is changed, and why. `parent` is the revision that the author saw: if another one is the newest
    by now, nothing is changed.

    A `note` adds `note` to the job's notes. A `redaction` removes what `pointers` (RFC 6901) name, and each
    of `texts` wherever it stands. A `judgement` holds `thresholds`, written as in a case, against what was
    measured: those of the step keys that are named, the other steps keep theirs.
    """

    kind: Literal["note", "redaction", "judgement"]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    parent: Annotated[int, msgspec.Meta(ge=1, le=999_999)] | None = None
    note: Said | None = None
    pointers: Annotated[list[Pointer], msgspec.Meta(max_length=100)] = []
    texts: Annotated[list[Struck], msgspec.Meta(max_length=100)] = []
    thresholds: Annotated[
        dict[Key, Annotated[list[dict[str, Any]], msgspec.Meta(max_length=100)]], msgspec.Meta(max_length=100)
    ] = {}


async def revise_report(call: Call) -> Answer:
    """Makes the next revision; of two at once one is made, the other is told."""
    wish: NewRevision = call.body
    author, made = call.person.name, call.services.wall()
    async with call.services.database.reading() as connection:
        row = await report_within_reach(connection, call.person, call.path["number"], "reports:write")
        newest = (
            await connection.execute(
                select(func.max(revision.c.revision)).where(
                    revision.c.agent_id == row.agent_id, revision.c.report_id == row.report_id
                )
            )
        ).scalar_one()
        parent = await revision_of(connection, row, newest)
    if wish.parent is not None and wish.parent != newest:
        raise Refused("revision-conflict", f"revision {newest} is the newest by now")
    if parent.body is None:
        raise Refused("conflict", "the bytes of this report are gone")
    if newest >= 999_999:
        raise Refused("conflict", "this report has all the revisions that there can be")
    changed, document = await asyncio.to_thread(_changed, parent.body, newest + 1, wish, author, made)
    digest = hashlib.sha256(document).hexdigest()
    claim = wire.RevisionClaim(
        agent_id=row.agent_id,
        report_id=row.report_id,
        revision=newest + 1,
        kind=wish.kind,
        sha256=digest,
        parent_sha256=parent.sha256,
        author=author,
        reason=wish.reason,
        made_at=rfc3339(made),
        server_id=call.services.server_id,
    )
    values = {
        **{name: getattr(claim, name) for name in ("agent_id", "report_id", "revision", "kind", "sha256")},
        **{name: getattr(claim, name) for name in ("parent_sha256", "author", "reason")},
        "size": len(document),
        "body": zlib.compress(document, 1),
        "signature": None,
        "receipt": sign(msgspec.to_builtins(claim), wire.REVISION, call.services.keys.receipt),
        "received": made,
    }
    async with call.services.database.writing() as connection:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
        # The parent is locked and read again: it may have been deleted meanwhile.
        kept = await connection.execute(
            update(revision)
            .where(
                revision.c.agent_id == row.agent_id,
                revision.c.report_id == row.report_id,
                revision.c.revision == newest,
                revision.c.body.is_not(None),
            )
            .values(revision=newest)
        )
        if not kept.rowcount:
            raise Refused("conflict", "the bytes of this report are gone")
        done = await connection.execute(insert(revision).on_conflict_do_nothing().values(**values))
        if not done.rowcount:
            raise Refused("revision-conflict", f"somebody else has just made revision {newest + 1}")
        await connection.execute(
            update(report)
            .where(report.c.id == row.id)
            .values(revision=newest + 1, size=len(document), **facts_of(changed))
        )
        await call.note(
            connection,
            wish.kind,
            f"report {row.id}",
            detail={"revision": newest + 1, "sha256": digest, "parent_sha256": parent.sha256}
            | {"reason": wish.reason},
            department_id=row.department_id,
            project_id=row.project_id,
        )
        made_row = await report_within_reach(connection, call.person, call.path["number"], "reports:write")
        return Answer(201, await detail_of(connection, made_row))


def _changed(body: bytes, number: int, wish: NewRevision, author: str, made: float) -> tuple[Report, bytes]:
    """The new revision and its bytes. Raises Refused."""
    try:
        before = read_report(zlib.decompress(body))
    except ReportError as error:
        raise Refused("schema-unsupported", str(error)) from None
    changed = _CHANGES[wish.kind](before, wish, author, made)
    changed = msgspec.structs.replace(changed, revision=number)
    return changed, encode(changed)


def _noted(before: Report, wish: NewRevision, author: str, made: float) -> Report:
    _only(wish, "note")
    line = f"{rfc3339(made)} {author}: {wish.note}"
    job = msgspec.structs.replace(before.job, notes=[*before.job.notes, line])
    return msgspec.structs.replace(before, job=job)


def _redacted(before: Report, wish: NewRevision, author: str, made: float) -> Report:
    _only(wish, "pointers", "texts")
    try:
        return redacted(before, wish.pointers, wish.texts)
    except CannotRedact as error:
        raise Refused("invalid-body", str(error)) from None


def _judged(before: Report, wish: NewRevision, author: str, made: float) -> Report:
    _only(wish, "thresholds")
    probes = {step.key: step.probe for step in before.steps}
    for key in wish.thresholds:
        if key not in probes:
            raise Refused("invalid-body", f"the report has no step {key[:60]!r}")
    return rejudged(
        before, {key: _understood(key, probes[key], wanted) for key, wanted in wish.thresholds.items()}
    )


def _understood(step: str, probe: str, wanted: list[dict[str, Any]]) -> list[Threshold]:
    try:
        known = kinds()[probe]
    except (KeyError, BrokenProbe):
        raise Refused(
            "invalid-body", f"the probe {probe[:60]!r} of step {step[:60]!r} is not known here"
        ) from None
    found = []
    for written in wanted:
        try:
            threshold = understand(ThresholdWritten.model_validate(written), metrics_of(known, "any"))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part)[:60] for part in first["loc"])
            raise Refused("invalid-body", f"a threshold of {step[:60]!r}: {place}: {first['msg']}") from None
        if isinstance(threshold, list):
            fault = threshold[0]
            raise Refused("invalid-body", f"a threshold of {step[:60]!r}: {fault.field}: {fault.message}")
        found.append(threshold)
    return found


def _only(wish: NewRevision, *own: str) -> None:
    """Refuses a wish without what belongs to its kind, or with what belongs to another one."""
    given = {name for name in ("note", "pointers", "texts", "thresholds") if getattr(wish, name)}
    if not given or not given.issubset(own):
        raise Refused("invalid-body", f"a {wish.kind} has {' or '.join(own)}, and nothing else")


_CHANGES = {"note": _noted, "redaction": _redacted, "judgement": _judged}

OPERATIONS = (
    Operation(
        name="reviseReport",
        method="POST",
        path="/api/v1/reports/{number}/revisions",
        summary="Make a new revision: a note, a redaction or another judgement.",
        access=Access.PERSON,
        scope="reports:write",
        rate=Rate.WRITE,
        takes=NewRevision,
        gives={201: ReportDetail},
        problems=("conflict", "revision-conflict", "schema-unsupported", "storage-full"),
        handle=revise_report,
    ),
)
