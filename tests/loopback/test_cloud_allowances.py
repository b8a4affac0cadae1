"""What a licence allows at the server: reports a day, files beside them, and how long contents are kept."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select, text, update

from ots.license.tiers import DAY
from ots.model.report import Artifact, Report
from ots.server.database.database import Database, open_database
from ots.server.database.tables import agent as agents
from ots.server.database.tables import artifact, audit, report, revision
from ots.server.identity.audit import first_break
from ots.server.reports.retention import Retention
from ots.store import Store
from tests.agent_kit import Agent, uploads
from tests.cloud_kit import CloudServer, HandAgent, cloud_server
from tests.server_data import ask
from tests.waiting import until

pytestmark = pytest.mark.slow

A_DAY = 20
"""Reports that the tier `default` may upload."""


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def database(cloud: CloudServer) -> AsyncIterator[Database]:
    """The running server's own database."""
    opened = open_database(cloud.address)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def plain_token(cloud: CloudServer) -> str:
    """A token that grants no more than everybody may do."""
    return cloud.token("--tier", "default", "--uses", "100", "--department", "571", "--project", "HZ-12")


async def _enrolled(cloud: CloudServer, session: aiohttp.ClientSession, token: str) -> HandAgent:
    made = HandAgent(cloud.url)
    status, answer = await made.enrol(session, token)
    assert status == 201, answer
    return made


async def _a_day_later(database: Database, agent_id: str) -> None:
    async with database.writing() as connection:
        await connection.execute(
            update(report).where(report.c.agent_id == agent_id).values(received=report.c.received - DAY)
        )


async def test_what_is_above_the_days_amount_waits_and_is_taken_the_next_day(
    cloud: CloudServer, session: aiohttp.ClientSession, database: Database, plain_token: str
) -> None:
    agent = await _enrolled(cloud, session, plain_token)
    reports = [agent.report(seq=number) for number in range(A_DAY + 10)]
    answers = await asyncio.gather(*(agent.upload(session, one) for one in reports))
    taken = [one for one, (status, _) in zip(reports, answers, strict=True) if status == 201]
    refused = [one for one, (status, _) in zip(reports, answers, strict=True) if status == 429]
    assert (len(taken), len(refused)) == (A_DAY, 10)
    problem = next(answer for status, answer in answers if status == 429)
    assert problem["code"] == "quota-exceeded" and DAY - 60 < problem["retry_after"] <= DAY
    assert (await agent.upload(session, taken[0]))[0] == 200
    assert (await agent.upload(session, refused[0]))[0] == 429
    await _a_day_later(database, agent.agent_id)
    assert {(await agent.upload(session, one))[0] for one in refused} == {201}


def test_an_agent_keeps_what_is_above_the_amount_and_sends_it_later(
    cloud: CloudServer, plain_token: str, tmp_path: Path
) -> None:
    agent = Agent(tmp_path)
    agent.enrol(cloud, plain_token)
    with Store.open(tmp_path) as store:
        for _ in range(A_DAY + 2):
            agent.measure(store)
        outcome = agent.send(store)
        assert (len(outcome.sent), outcome.stopped, outcome.parked) == (A_DAY, "quota-exceeded", {})
        states = [state for state, _ in uploads(store).values()]
        assert states.count("sent") == A_DAY and "parked" not in states

        async def next_day() -> None:
            opened = open_database(cloud.address)
            await _a_day_later(opened, agent.settings().agent_id)
            await opened.close()

        asyncio.run(next_day())
        assert (len(agent.send(store).sent), {state for state, _ in uploads(store).values()}) == (2, {"sent"})


async def test_files_beside_a_report_need_their_tier(
    cloud: CloudServer, session: aiohttp.ClientSession, plain_token: str
) -> None:
    data = b"the page as it was" * 10
    for token, expected in ((plain_token, (403, "licence-required")), (cloud.open_token(), (201, None))):
        agent = await _enrolled(cloud, session, token)
        assert (await agent.upload(session, _with_file(agent.report(), data)))[0] == 201
        status, answer = await _put_file(agent, session, data)
        assert (status, answer and answer["code"]) == expected


def _with_file(document: Report, data: bytes) -> Report:
    digest = hashlib.sha256(data).hexdigest()
    document.steps[0].artifacts = [
        Artifact(name="page.html", media_type="text/html", bytes=len(data), sha256=digest)
    ]
    return document


async def _put_file(agent: HandAgent, session: aiohttp.ClientSession, data: bytes) -> tuple[int, Any]:
    path = f"/api/v1/agent/artifacts/{hashlib.sha256(data).hexdigest()}"
    return await agent.send(session, "PUT", path, data, media_type="application/octet-stream")


async def test_contents_go_when_their_time_is_over_and_hashes_stay(
    cloud: CloudServer, session: aiohttp.ClientSession, database: Database, plain_token: str
) -> None:
    """Two processes at once take what is due, each report once; what another report needs stays."""
    short, long = (
        await _enrolled(cloud, session, plain_token),
        await _enrolled(cloud, session, cloud.open_token()),
    )
    own, shared = b"only of the first" * 9, b"of both" * 20
    document = _with_file(short.report(1), own)
    document.steps[0].artifacts += _with_file(short.report(2), shared).steps[0].artifacts
    first, receipt = document, (await short.upload(session, document))[1]["receipt"]
    second = _with_file(long.report(1), shared)
    assert (await long.upload(session, second))[0] == 201
    assert (await _put_file(long, session, shared))[0] == 201
    async with database.writing() as connection:
        await connection.execute(
            artifact.insert().values(
                sha256=hashlib.sha256(own).hexdigest(), size=len(own), body=b"x", received=0.0
            )
        )
        # As it stands after an update from a version without retention.
        await connection.execute(
            update(report).where(report.c.agent_id == short.agent_id).values(keep_until=None)
        )
    week, quarter = time.time() + 7 * DAY, time.time() + 90 * DAY
    assert sum(await _two_at_once(cloud, database, week - 3600)) == 0
    assert sum(await _two_at_once(cloud, database, week)) >= 1
    assert await _kept(database, short) == [False] and await _kept(database, long) == [True]
    async with database.reading() as connection:
        files = set((await connection.execute(select(artifact.c.sha256))).scalars())
        entry = (await connection.execute(select(audit).order_by(audit.c.id.desc()).limit(1))).one()
    assert hashlib.sha256(shared).hexdigest() in files and hashlib.sha256(own).hexdigest() not in files
    assert (entry.actor, entry.action) == ("server", "retention")
    assert sum(await _two_at_once(cloud, database, quarter)) >= 1
    assert await _kept(database, long) == [False]
    status, again = await short.upload(session, first)
    assert (status, again["receipt"]) == (200, receipt)
    assert await _kept(database, short) == [False]
    async with database.reading() as connection:
        assert await first_break(connection) is None


async def test_what_no_receipt_was_given_for_is_never_taken(
    cloud: CloudServer, session: aiohttp.ClientSession, database: Database, plain_token: str
) -> None:
    agent = await _enrolled(cloud, session, plain_token)
    assert (await agent.upload(session, agent.report()))[0] == 201
    async with database.writing() as connection:
        await connection.execute(
            update(revision).where(revision.c.agent_id == agent.agent_id).values(receipt=None)
        )
    await Retention(database, lambda: time.time() + 1000 * DAY).once()
    assert await _kept(database, agent) == [True]


async def _two_at_once(cloud: CloudServer, database: Database, now: float) -> tuple[int, int]:
    other = open_database(cloud.address)
    try:
        return await asyncio.gather(
            Retention(database, lambda: now).once(), Retention(other, lambda: now).once()
        )
    finally:
        await other.close()


async def _kept(database: Database, agent: HandAgent) -> list[bool]:
    """Whether the bytes of each of an agent's reports are there; its hashes always are."""
    async with database.reading() as connection:
        rows = await connection.execute(
            select(revision.c.body.is_not(None), revision.c.sha256, revision.c.signature)
            .join(agents, agents.c.agent_id == revision.c.agent_id)
            .where(revision.c.agent_id == agent.agent_id)
        )
        found = rows.all()
    assert all(sha256 and signature for _, sha256, signature in found)
    return [bool(kept) for kept, _, _ in found]


async def test_a_cap_takes_what_a_licence_would_keep(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    with cloud_server(tmp_path) as cloud:
        agent = await _enrolled(cloud, session, cloud.open_token())
        assert (await agent.upload(session, agent.report()))[0] == 201
    database = open_database(cloud.address)
    try:
        assert await _kept(database, agent) == [True]
        left = "SELECT count(*) FROM revision WHERE body IS NOT NULL"
        with cloud_server(tmp_path, options=["--keep", "0.000001"]):
            await until(lambda: ask(cloud.address, left) == [(0,)])
        assert await _kept(database, agent) == [False]
        async with database.reading() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM report"))).scalar() == 1
    finally:
        await database.close()
