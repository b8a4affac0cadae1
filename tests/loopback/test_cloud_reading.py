"""Reports at a real server as people find and read them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from ots.model.report import Report
from ots.store.document import encode
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator

pytestmark = pytest.mark.slow


@pytest.fixture
async def admin(cloud: CloudServer) -> AsyncIterator[Visitor]:
    async with administrator(cloud) as visitor:
        yield visitor


@pytest.fixture
async def sent(cloud: CloudServer) -> list[Report]:
    """Three reports of a new agent, each a day later than the one before."""
    agent = HandAgent(cloud.url)
    token = cloud.open_token()
    reports = []
    async with aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, token))[0] == 201
        for day in (1, 2, 3):
            report = agent.report(seq=day)
            report.run.start = f"2026-03-0{day}T08:00:00.000000Z"
            report.job.id = f"HZ-{day}"
            assert (await agent.upload(session, report))[0] == 201
            reports.append(report)
    return reports


async def test_reports_are_listed_the_newest_first_in_pages(admin: Visitor, sent: list[Report]) -> None:
    mine = f"agent_id={sent[0].agent['agent_id']}"
    status, first = await admin.get(f"/api/v1/reports?{mine}&limit=2")
    assert status == 200
    status, second = await admin.get(f"/api/v1/reports?{mine}&limit=2&cursor={first['next']}")
    found = [item["report_id"] for page in (first, second) for item in page["items"]]
    assert found == [report.report_id for report in reversed(sent)] and second["next"] is None
    line = first["items"][0]
    assert (line["agent"], line["department"], line["job"], line["case"], line["verdict"], line["start"]) == (
        "van-3",
        "571",
        "HZ-3",
        sent[2].case.id,
        sent[2].verdict,
        sent[2].run.start,
    )


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("since=2026-03-02T00:00:00Z", [3, 2]),
        ("until=2026-03-02T00:00:00%2B00:00", [1]),
        ("job=HZ-2", [2]),
        ("search=hangzhou hz-1", [1]),
        ("search=hangzhou berlin", []),
        ("search=%25", []),
        ("verdict=pass", []),
        ("case=nothing", []),
    ],
)
async def test_reports_are_found(admin: Visitor, sent: list[Report], query: str, days: list[int]) -> None:
    status, page = await admin.get(f"/api/v1/reports?agent_id={sent[0].agent['agent_id']}&{query}")
    assert status == 200, page
    assert [item["seq"] for item in page["items"]] == days


async def test_a_report_comes_back_byte_for_byte_with_its_proof(admin: Visitor, sent: list[Report]) -> None:
    status, page = await admin.get(f"/api/v1/reports?job=HZ-2&agent_id={sent[0].agent['agent_id']}")
    number = page["items"][0]["number"]
    status, detail = await admin.get(f"/api/v1/reports/{number}")
    assert status == 200
    (only,) = detail["revisions"]
    document = encode(sent[1])
    assert (only["sha256"], only["kind"], only["kept"]) == (
        hashlib.sha256(document).hexdigest(),
        "measured",
        True,
    )
    async with admin.session.get(f"{admin.url}/api/v1/reports/{number}/revisions/1") as response:
        assert response.status == 200 and await response.read() == document
    status, proof = await admin.get(f"/api/v1/reports/{number}/revisions/1/proof")
    assert status == 200 and proof["sha256"] == only["sha256"] and proof["signature"].count(".") == 2


@pytest.mark.parametrize(
    "path", ["999999999", "1/revisions/99", "999999999999999999", "0", "-1", "1/artifacts/" + "0" * 64]
)
async def test_what_is_not_there(admin: Visitor, sent: list[Report], path: str) -> None:
    status, problem = await admin.get(f"/api/v1/reports/{path}")
    assert (status, problem["code"]) == (404, "not-found")


@pytest.mark.parametrize("query", ["since=yesterday", "until=9e99", "verdict=good", "search=" + "x" * 300])
async def test_a_query_that_makes_no_sense(admin: Visitor, query: str) -> None:
    status, problem = await admin.get(f"/api/v1/reports?{query}")
    assert (status, problem["code"]) == (400, "invalid-request")
