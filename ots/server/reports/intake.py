"""Takes a report from an agent: is it what was signed, can it be read, is it kept; and its artifacts."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from ots.license.tiers import granted_from
from ots.model.report import Report
from ots.remote import wire
from ots.schema.report import ReportError, read_report
from ots.server.api.operation import Access, Answer, Call, Operation, Rate, Raw
from ots.server.api.problems import Refused
from ots.server.assignments.arrivals import arrival_of
from ots.server.database.tables import artifact, report_artifact
from ots.server.identity.caller import AgentCaller
from ots.server.reports.facts import facts_of
from ots.server.reports.writer import Upload
from ots.signing.keys import key_id
from ots.signing.statement import StatementError, sign, verify

PACKED, UNPACKED = 1 << 20, 8 << 20
ARTIFACT = 32 << 20
_COUNTABLE = 1 << 53
_FILES = "upload:artifacts"
_PLAIN_GZIP = b"\x1f\x8b\x08\x00"


async def put_report(call: Call) -> Answer:
    """Keeps one revision. 201 with its receipt, 200 with the same receipt when it comes again.

    While it waits for the commit, the report is no longer in memory as objects: hundreds may wait.
    """
    upload = _examined(call)
    kept = await call.services.reports.keep(upload)
    if kept.new:
        call.services.metrics.report_delivered(call.services.wall() - upload.ended)
    missing = await _missing(call, upload.artifacts) if upload.artifacts else []
    return Answer(201 if kept.new else 200, wire.Stored(receipt=kept.receipt, missing_artifacts=missing))


def _examined(call: Call) -> Upload:
    """The upload of a request, if it is what its agent signed. Raises Refused."""
    caller = call.agent
    document: bytes = call.body
    digest = hashlib.sha256(document).hexdigest()
    signature = call.request.headers.get(wire.SIGNATURE_HEADER, "")
    claim = _claim(signature, caller)
    if claim.sha256 != digest or claim.size != len(document):
        raise Refused("digest-mismatch", "the report differs from what its signature says")
    report = _read(document)
    named = (call.path["report_id"], int(call.path["revision"]))
    if (claim.report_id, claim.revision) != named or (report.report_id, report.revision) != named:
        raise Refused("digest-mismatch", "path, signature and report name different reports or revisions")
    if report.agent.get("agent_id") != caller.agent_id or claim.agent_id != caller.agent_id:
        raise Refused("forbidden", "the report is of another agent")
    if not (0 <= report.seq < _COUNTABLE and (report.case.version or 0) < 1 << 31):
        raise Refused("schema-unsupported", "a number of the report is out of all bounds")
    received = call.services.wall()
    receipt = sign(
        msgspec.to_builtins(
            wire.Receipt(
                agent_id=caller.agent_id,
                report_id=report.report_id,
                revision=report.revision,
                sha256=digest,
                received_at=_rfc3339(received),
                server_id=call.services.server_id,
            )
        ),
        wire.RECEIPT,
        call.services.keys.receipt,
    )
    artifacts = sorted({entry.sha256 for step in report.steps for entry in step.artifacts})
    return _upload(report, document, call.packed, digest, signature, receipt, artifacts, caller, received)


async def put_artifact(call: Call) -> Answer:
    """Keeps a file under its hash, if a report of this agent names it."""
    caller = call.agent
    digest = call.path["sha256"]
    if hashlib.sha256(call.body).hexdigest() != digest:
        raise Refused("digest-mismatch", "the file differs from the hash in the path")
    async with call.services.database.writing() as connection:
        granted = await call.services.grants.of_agents(connection, [caller.agent_id], call.services.wall())
        if not granted[caller.agent_id].covers(_FILES):
            raise Refused("licence-required", f"{_FILES} needs the tier {granted_from(_FILES)}")
        named = await connection.execute(
            select(report_artifact.c.sha256)
            .where(report_artifact.c.agent_id == caller.agent_id, report_artifact.c.sha256 == digest)
            .limit(1)
        )
        if named.first() is None:
            raise Refused("not-found", "no report of this agent names this file")
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
        done = await connection.execute(
            insert(artifact)
            .on_conflict_do_nothing()
            .values(
                sha256=digest,
                size=len(call.body),
                body=zlib.compress(call.body, 6),
                received=call.services.wall(),
            )
        )
    return Answer(201 if done.rowcount else 200)


def _claim(signature: str, caller: AgentCaller) -> wire.ReportClaim:
    try:
        return msgspec.convert(
            verify(signature, wire.REPORT, {key_id(caller.key): caller.key}), wire.ReportClaim
        )
    except (StatementError, msgspec.ValidationError) as error:
        raise Refused("signature-invalid", f"{wire.SIGNATURE_HEADER}: {error}") from None


def _read(document: bytes) -> Report:
    try:
        return read_report(document)
    except ReportError as error:
        raise Refused("schema-unsupported", str(error)) from None


def _upload(
    report: Report,
    document: bytes,
    packed: bytes,
    digest: str,
    signature: str,
    receipt: str,
    artifacts: list[str],
    caller: AgentCaller,
    received: float,
) -> Upload:
    return Upload(
        agent_id=caller.agent_id,
        report_id=report.report_id,
        revision=report.revision,
        sha256=digest,
        receipt=receipt,
        artifacts=artifacts,
        revision_row={
            "agent_id": caller.agent_id,
            "report_id": report.report_id,
            "revision": report.revision,
            "kind": "measured",
            "sha256": digest,
            "parent_sha256": None,
            "size": len(document),
            "body": _kept(document, packed),
            "signature": signature,
            "receipt": receipt,
            "author": caller.name,
            "reason": None,
            "received": received,
        },
        report_row={
            "agent_id": caller.agent_id,
            "report_id": report.report_id,
            "department_id": caller.department_id,
            "project_id": caller.project_id,
            "seq": report.seq,
            "revision": report.revision,
            **facts_of(report),
            "tier": caller.tier,
            "size": len(document),
            "received": received,
        },
        arrival=arrival_of(report),
    )


def _kept(document: bytes, packed: bytes) -> bytes:
    """The document as zlib (RFC 1950). Of a plain gzip (RFC 1952) the deflated part is taken over."""
    if packed.startswith(_PLAIN_GZIP) and len(packed) < len(document):
        return b"\x78\x9c" + packed[10:-8] + zlib.adler32(document).to_bytes(4, "big")
    return zlib.compress(document, 1)


async def _missing(call: Call, artifacts: Sequence[str]) -> list[str]:
    async with call.services.database.reading() as connection:
        rows = await connection.execute(
            select(artifact.c.sha256).where(artifact.c.sha256.in_(artifacts)).with_for_update(read=True)
        )
        there = set(rows.scalars())
    return [digest for digest in artifacts if digest not in there]


def _rfc3339(wall: float) -> str:
    from ots.clock import rfc3339

    return rfc3339(wall)


OPERATIONS = (
    Operation(
        name="putReport",
        method="PUT",
        path="/api/v1/agent/reports/{report_id}/{revision}",
        summary="Keep a report of this agent, and answer with a signed receipt.",
        access=Access.AGENT,
        rate=Rate.UPLOAD,
        takes=Raw(("application/json",), PACKED, UNPACKED),
        headers=(wire.SIGNATURE_HEADER,),
        gives={201: wire.Stored, 200: wire.Stored},
        problems=(
            "digest-mismatch",
            "schema-unsupported",
            "forbidden",
            "revision-conflict",
            "quota-exceeded",
            "storage-full",
        ),
        handle=put_report,
    ),
    Operation(
        name="putArtifact",
        method="PUT",
        path="/api/v1/agent/artifacts/{sha256}",
        summary="Keep a file that a report of this agent names.",
        access=Access.AGENT,
        rate=Rate.UPLOAD,
        takes=Raw(("application/octet-stream",), ARTIFACT, ARTIFACT),
        gives={201: None, 200: None},
        problems=("digest-mismatch", "licence-required", "storage-full"),
        handle=put_artifact,
    ),
)
