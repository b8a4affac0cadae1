"""The audit trail as people read it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
from sqlalchemy import select

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.times import stamp
from ots.server.database.tables import audit as table
from ots.server.identity import audit

Text = Annotated[str, msgspec.Meta(max_length=200)]


class AuditEntry(msgspec.Struct, kw_only=True):
    """Who did what to what, from where, and how it ended. `hash` binds the entry to the one before."""

    id: int
    time: str
    actor: str
    address: str | None
    action: str
    object: str
    outcome: str
    detail: dict[str, Any]
    hash: str


class AuditPage(msgspec.Struct, kw_only=True):
    items: list[AuditEntry]
    next: str | None


class AuditQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    actor: Text | None = None
    action: Text | None = None


class AuditCheck(msgspec.Struct, kw_only=True):
    """`first_break` is the first entry that doesn't fit what stands before it; null: the trail is whole."""

    first_break: int | None


async def list_audit(call: Call) -> Answer:
    """The entries within the caller's reach, the newest first."""
    wanted: AuditQuery = call.query
    query = select(table).where(call.person.reach("audit:read").condition(table))
    if wanted.actor is not None:
        query = query.where(table.c.actor == wanted.actor)
    if wanted.action is not None:
        query = query.where(table.c.action == wanted.action)
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, table.c.id, wanted, newest_first=True)
    return Answer(200, AuditPage(items=[_entry(row) for row in rows], next=following))


async def check_audit(call: Call) -> Answer:
    """Goes through the whole trail."""
    async with call.services.database.reading() as connection:
        return Answer(200, AuditCheck(first_break=await audit.first_break(connection)))


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        time=stamp(row.time),
        actor=row.actor,
        address=row.address,
        action=row.action,
        object=row.object,
        outcome=row.outcome,
        detail=json.loads(row.detail),
        hash=row.hash,
    )


OPERATIONS = (
    Operation(
        name="listAudit",
        method="GET",
        path="/api/v1/audit",
        summary="List the audit trail, the newest entry first.",
        access=Access.PERSON,
        scope="audit:read",
        rate=Rate.READ,
        query=AuditQuery,
        gives={200: AuditPage},
        handle=list_audit,
    ),
    Operation(
        name="checkAudit",
        method="GET",
        path="/api/v1/audit/check",
        summary="Check that no entry of the audit trail was changed or taken out.",
        access=Access.PERSON,
        scope="audit:read",
        everywhere=True,
        rate=Rate.ENTRY,
        gives={200: AuditCheck},
        handle=check_audit,
    ),
)
