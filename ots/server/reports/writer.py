"""Commits uploads in groups: all that arrived meanwhile goes into one transaction, and is then answered.

One batch is written at a time, so that it grows with the load, and durability costs little for each report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.license.grant import Grant
from ots.license.tiers import DAY
from ots.server.api.problems import Refused
from ots.server.assignments.arrivals import note_arrivals
from ots.server.database.database import Database
from ots.server.database.tables import agent, report, report_artifact, revision
from ots.server.identity.agents import refuse_state
from ots.server.licences.grants import Grants
from ots.server.reports.quota import quota_of

LARGEST_BATCH = 200
_WAITING = 2_000
_BUSY_SECONDS = 2.0
_BREATH = 0.001
"""Seconds in which others may join a batch; as long as some do, there is another."""
FOREVER = 1e12
"""Seconds since 1970: no licence ends the keeping of a report that is kept until then."""

Key = tuple[str, str, int]
"""Agent, report, revision."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One revision that an agent sent: its rows, and the receipt that is given if it is new. `arrival` says
    which planned run it is of."""

    agent_id: str
    report_id: str
    revision: int
    sha256: str
    receipt: str
    revision_row: dict[str, Any]
    report_row: dict[str, Any]
    artifacts: Sequence[str]
    arrival: Mapping[str, Any] | None = None

    @property
    def received(self) -> float:
        return float(self.report_row["received"])

    @property
    def ended(self) -> float:
        """When the run ended, by its agent's clock; seconds since 1970."""
        return float(self.report_row["start"]) + float(self.report_row["duration"] or 0.0)

    @property
    def key(self) -> Key:
        return self.agent_id, self.report_id, self.revision


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of an upload: `new` or there already, with the receipt that stands."""

    new: bool
    receipt: str


class ReportWriter:
    """Takes uploads from any number of requests. `start` and `close` run its one task."""

    def __init__(self, database: Database, grants: Grants) -> None:
        self._database = database
        self._grants = grants
        self._waiting: list[tuple[Upload, asyncio.Future[Kept]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="report writer")

    async def close(self) -> None:
        """Writes what waits, then ends."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def keep(self, upload: Upload) -> Kept:
        """Returns when the upload is committed. Raises what kept it from being kept."""
        if self._closing:
            raise Refused("closing")
        if len(self._waiting) >= _WAITING:
            raise Refused("database-away", "too many reports wait to be written", retry_after=_BUSY_SECONDS)
        future: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        self._waiting.append((upload, future))
        self._wake.set()
        return await future

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._gather()
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            batch = [entry for entry in batch if not entry[1].done()]
            if batch:
                await self._write(batch)

    async def _gather(self) -> None:
        """Lets more come, as long as some do: one large batch costs less than two."""
        there = 0
        while there < len(self._waiting) < LARGEST_BATCH:
            there = len(self._waiting)
            await asyncio.sleep(_BREATH)

    async def _write(self, batch: Sequence[tuple[Upload, asyncio.Future[Kept]]]) -> None:
        try:
            async with self._database.writing() as connection:
                results = await _insert(connection, self._grants, [upload for upload, _ in batch])
        except Exception as error:  # noqa: BLE001 - goes to everyone who waits for it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Refused):
                future.set_exception(result)
            else:
                future.set_result(result)


async def _insert(
    connection: AsyncConnection, grants: Grants, uploads: Sequence[Upload]
) -> list[Kept | Refused]:
    """Inserts what is not there yet, and reads what stands: that decides, whoever wrote it."""
    states = await _states(connection, {upload.agent_id for upload in uploads})
    refused = {
        agent_id: _refusal(states.get(agent_id)) for agent_id in {upload.agent_id for upload in uploads}
    }
    first: dict[Key, Upload] = {}
    for upload in uploads:
        if refused[upload.agent_id] is None:
            first.setdefault(upload.key, upload)
    granted = await grants.of_agents(
        connection,
        {upload.agent_id for upload in first.values()},
        max((upload.received for upload in first.values()), default=0.0),
    )
    too_many = await _beyond_quota(connection, granted, first)
    for key in too_many:
        del first[key]
    standing: dict[Key, tuple[str, str | None]] = {}
    if first:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
        unique = list(first.values())
        await connection.execute(
            insert(revision).on_conflict_do_nothing(), [upload.revision_row for upload in unique]
        )
        rows = await connection.execute(
            select(
                revision.c.agent_id,
                revision.c.report_id,
                revision.c.revision,
                revision.c.sha256,
                revision.c.receipt,
            ).where(revision.c.report_id.in_({upload.report_id for upload in unique}))
        )
        standing = {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}
        ours = [upload for upload in unique if standing[upload.key] == (upload.sha256, upload.receipt)]
        if ours:
            await connection.execute(
                insert(report).on_conflict_do_nothing(index_elements=["agent_id", "report_id"]),
                [upload.report_row | _kept_until(upload, granted[upload.agent_id]) for upload in ours],
            )
            await _mark_clones(connection, ours)
            await note_arrivals(connection, ours)
        named = [
            {"agent_id": upload.agent_id, "report_id": upload.report_id, "sha256": digest}
            for upload in ours
            for digest in upload.artifacts
        ]
        if named:
            await connection.execute(insert(report_artifact).on_conflict_do_nothing(), named)
    return [
        _outcome(upload, refused[upload.agent_id] or too_many.get(upload.key), standing.get(upload.key))
        for upload in uploads
    ]


async def _beyond_quota(
    connection: AsyncConnection, granted: Mapping[str, Grant], uploads: Mapping[Key, Upload]
) -> dict[Key, Refused]:
    """Which of these uploads are new and more than their agents' licences allow, with what to answer."""
    now = max((upload.received for upload in uploads.values()), default=0.0)
    quota = await quota_of(connection, granted, now)
    limited = [upload for upload in uploads.values() if upload.agent_id in quota.left]
    if not limited:
        return {}
    rows = await connection.execute(
        select(report.c.agent_id, report.c.report_id).where(
            report.c.agent_id.in_(quota.left),
            report.c.report_id.in_({upload.report_id for upload in limited}),
        )
    )
    there = {(row.agent_id, row.report_id) for row in rows}
    found = {}
    for upload in limited:
        if (upload.agent_id, upload.report_id) in there:
            continue
        refusal = quota.take(upload.agent_id)
        if refusal is not None:
            found[upload.key] = refusal
    return found


def _kept_until(upload: Upload, grant: Grant) -> dict[str, float]:
    """Until when the licence of this moment has the server keep a report."""
    days = grant.limit("retention_days")
    return {"keep_until": FOREVER if days is None else upload.received + days * DAY}


async def _mark_clones(connection: AsyncConnection, uploads: Sequence[Upload]) -> None:
    """Two reports of one agent under one number: its data folder was copied, or an old copy brought back."""
    rows = await connection.execute(
        select(report.c.agent_id, report.c.seq)
        .where(
            report.c.agent_id.in_({upload.agent_id for upload in uploads}),
            report.c.seq.in_({upload.report_row["seq"] for upload in uploads}),
        )
        .group_by(report.c.agent_id, report.c.seq)
        .having(func.count() > 1)
    )
    for agent_id, seq in {row.agent_id: row.seq for row in rows}.items():
        await connection.execute(
            update(agent)
            .where(agent.c.agent_id == agent_id, agent.c.possible_clone.is_(None))
            .values(possible_clone=f"two reports bear the number {seq}")
        )


async def _states(connection: AsyncConnection, agents: set[str]) -> dict[str, str]:
    rows = await connection.execute(
        select(agent.c.agent_id, agent.c.status).where(agent.c.agent_id.in_(agents))
    )
    return {row.agent_id: row.status for row in rows}


def _refusal(status: str | None) -> Refused | None:
    if status is None:
        return Refused("agent-unknown")
    try:
        refuse_state(status)
    except Refused as refused:
        return refused
    return None


def _outcome(
    upload: Upload, refusal: Refused | None, standing: tuple[str, str | None] | None
) -> Kept | Refused:
    if refusal is not None:
        return refusal
    assert standing is not None
    sha256, receipt = standing
    if sha256 != upload.sha256 or receipt is None:
        return Refused("revision-conflict", f"revision {upload.revision} is kept with SHA-256 {sha256}")
    return Kept(new=receipt == upload.receipt, receipt=receipt)
