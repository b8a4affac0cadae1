"""Commands from a real server to real agents and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator
from tests.control_kit import ObedientAgent, enrolled, obedient, settled, until

pytestmark = pytest.mark.slow


@pytest.fixture
async def admin(cloud: CloudServer) -> AsyncIterator[Visitor]:
    async with administrator(cloud) as visitor:
        yield visitor


@pytest.fixture
def agent(cloud: CloudServer, tmp_path: Path) -> Any:
    with obedient(cloud, tmp_path / "agent") as running:
        yield running


async def give(admin: Visitor, agent: ObedientAgent, **wish: Any) -> dict[str, Any]:
    status, made = await admin.send("POST", f"/api/v1/agents/{agent.agent_id}/commands", wish)
    assert status == 201, made
    return dict(made)


async def test_a_run_goes_to_the_agent_and_its_report_comes_back(
    admin: Visitor, agent: ObedientAgent
) -> None:
    pinged = await give(admin, agent, kind="ping")
    run = {"case": "ping", "parameters": {"target": "127.0.0.1"}}
    made = await give(admin, agent, kind="run", run=run)
    assert made["state"] == "queued" and made["events"][0]["by"] == "account admin"
    assert (await settled(admin, f"/api/v1/commands/{pinged['command_id']}"))["answer"]["time"]
    done = await settled(admin, f"/api/v1/commands/{made['command_id']}")
    assert (done["state"], done["verdict"]) == ("done", "pass"), done
    states = [event["state"] for event in done["events"]]
    assert states == ["queued", "delivered", "accepted", "started", "done"]
    status, found = await admin.get(f"/api/v1/reports?agent_id={agent.agent_id}")
    assert [item["report_id"] for item in found["items"]] == [done["report_id"]]
    assert agent.ran() == [made["command_id"]]


async def test_what_names_no_command_ends_the_line_and_holds_up_nobody(
    admin: Visitor, agent: ObedientAgent, cloud: CloudServer
) -> None:
    """PostgreSQL keeps no NUL: one agent that says one must not hold up what all others say."""
    rogue = HandAgent(cloud.url)
    async with aiohttp.ClientSession() as session:
        assert (await rogue.enrol(session, cloud.open_token()))[0] == 201
        hello = {"is": "hello", "version": "1", "boot_id": "b", "time": "2026-03-01T08:00:00Z"}
        said = {"is": "ack", "command_id": "\x00", "answer": "accepted"}
        body = json.dumps({"messages": [hello, said]}).encode()
        status, problem = await rogue.send(session, "POST", "/api/v1/agent/commands", body)
        assert (status, problem["code"]) == (422, "invalid-body")
    made = await give(admin, agent, kind="ping")
    assert (await settled(admin, f"/api/v1/commands/{made['command_id']}"))["state"] == "done"


async def test_a_stop_ends_a_run_with_a_partial_report(admin: Visitor, agent: ObedientAgent) -> None:
    run = {"case": "ping", "parameters": {"target": "192.0.2.1"}}
    made = await give(admin, agent, kind="run", run=run)
    path = f"/api/v1/commands/{made['command_id']}"

    async def goes_on() -> Any:
        return (await admin.get(path))[1]["progress"]

    await until(goes_on)
    await asyncio.sleep(1)  # so that it has measured something
    status, outcome = await admin.send("DELETE", path)
    assert (status, outcome["outcome"]) == (200, "stopping")
    done = await settled(admin, path)
    assert done["state"] == "done" and done["report_id"]


async def test_what_is_queued_can_be_withdrawn_and_what_nobody_takes_expires(
    cloud: CloudServer, admin: Visitor, tmp_path: Path
) -> None:
    absent = enrolled(cloud, tmp_path / "absent")
    run = {"case": "ping"}
    first = await give(admin, absent, kind="run", run=run)
    second = await give(admin, absent, kind="run", run=run, expires_in=5)
    status, outcome = await admin.send("DELETE", f"/api/v1/commands/{first['command_id']}")
    assert (status, outcome["outcome"]) == (200, "cancelled")
    ended = await settled(admin, f"/api/v1/commands/{second['command_id']}")
    assert ended["state"] == "expired"
    absent.start()
    try:
        pinged = await give(admin, absent, kind="ping")
        assert (await settled(admin, f"/api/v1/commands/{pinged['command_id']}"))["state"] == "done"
    finally:
        absent.stop()
    assert absent.ran() == []
