"""What a server forgets of commands, group runs and planned runs, and what it must not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import func, select, update

from ots.license.tiers import DAY
from ots.model.report import Report
from ots.remote.assignment_wire import ASSIGNMENT_TAG, PLANNED_TAG
from ots.server import history
from ots.server.database.assignment_tables import arrival, assignment_fetch
from ots.server.database.control_tables import command, command_event, group_run_agent
from ots.server.database.database import Database, open_database
from ots.server.database.tables import audit, report
from ots.server.first_start import default_database
from ots.server.history import USUALLY_KEPT, History
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator, cloud_server
from tests.server_data import ask
from tests.waiting import until

pytestmark = pytest.mark.slow


@dataclass
class Desk:
    """An administrator, two agents that never take a command, and the server's database."""

    admin: Visitor
    session: aiohttp.ClientSession
    cloud: CloudServer
    agents: list[HandAgent]
    database: Database

    async def cancelled(self, agent: HandAgent, **wish: Any) -> str:
        """A command that nobody took in time."""
        path = f"/api/v1/agents/{agent.agent_id}/commands"
        status, made = await self.admin.send("POST", path, {"kind": "ping", **wish})
        assert status == 201, made
        await self.admin.send("DELETE", f"/api/v1/commands/{made['command_id']}")
        return str(made["command_id"])

    async def report_of(self, agent: HandAgent, command_id: str) -> Report:
        """The report of a command, arrived after all."""
        document = agent.report()
        assert (await agent.upload(self.session, document))[0] == 201
        async with self.database.writing() as connection:
            await connection.execute(
                update(command)
                .where(command.c.command_id == command_id)
                .values(report_id=document.report_id, state="done", verdict="pass")
            )
        return document

    async def take(self, document: Report) -> None:
        """Retention takes the report's bytes."""
        async with self.database.writing() as connection:
            await connection.execute(
                update(report).where(report.c.report_id == document.report_id).values(removed=time.time())
            )

    async def forget(self, after: float) -> int:
        """Two processes at once, so many seconds from now."""
        other = open_database(self.cloud.database or default_database(self.cloud.folder))
        now = time.time() + after
        try:
            both = await asyncio.gather(
                History(self.database, lambda: now).once(), History(other, lambda: now).once()
            )
        finally:
            await other.close()
        return sum(both)

    async def status(self, path: str) -> int:
        return (await self.admin.get(f"/api/v1/{path}"))[0]

    async def count(self, table: Any, condition: Any) -> int:
        async with self.database.reading() as connection:
            return int(
                (await connection.execute(select(func.count()).select_from(table).where(condition))).scalar()
                or 0
            )


@pytest.fixture
async def desk(cloud: CloudServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(history, "_AT_ONCE", 1)
    database = open_database(cloud.database or default_database(cloud.folder))
    async with administrator(cloud) as admin, aiohttp.ClientSession() as session:
        agents = [HandAgent(cloud.url), HandAgent(cloud.url)]
        for agent in agents:
            assert (await agent.enrol(session, cloud.open_token()))[0] == 201
        yield Desk(admin, session, cloud, agents, database)
    await database.close()


async def test_commands_that_are_over_go_and_all_others_stay(desk: Desk) -> None:
    agent = desk.agents[0]
    over = [await desk.cancelled(agent) for _ in range(3)]
    still_valid = await desk.cancelled(agent, expires_in=86_400)
    with_report = await desk.cancelled(agent)
    document = await desk.report_of(agent, with_report)
    path = f"/api/v1/agents/{agent.agent_id}/commands"
    waiting = (await desk.admin.send("POST", path, {"kind": "ping", "expires_in": 86_400}))[1]["command_id"]
    assert await desk.forget(USUALLY_KEPT - 3600) == 0
    assert await desk.forget(USUALLY_KEPT + 3600) == 3
    assert {await desk.status(f"commands/{one}") for one in over} == {404}
    assert await desk.count(command_event, command_event.c.command_id.in_(over)) == 0
    for kept in (still_valid, with_report, waiting):
        assert await desk.status(f"commands/{kept}") == 200
    await desk.take(document)
    assert await desk.forget(USUALLY_KEPT + 3600) == 1
    assert await desk.forget(USUALLY_KEPT + 2 * DAY) == 1
    assert await desk.status(f"commands/{still_valid}") == 404
    assert await desk.status(f"commands/{waiting}") == 200, "an open command never goes"
    following = await desk.cancelled(agent)
    async with desk.database.reading() as connection:
        numbers = select(command.c.seq).where(command.c.command_id == following)
        assert (await connection.execute(numbers)).scalar() == 7, "the number of no earlier command"
        entry = (await connection.execute(select(audit).where(audit.c.object == "commands"))).first()
    assert entry is not None and (entry.actor, entry.action) == ("server", "retention")


async def test_a_group_run_goes_as_a_whole_once_none_of_its_reports_is_kept(desk: Desk) -> None:
    wish = {
        "on": {"agents": [agent.agent_id for agent in desk.agents]},
        "run": {"case": "ping", "parameters": {"target": "127.0.0.1"}},
    }
    status, made = await desk.admin.send("POST", "/api/v1/group-runs", wish)
    assert status == 201, made
    path, of = f"group-runs/{made['run_id']}", command.c.run_id == made["run_id"]
    await desk.forget(USUALLY_KEPT + DAY)
    assert await desk.count(command, of) == 2, "it goes on"
    await desk.admin.send("DELETE", f"/api/v1/{path}")
    first = next(one for one in made["members"] if one["agent_id"] == desk.agents[0].agent_id)
    document = await desk.report_of(desk.agents[0], first["command_id"])
    await desk.forget(USUALLY_KEPT + DAY)
    assert await desk.count(command, of) == 2 and await desk.status(path) == 200
    await desk.take(document)
    assert await desk.forget(USUALLY_KEPT + DAY) >= 3
    assert await desk.count(command, of) == 0 and await desk.status(path) == 404
    assert await desk.count(group_run_agent, group_run_agent.c.run_id == made["run_id"]) == 0


async def test_planned_runs_that_are_forgotten_are_not_missing(desk: Desk) -> None:
    content = {
        "name": "every ten seconds",
        "case": {"name": "broadband"},
        "schedule": {"every": "10 s"},
        "selector": {"agents": [desk.agents[0].agent_id]},
        "max_duration": 1,
    }
    made = (await desk.admin.send("POST", "/api/v1/assignments", content))[1]
    agent, at = desk.agents[0], f"/api/v1/assignments/{made['assignment_id']}"
    assert (await agent.send(desk.session, "GET", "/api/v1/agent/assignments", b""))[0] == 200
    later = datetime.now(UTC) + timedelta(minutes=1)
    path = f"{at}/runs?until={later:%Y-%m-%dT%H:%M:%SZ}"
    planned = [one["planned"] for one in (await desk.admin.get(path))[1]["items"]]
    documents = [agent.report(seq) for seq in range(2)]
    for document, moment in zip(documents, planned, strict=False):
        document.tags = {ASSIGNMENT_TAG: made["assignment_id"], PLANNED_TAG: moment}
        assert (await agent.upload(desk.session, document))[0] == 201
    await desk.take(documents[0])
    assert await desk.forget(USUALLY_KEPT + DAY) >= 1
    left = (await desk.admin.get(path))[1]
    assert [one["planned"] for one in left["items"]] == [planned[1]] and left["expected"] == 1
    of = arrival.c.assignment_id == made["assignment_id"]
    fetched = assignment_fetch.c.assignment_id == made["assignment_id"]
    assert (await desk.count(arrival, of), await desk.count(assignment_fetch, fetched)) == (1, 1)
    await desk.take(documents[1])
    assert (await desk.admin.send("DELETE", at))[0] == 204
    assert await desk.forget(USUALLY_KEPT + DAY) >= 2
    assert (await desk.count(arrival, of), await desk.count(assignment_fetch, fetched)) == (0, 0)
    assert await desk.status(f"assignments/{made['assignment_id']}") == 200


async def test_a_server_forgets_by_itself(tmp_path: Path) -> None:
    with cloud_server(tmp_path) as cloud:
        async with administrator(cloud) as admin, aiohttp.ClientSession() as session:
            agent = HandAgent(cloud.url)
            await agent.enrol(session, cloud.open_token())
            path = f"/api/v1/agents/{agent.agent_id}/commands"
            made = (await admin.send("POST", path, {"kind": "ping"}))[1]
            await admin.send("DELETE", f"/api/v1/commands/{made['command_id']}")
    for column in ("changed", "not_after", "lost_after"):
        ask(cloud.address, f"UPDATE command SET {column} = {column} - {4 * DAY}")
    with cloud_server(tmp_path, options=["--keep-history", "3"]):
        await until(lambda: ask(cloud.address, "SELECT count(*) FROM command") == [(0,)])
    assert ask(cloud.address, "SELECT seq FROM command_counter") == [(1,)]
