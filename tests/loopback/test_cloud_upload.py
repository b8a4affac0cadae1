"""Agents at a real server: enrolment, uploads, receipts, and all that is refused."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.model.report import Artifact
from ots.remote import wire
from ots.signing.keys import key_id, read_public
from ots.signing.statement import verify
from ots.store.document import encode
from tests.cloud_kit import CloudServer, HandAgent

pytestmark = pytest.mark.slow


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def agent(cloud: CloudServer, session: aiohttp.ClientSession) -> HandAgent:
    """An agent that is enrolled."""
    made = HandAgent(cloud.url)
    status, answer = await made.enrol(session, cloud.open_token())
    assert status == 201, answer
    return made


async def test_an_agent_enrols_and_its_report_is_kept(
    cloud: CloudServer, session: aiohttp.ClientSession
) -> None:
    agent = HandAgent(cloud.url)
    status, enrolled = await agent.enrol(session, cloud.open_token())
    assert (status, enrolled["status"], enrolled["department"], enrolled["project"], enrolled["tier"]) == (
        201,
        "active",
        "571",
        "HZ-12",
        "friendly",
    )
    report = agent.report()
    status, stored = await agent.upload(session, report)
    assert status == 201, stored
    key = read_public(enrolled["keys"]["receipt"][0])
    receipt = msgspec.convert(verify(stored["receipt"], wire.RECEIPT, {key_id(key): key}), wire.Receipt)
    assert (receipt.agent_id, receipt.report_id, receipt.revision) == (agent.agent_id, report.report_id, 1)
    assert receipt.sha256 == hashlib.sha256(encode(report)).hexdigest()
    assert receipt.server_id == enrolled["server_id"]
    status, again = await agent.upload(session, report, packed=False)
    assert (status, again) == (200, stored)


async def test_the_same_agent_enrols_again_and_nothing_changes(
    cloud: CloudServer, session: aiohttp.ClientSession, agent: HandAgent
) -> None:
    status, answer = await agent.enrol(session, cloud.open_token())
    assert status == 200 and answer["status"] == "active"
    status, answer = await agent.send(session, "GET", "/api/v1/agent")
    assert status == 200 and answer["agent_id"] == agent.agent_id


async def test_other_bytes_under_the_same_revision_are_a_conflict(
    session: aiohttp.ClientSession, agent: HandAgent
) -> None:
    report = agent.report()
    assert (await agent.upload(session, report))[0] == 201
    report.tags = {"floor": "4"}
    status, problem = await agent.upload(session, report)
    assert (status, problem["code"]) == (409, "revision-conflict")


async def test_fifty_uploads_at_once_some_of_them_twice(
    session: aiohttp.ClientSession, agent: HandAgent
) -> None:
    reports = [agent.report(seq) for seq in range(50)]
    answers = await asyncio.gather(*(agent.upload(session, report) for report in (*reports, *reports[:20])))
    assert sorted(status for status, _ in answers) == [200] * 20 + [201] * 50
    first = {msgspec.json.encode(answer) for _, answer in answers[:20]}
    assert first == {msgspec.json.encode(answer) for _, answer in answers[50:]}


async def test_artifacts_are_asked_for_and_kept(session: aiohttp.ClientSession, agent: HandAgent) -> None:
    data = b"HAR" * 1000
    digest = hashlib.sha256(data).hexdigest()
    report = agent.report()
    report.steps[0].artifacts = [
        Artifact(name="page.har", media_type="application/json", bytes=len(data), sha256=digest)
    ]
    path = f"/api/v1/agent/artifacts/{digest}"
    send: dict[str, Any] = {"media_type": "application/octet-stream"}
    assert (await agent.send(session, "PUT", path, data, **send))[0] == 404
    status, stored = await agent.upload(session, report)
    assert (status, stored["missing_artifacts"]) == (201, [digest])
    status, problem = await agent.send(session, "PUT", path, data + b"!", **send)
    assert (status, problem["code"]) == (422, "digest-mismatch")
    assert (await agent.send(session, "PUT", path, data, **send))[0] == 201
    assert (await agent.send(session, "PUT", path, data, **send))[0] == 200
    assert (await agent.upload(session, report))[1]["missing_artifacts"] == []


async def test_gaps_and_information_come_twice(session: aiohttp.ClientSession, agent: HandAgent) -> None:
    told = wire.Gap(
        gap_id=str(uuid.uuid4()),
        first_seq=3,
        last_seq=9,
        count=7,
        reason="size",
        noticed="2026-11-26T00:00:00Z",
    )
    path = f"/api/v1/agent/gaps/{told.gap_id}"
    assert (await agent.send(session, "PUT", path, msgspec.json.encode(told)))[0] == 201
    assert (await agent.send(session, "PUT", path, msgspec.json.encode(told)))[0] == 200
    info = wire.AgentInfo(sent="2026-11-26T00:00:00Z", version="0.1.0", hostname="van-3", waiting=7)
    assert (await agent.send(session, "PUT", "/api/v1/agent/info", msgspec.json.encode(info)))[0] == 204


async def test_tokens_are_counted_exactly_under_a_rush(
    cloud: CloudServer, session: aiohttp.ClientSession
) -> None:
    token = cloud.token("--uses", "3")
    agents = [HandAgent(cloud.url) for _ in range(8)]
    answers = await asyncio.gather(*(agent.enrol(session, token) for agent in agents))
    assert sorted(status for status, _ in answers) == [201] * 3 + [403] * 5
    assert {answer["code"] for status, answer in answers if status == 403} == {"token-exhausted"}


async def test_an_agent_of_a_token_with_approval_waits(
    cloud: CloudServer, session: aiohttp.ClientSession
) -> None:
    agent = HandAgent(cloud.url)
    status, answer = await agent.enrol(session, cloud.token("--approve"))
    assert (status, answer["status"], answer["licence"]) == (202, "pending", None)
    status, problem = await agent.upload(session, agent.report())
    assert (status, problem["code"]) == (403, "agent-pending")


async def test_whoever_left_is_refused(session: aiohttp.ClientSession, agent: HandAgent) -> None:
    assert (await agent.send(session, "DELETE", "/api/v1/agent"))[0] == 204
    # Another process of the server may know the agent as active for a second; its writer looks again.
    status, problem = await agent.upload(session, agent.report())
    assert (status, problem["code"]) == (403, "agent-left")


async def test_whoever_left_comes_back_with_a_token(
    cloud: CloudServer, session: aiohttp.ClientSession, agent: HandAgent
) -> None:
    kept = agent.report(seq=1)
    assert (await agent.upload(session, kept))[0] == 201
    assert (await agent.send(session, "DELETE", "/api/v1/agent"))[0] == 204
    status, problem = await agent.enrol(session, "ots-enrol-aaaaaaaa-" + "b" * 32)
    assert (status, problem["code"]) == (403, "token-unknown")
    thief = HandAgent(cloud.url, agent_id=agent.agent_id)
    status, problem = await thief.enrol(session, cloud.open_token())
    assert (status, problem["code"]) == (409, "key-in-use")
    once = cloud.token("--tier", "default")
    rush = await asyncio.gather(*(agent.enrol(session, once) for _ in range(4)))
    assert sorted(status for status, _ in rush) == [200, 200, 200, 201], rush
    assert all(
        (answer["status"], answer["tier"], answer["licence"]) == ("active", "default", None)
        for _, answer in rush
    )
    assert (await agent.upload(session, kept))[0] == 200
    assert (await agent.upload(session, agent.report(seq=2)))[0] == 201


async def test_a_token_with_nul(cloud: CloudServer, session: aiohttp.ClientSession) -> None:
    status, problem = await HandAgent(cloud.url).enrol(session, "ots-enrol-\x00")
    assert (status, problem["code"]) == (422, "invalid-body")


@pytest.mark.parametrize("token", ["", "ots-enrol-aaaaaaaa-" + "b" * 32, "x" * 5000])
async def test_an_unknown_token(cloud: CloudServer, session: aiohttp.ClientSession, token: str) -> None:
    status, problem = await HandAgent(cloud.url).enrol(session, token)
    assert (status, problem["code"]) == (403, "token-unknown")


async def test_a_choice_beyond_the_token(cloud: CloudServer, session: aiohttp.ClientSession) -> None:
    status, problem = await HandAgent(cloud.url).enrol(session, cloud.open_token(), project="SH-99")
    assert (status, problem["code"]) == (403, "choice-not-allowed")


async def test_another_key_for_a_known_agent(
    cloud: CloudServer, session: aiohttp.ClientSession, agent: HandAgent
) -> None:
    thief = HandAgent(cloud.url, agent_id=agent.agent_id)
    status, problem = await thief.enrol(session, cloud.open_token())
    assert (status, problem["code"]) == (409, "key-in-use")
    status, problem = await thief.upload(session, thief.report())
    assert (status, problem["code"]) == (401, "signature-invalid")


async def test_enrolling_a_key_that_one_does_not_have(
    cloud: CloudServer, session: aiohttp.ClientSession
) -> None:
    status, problem = await HandAgent(cloud.url).enrol(
        session, cloud.open_token(), public_key="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    )
    assert (status, problem["code"]) == (401, "signature-invalid")


@pytest.mark.parametrize("skew", [-400, 400])
async def test_a_wrong_clock_is_told(session: aiohttp.ClientSession, agent: HandAgent, skew: int) -> None:
    agent.skew = skew
    status, problem = await agent.upload(session, agent.report())
    assert (status, problem["code"]) == (401, "clock-skew")


async def test_the_report_of_another_agent(
    session: aiohttp.ClientSession, agent: HandAgent, cloud: CloudServer
) -> None:
    other = HandAgent(cloud.url)
    status, problem = await agent.upload(session, other.report())
    assert (status, problem["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "change",
    [{"sha256": "0" * 64}, {"size": 3}, {"report_id": str(uuid.uuid4())}, {"revision": 2}],
    ids=lambda change: next(iter(change)),
)
async def test_a_claim_that_does_not_fit(
    session: aiohttp.ClientSession, agent: HandAgent, change: dict[str, Any]
) -> None:
    status, problem = await agent.upload(session, agent.report(), **change)
    assert (status, problem["code"]) == (422, "digest-mismatch")


async def test_a_report_signed_by_another_key(session: aiohttp.ClientSession, agent: HandAgent) -> None:
    report = agent.report()
    document = encode(report)
    forged = HandAgent(agent.url, agent_id=agent.agent_id, key=Ed25519PrivateKey.generate())
    status, problem = await agent.send(
        session,
        "PUT",
        f"/api/v1/agent/reports/{report.report_id}/1",
        document,
        {wire.SIGNATURE_HEADER: forged.signature(report, document)},
    )
    assert (status, problem["code"]) == (401, "signature-invalid")


async def test_what_is_not_a_report(session: aiohttp.ClientSession, agent: HandAgent) -> None:
    report = agent.report()
    newer = b'{"schema":{"name":"ots.report","version":"99.0.0"}}'
    for document in (b"{}", b"[" * 100_000, b"\xff\xfe", newer):
        status, problem = await agent.send(
            session,
            "PUT",
            f"/api/v1/agent/reports/{report.report_id}/1",
            document,
            {wire.SIGNATURE_HEADER: agent.signature(report, document)},
        )
        assert (status, problem["code"]) == (422, "schema-unsupported"), document[:20]


async def test_bombs_and_broken_packing(session: aiohttp.ClientSession, agent: HandAgent) -> None:
    report = agent.report()
    path = f"/api/v1/agent/reports/{report.report_id}/1"
    document = encode(report)
    signed = {wire.SIGNATURE_HEADER: agent.signature(report, document), "Content-Encoding": "gzip"}
    bodies = {
        gzip.compress(b" " * (64 << 20), 9): (413, "expands-too-far"),
        b"x" * (2 << 20): (413, "too-large"),
        gzip.compress(document)[:-9]: (422, "invalid-body"),
        gzip.compress(document) + b"more": (422, "invalid-body"),
        b"no gzip": (422, "invalid-body"),
    }
    for body, expected in bodies.items():
        status, problem = await agent.send(session, "PUT", path, body, signed)
        assert (status, problem["code"]) == expected
    for encoding in ("zstd", "br", "gzip, gzip"):
        status, problem = await agent.send(
            session, "PUT", path, document, {**signed, "Content-Encoding": encoding}
        )
        assert (status, problem["code"]) == (415, "unsupported-media")


async def test_a_body_other_than_the_signed_one(session: aiohttp.ClientSession, agent: HandAgent) -> None:
    report = agent.report()
    document = encode(report)
    status, problem = await agent.send(
        session,
        "PUT",
        f"/api/v1/agent/reports/{report.report_id}/1",
        document,
        {
            wire.SIGNATURE_HEADER: agent.signature(report, document),
            "Content-Digest": "sha-256=:" + "A" * 43 + "=:",
        },
    )
    assert (status, problem["code"]) == (401, "signature-invalid")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/agent/reports/../../../etc/passwd/1",
        "/api/v1/agent/reports/%2e%2e%2f/1",
        "/api/v1/agent/reports/0192f6a2-5d2c-7cc1-9c1e-3f5c8c1d2e50/0",
        "/api/v1/agent/artifacts/zz",
        "/api/v1/nothing",
    ],
)
async def test_paths_that_lead_nowhere(cloud: CloudServer, session: aiohttp.ClientSession, path: str) -> None:
    async with session.put(f"{cloud.url}{path}", data=b"") as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (404, "not-found")


async def test_two_reports_of_one_number_mark_a_possible_clone(
    cloud: CloudServer, session: aiohttp.ClientSession, agent: HandAgent
) -> None:
    for _ in range(2):
        assert (await agent.upload(session, agent.report(seq=77)))[0] == 201


async def test_the_server_stays_ready(cloud: CloudServer, session: aiohttp.ClientSession) -> None:
    start = time.monotonic()
    async with session.get(f"{cloud.url}/readyz") as response:
        assert response.status == 200
    assert time.monotonic() - start < 5
