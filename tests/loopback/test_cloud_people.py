"""People at a real server: log-in, cookie, requests from elsewhere, one-time passwords, agents."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator

pytestmark = pytest.mark.slow


@pytest.fixture
async def admin(cloud: CloudServer) -> AsyncIterator[Visitor]:
    """The first administrator, logged in, with a password of their own."""
    async with administrator(cloud) as visitor:
        yield visitor


async def test_the_one_time_password_opens_nothing_but_its_own_change(cloud: CloudServer) -> None:
    async with administrator(cloud) as visitor:
        status, me = await visitor.get("/api/v1/session")
        assert status == 200 and me["name"] == "account admin" and "accounts:write" in me["scopes"]
    assert cloud.first is not None
    async with Visitor.at(cloud.url) as stranger:
        status, problem = await stranger.log_in(cloud.first["name"], cloud.first["password"])
        assert (status, problem["code"]) == (401, "login-failed")


@pytest.mark.parametrize(
    ("name", "password"),
    [("admin", "wrong"), ("nobody", "wrong"), ("admin", "x" * 900), ("' OR 1=1 --", "x")],
)
async def test_a_failed_log_in_tells_nothing(cloud: CloudServer, name: str, password: str) -> None:
    async with Visitor.at(cloud.url) as stranger:
        status, problem = await stranger.log_in(name, password)
    assert (status, problem["code"], problem["detail"]) == (401, "login-failed", None)


async def test_the_cookie_is_not_for_scripts_nor_other_sites(admin: Visitor) -> None:
    cookie = admin.cookies()["ots-session"]
    assert cookie["httponly"] and cookie["samesite"] == "Strict"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "guessed"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
async def test_a_request_from_another_site_is_refused(admin: Visitor, headers: dict[str, str]) -> None:
    status, problem = await admin.send("DELETE", "/api/v1/session", headers=headers)
    assert (status, problem["code"]) == (403, "csrf")


async def test_whoever_logged_out_is_out(cloud: CloudServer, admin: Visitor) -> None:
    assert (await admin.send("DELETE", "/api/v1/session"))[0] == 204
    assert (await admin.get("/api/v1/session"))[0] == 401


async def test_an_agent_is_approved_suspended_and_revoked(cloud: CloudServer, admin: Visitor) -> None:
    agent = HandAgent(cloud.url)
    token = cloud.token("--approve", "--department", "571")
    async with aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, token))[0] == 202
        expected: list[tuple[str, int, Any]] = [
            ("approve", 200, 201),
            ("approve", 409, 200),
            ("suspend", 200, "agent-suspended"),
            ("resume", 200, 200),
            ("revoke", 200, "agent-revoked"),
            ("resume", 409, "agent-revoked"),
        ]
        report = agent.report()
        for action, status, then in expected:
            answer = await admin.send(
                "POST", f"/api/v1/agents/{agent.agent_id}/status", {"action": action, "reason": "a test"}
            )
            assert answer[0] == status, answer
            uploaded, said = await agent.upload(session, report)
            assert then in (uploaded, said.get("code")), (action, said)
        # No token brings back an agent that a person revoked.
        status, answer = await agent.enrol(session, cloud.open_token())
        assert (status, answer["status"], answer["licence"]) == (200, "revoked", None)
        assert (await agent.upload(session, report))[1]["code"] == "agent-revoked"


async def test_agents_are_listed_in_pages(cloud: CloudServer, admin: Visitor) -> None:
    token = cloud.open_token("pages")
    async with aiohttp.ClientSession() as session:
        agents = [HandAgent(cloud.url) for _ in range(5)]
        for agent in agents:
            assert (await agent.enrol(session, token))[0] == 201
    found, cursor = [], ""
    while True:
        status, page = await admin.get(f"/api/v1/agents?department=pages&limit=2{cursor}")
        assert status == 200, page
        found += [item["agent_id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == sorted(agent.agent_id for agent in agents)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "cursor=!",
        "cursor=AAAA",
        "status=gone",
        "who=me",
        "limit=1&limit=2",
    ],
)
async def test_a_query_that_makes_no_sense(admin: Visitor, query: str) -> None:
    status, problem = await admin.get(f"/api/v1/agents?{query}")
    assert (status, problem["code"]) == (400, "invalid-request")


async def test_the_document_is_openapi(cloud: CloudServer) -> None:
    from openapi_spec_validator import validate

    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{cloud.url}/api/v1/openapi.json") as response,
    ):
        validate(await response.json())


async def test_a_text_with_nul_is_refused(cloud: CloudServer) -> None:
    async with Visitor.at(cloud.url) as stranger:
        status, problem = await stranger.log_in("admin\x00", "x")
    assert (status, problem["code"]) == (422, "invalid-body")


async def test_metrics_count_reports_and_requests_by_route(cloud: CloudServer) -> None:
    agent = HandAgent(cloud.url)
    async with aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, cloud.open_token()))[0] == 201
        before = await _figures(session, cloud)
        info = {"sent": "2026-11-26T00:00:00Z", "version": "0.1.0", "waiting": 7}
        told = await agent.send(session, "PUT", "/api/v1/agent/info", json.dumps(info).encode())
        assert told[0] == 204
        report = agent.report()
        assert [(await agent.upload(session, report))[0] for _ in range(2)] == [201, 200]
        after = await _figures(session, cloud)
    for outcome in ("accepted", "duplicate"):
        name = f'ots_server_reports_total{{outcome="{outcome}"}}'
        # Of two processes neither may have had a report yet.
        assert after[name] == before.get(name, 0) + 1
    assert after["ots_server_outbox_reports"] == before["ots_server_outbox_reports"] + 7
    assert after['ots_server_agents{status="active"}'] >= 1
    routes = [name for name in after if name.startswith("ots_server_requests_total")]
    assert routes and not any(agent.agent_id in name for name in routes)


async def _figures(session: aiohttp.ClientSession, cloud: CloudServer) -> dict[str, float]:
    """The figures of the server's processes, added up."""
    async with session.get(f"{cloud.url}/metrics") as response:
        assert response.status == 200
        lines = (await response.text()).splitlines()
    figures: dict[str, float] = {}
    for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#"):
        name = re.sub(r',process="\d+"|process="\d+",?', "", name)
        figures[name] = figures.get(name, 0) + float(value)
    return figures
