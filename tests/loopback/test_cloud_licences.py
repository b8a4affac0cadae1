"""Licences at a real server: granted by a token, asked for, issued, withdrawn; what an agent is then told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from ots.license.document import read_licence, read_revocations
from ots.license.types import LICENCE, REVOCATIONS
from ots.signing.keys import key_id, read_public
from ots.signing.statement import verify
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator

pytestmark = pytest.mark.slow


@pytest.fixture
async def admin(cloud: CloudServer) -> AsyncIterator[Visitor]:
    async with administrator(cloud) as visitor:
        yield visitor


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def _enrolled(cloud: CloudServer, session: aiohttp.ClientSession) -> tuple[HandAgent, Any]:
    agent = HandAgent(cloud.url)
    status, answer = await agent.enrol(session, cloud.open_token())
    assert status == 201, answer
    return agent, answer


async def _own(agent: HandAgent, session: aiohttp.ClientSession, enrolled: Any) -> tuple[str, set[str]]:
    """The tier that the agent's licence grants, and the ids of what was withdrawn, as signed."""
    keys = {key_id(read_public(text)): read_public(text) for text in enrolled["keys"]["licence"]}
    status, answer = await agent.send(session, "GET", "/api/v1/agent/licence")
    assert status == 200, answer
    listed = read_revocations(verify(answer["revocations"], REVOCATIONS, keys))
    withdrawn = {entry.licence_id for entry in listed.revoked if entry.licence_id}
    if answer["licence"] is None:
        return "default", withdrawn
    licence = read_licence(verify(answer["licence"], LICENCE, keys))
    assert licence.tier == answer["tier"] and licence.licence_id not in withdrawn
    return licence.tier, withdrawn


async def test_a_token_grants_its_tier(cloud: CloudServer, session: aiohttp.ClientSession) -> None:
    agent, enrolled = await _enrolled(cloud, session)
    keys = {key_id(read_public(text)): read_public(text) for text in enrolled["keys"]["licence"]}
    licence = read_licence(verify(enrolled["licence"], LICENCE, keys))
    assert (licence.tier, licence.binding.agents) == ("friendly", (agent.agent_id,))
    assert (licence.subject.department, licence.subject.project) == ("571", "HZ-12")
    assert (await _own(agent, session, enrolled))[0] == "friendly"


async def test_the_default_tier_needs_no_licence(cloud: CloudServer, session: aiohttp.ClientSession) -> None:
    agent = HandAgent(cloud.url)
    status, enrolled = await agent.enrol(session, cloud.token("--tier", "default"))
    assert (status, enrolled["tier"], enrolled["licence"]) == (201, "default", None)
    assert (await _own(agent, session, enrolled))[0] == "default"


async def test_a_wish_is_granted_and_withdrawn_again(
    cloud: CloudServer, session: aiohttp.ClientSession, admin: Visitor
) -> None:
    agent, enrolled = await _enrolled(cloud, session)
    wish = json.dumps({"tier": "professional", "note": "for the trial"}).encode()
    for _ in range(2):
        assert (await agent.send(session, "POST", "/api/v1/agent/licence-requests", wish))[0] == 201
    status, page = await admin.get("/api/v1/licence-requests")
    mine = [item for item in page["items"] if item["agent_id"] == agent.agent_id]
    assert len(mine) == 1 and mine[0]["note"] == "for the trial" and mine[0]["granted"] is None
    path = f"/api/v1/licence-requests/{mine[0]['number']}/decision"
    status, decided = await admin.send("POST", path, {"grant": True, "days": 30})
    assert (status, decided["granted"]) == (200, True)
    assert (await admin.send("POST", path, {"grant": False}))[0] == 409
    assert (await _own(agent, session, enrolled))[0] == "professional"
    status, page = await admin.get("/api/v1/licences?limit=1")
    newest = page["items"][0]
    assert (newest["agent_id"], newest["tier"]) == (agent.agent_id, "professional")
    revoke = f"/api/v1/licences/{newest['licence_id']}/revocation"
    status, revoked = await admin.send("POST", revoke)
    assert status == 200 and revoked["revoked"] is not None
    tier, withdrawn = await _own(agent, session, enrolled)
    assert tier == "friendly" and newest["licence_id"] in withdrawn
    status, again = await admin.send("POST", revoke)
    assert (status, again["revoked"]) == (200, revoked["revoked"])


async def test_a_project_gets_a_licence_and_its_serial_is_the_highest(
    cloud: CloudServer, session: aiohttp.ClientSession, admin: Visitor
) -> None:
    agent, enrolled = await _enrolled(cloud, session)
    body = {"tier": "professional", "department": "571", "project": "HZ-12", "days": 10}
    status, made = await admin.send("POST", "/api/v1/licences", body)
    assert (status, made["project"], made["agent_id"]) == (201, "HZ-12", None)
    assert (await _own(agent, session, enrolled))[0] == "professional"
    status, shown = await admin.get(f"/api/v1/licences/{made['licence_id']}")
    assert status == 200 and shown["text"].count(".") == 2
    await admin.send("POST", f"/api/v1/licences/{made['licence_id']}/revocation")
    assert (await _own(agent, session, enrolled))[0] == "friendly"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tier": "friendly"}, 422),
        ({"tier": "golden", "agent_id": "x"}, 422),
        ({"tier": "friendly", "agent_id": "00000000-0000-0000-0000-000000000000"}, 404),
        ({"tier": "friendly", "department": "571", "project": "nowhere"}, 404),
        ({"tier": "friendly", "agent_id": "x", "department": "571", "project": "HZ-12"}, 422),
        ({"tier": "friendly", "department": "571", "project": "HZ-12", "days": -1}, 422),
        ({"tier": "friendly", "department": "571", "project": "HZ-12", "days": 1e9}, 422),
    ],
)
async def test_a_licence_that_makes_no_sense(admin: Visitor, body: Any, expected: int) -> None:
    assert (await admin.send("POST", "/api/v1/licences", body))[0] == expected
