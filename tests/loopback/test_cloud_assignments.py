"""Assignments at a real server: made, handed to the agents they are for, and what arrived of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from ots.remote.assignment_wire import ASSIGNMENT_TAG, INDEX, PLANNED_TAG, UNTIL_TAG, Assignment
from ots.signing.keys import key_id, load_or_make
from ots.signing.statement import verify
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator

pytestmark = pytest.mark.slow

_WISH = {
    "name": "every quarter",
    "case": {"name": "broadband"},
    "schedule": {"every": "15 min"},
    "parameters": {"server": "http://192.0.2.1"},
}


@dataclass
class Desk:
    """An administrator, and agents of one department."""

    admin: Visitor
    session: aiohttp.ClientSession
    cloud: CloudServer
    agents: list[HandAgent]

    async def assign(self, **wish: Any) -> Any:
        status, made = await self.admin.send("POST", "/api/v1/assignments", {**_WISH, **wish})
        assert status == 201, made
        return made

    async def assigned(self, agent: HandAgent) -> dict[str, Assignment]:
        """What the agent is assigned, checked as an agent would."""
        status, answer = await agent.send(self.session, "GET", "/api/v1/agent/assignments", b"")
        assert status == 200, answer
        key = load_or_make(self.cloud.folder / "command.key").public_key()
        index = verify(answer["index"], INDEX, {key_id(key): key})
        assert index["agent_id"] == agent.agent_id
        found = [msgspec.json.decode(text, type=Assignment) for text in answer["documents"]]
        assert [one["assignment_id"] for one in index["assignments"]] == [one.assignment_id for one in found]
        return {one.assignment_id: one for one in found}


@pytest.fixture
async def desk(cloud: CloudServer) -> AsyncIterator[Desk]:
    async with administrator(cloud) as admin, aiohttp.ClientSession() as session:
        agents = [HandAgent(cloud.url), HandAgent(cloud.url)]
        for agent, department in zip(agents, ("571", "572"), strict=True):
            assert (await agent.enrol(session, cloud.open_token(department, "A")))[0] == 201
        yield Desk(admin, session, cloud, agents)


async def test_an_assignment_reaches_the_agents_of_its_place(desk: Desk) -> None:
    everywhere = await desk.assign()
    of_571 = await desk.assign(department="571")
    first, second = [set(await desk.assigned(agent)) for agent in desk.agents]
    assert {everywhere["assignment_id"], of_571["assignment_id"]} <= first
    assert everywhere["assignment_id"] in second and of_571["assignment_id"] not in second
    only = await desk.assign(selector={"agents": [desk.agents[1].agent_id]})
    assert only["assignment_id"] not in await desk.assigned(desk.agents[0])
    got = (await desk.assigned(desk.agents[1]))[only["assignment_id"]]
    assert (got.case.name, got.schedule, got.version) == ("broadband", {"every": "15 min"}, 1)


async def test_an_assignment_for_a_tag_follows_the_tag(desk: Desk) -> None:
    made = await desk.assign(selector={"tags": ["north"]})
    agent = desk.agents[0]
    assert made["assignment_id"] not in await desk.assigned(agent)
    said = {"name": "van-3", "tags": ["north", "van"]}
    assert (await desk.admin.send("PUT", f"/api/v1/agents/{agent.agent_id}", said))[0] == 200
    assert made["assignment_id"] in await desk.assigned(agent)
    members = (await desk.admin.get(f"/api/v1/assignments/{made['assignment_id']}/runs"))[1]["agents"]
    assert [one["agent_id"] for one in members] == [agent.agent_id]


async def test_a_change_is_a_new_version_and_of_two_at_once_one_counts(desk: Desk) -> None:
    made = await desk.assign(department="571")
    path = f"/api/v1/assignments/{made['assignment_id']}"
    content = {**_WISH, "department": "571", "schedule": {"every": "1 h"}}
    assert (await desk.admin.send("PUT", path, {"version": 1, "content": content}))[0] == 200
    status, problem = await desk.admin.send("PUT", path, {"version": 1, "content": content})
    assert (status, problem["code"]) == (409, "conflict")
    got = (await desk.assigned(desk.agents[0]))[made["assignment_id"]]
    assert (got.version, got.schedule) == (2, {"every": "1 h"})
    assert (await desk.admin.send("DELETE", path))[0] == 204
    assert made["assignment_id"] not in await desk.assigned(desk.agents[0])
    assert (await desk.admin.get(path))[1]["retired"] is not None


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"schedule": {}}, "every"),
        ({"schedule": {"every": "often"}}, "every"),
        ({"schedule": {"cron": "* * * * *"}}, "zone"),
        ({"case": {"name": "../../etc/passwd"}}, "not a file"),
        ({"selector": {"agents": ["nobody"]}}, "no agent"),
        ({"not_after": "tomorrow"}, "not_after"),
        ({"project": "A"}, "department"),
    ],
)
async def test_an_assignment_that_makes_no_sense(desk: Desk, wish: dict[str, Any], said: str) -> None:
    status, problem = await desk.admin.send("POST", "/api/v1/assignments", {**_WISH, **wish})
    assert status in (400, 422) and said in problem["detail"], problem


async def test_reports_of_planned_runs_are_noted_once(desk: Desk) -> None:
    made = await desk.assign(department="571")
    agent = desk.agents[0]
    tags = {ASSIGNMENT_TAG: made["assignment_id"], PLANNED_TAG: "2026-03-01T08:15:00Z"}
    for seq in (1, 2):
        report = agent.report(seq)
        report.tags = {**report.tags, **tags}
        assert (await agent.upload(desk.session, report))[0] == 201
    strange = agent.report(3)
    strange.tags = {ASSIGNMENT_TAG: "'; drop table", PLANNED_TAG: "never"}
    unknown = agent.report(4)
    unknown.tags = {**tags, ASSIGNMENT_TAG: "00000000-0000-4000-8000-000000000000"}
    missed = agent.report(5)
    missed.run.state, missed.run.reason = "aborted", "missed: the machine was asleep"
    until = {PLANNED_TAG: "2026-03-01T09:00:00Z", UNTIL_TAG: "2026-03-01T11:00:00Z"}
    missed.tags = {ASSIGNMENT_TAG: made["assignment_id"], **until}
    for report in (strange, unknown, missed):
        assert (await agent.upload(desk.session, report))[0] == 201
    since, until_ = "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"
    path = f"/api/v1/assignments/{made['assignment_id']}/runs?since={since}&until={until_}"
    status, found = await desk.admin.get(path)
    assert status == 200, found
    seen = [(one["planned"][11:19], one["state"], one["reason"]) for one in found["items"]]
    assert seen[0] == ("09:00:00", "missed", "missed: the machine was asleep")
    assert [one[:2] for one in seen[1:]] == [("08:15:00", "completed")]
    assert found["counts"] == {"missed": 1, "completed": 1}
    status, missing = await desk.admin.get(f"/api/v1/missing-runs?since={since}&until={until_}")
    assert [one["assignment"] for one in missing["items"]] == ["every quarter"]


async def test_what_should_have_arrived_and_did_not_is_missing(desk: Desk) -> None:
    made = await desk.assign(department="571", schedule={"every": "10 s"}, max_duration=1)
    agent = desk.agents[0]
    path = f"/api/v1/assignments/{made['assignment_id']}/runs"
    assert (await desk.admin.get(path))[1]["expected"] == 0, "nobody has it yet"
    await desk.assigned(agent)
    later = datetime.now(UTC) + timedelta(minutes=1)
    status, found = await desk.admin.get(f"{path}?until={later:%Y-%m-%dT%H:%M:%SZ}")
    assert status == 200 and 5 <= found["expected"] <= 7
    assert set(found["counts"]) == {"awaited"} and {one["agent_id"] for one in found["items"]} == {
        agent.agent_id
    }
    moments = [datetime.fromisoformat(one["planned"]) for one in found["items"]]
    assert {(a - b).total_seconds() for a, b in zip(moments, moments[1:], strict=False)} == {10.0}
    report = agent.report(9)
    report.tags = {ASSIGNMENT_TAG: made["assignment_id"], PLANNED_TAG: found["items"][-1]["planned"]}
    assert (await agent.upload(desk.session, report))[0] == 201
    after = (await desk.admin.get(f"{path}?until={later:%Y-%m-%dT%H:%M:%SZ}"))[1]
    assert after["counts"]["awaited"] == found["counts"]["awaited"] - 1
    assert after["expected"] == found["expected"]
