"""A week without network: the resident agent keeps to its schedules and assignments, and then everything
arrives once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ots.clock import rfc3339
from ots.model.report import Report
from ots.remote.assignment_wire import ASSIGNMENT_TAG
from ots.remote.assignments import kept_assignments
from ots.remote.membership import read_membership
from ots.store import Store
from ots.store.outbox import Outbox
from tests.cloud_kit import CloudServer, Visitor, administrator, cloud_server
from tests.control_kit import enrolled, until
from tests.cut_line import wire_beside
from tests.peers.shifted_clock import ShiftedClock
from tests.resident_kit import Resident, soon

pytestmark = pytest.mark.slow
DAY = 86_400.0
DAYS = 7


def test_after_a_week_without_network_everything_arrives_once(tmp_path: Path) -> None:
    """The server's clock goes with the agent's. The policy forbids what is assigned, so that a refusal is the
    outcome that has to arrive."""
    world = ShiftedClock(tmp_path / "world")
    options = ["--rates", "1000", "--agent-return", "0.5"]
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        server = stack.enter_context(
            cloud_server(tmp_path / "server", options=options, env=world.environment)
        )
        line = stack.enter_context(wire_beside(server.port))
        agent = Resident(tmp_path, world, f"127.0.0.1:{target.getsockname()[1]}")
        agent_id = enrolled(server, agent.data, line.url).agent_id
        agent.plan("daily", "{every: 24 h, spread: 0 s}")
        with agent.at_work():
            assignment = _ask(server, lambda admin: _assign(admin, agent_id))
            soon(lambda: kept_assignments(agent.data, read_membership(agent.data)))

            def refused() -> list[Report]:
                return [each for each in agent.reports() if ASSIGNMENT_TAG in each.tags]

            line.cut()
            begun = world.now()
            for day in range(1, DAYS + 1):
                world.run_on((begun // DAY + day) * DAY + 1 - world.now())
                agent.look()
                agent.has_run(day)
                soon(lambda day=day: len(refused()) == day)  # type: ignore[misc]
            kept = {each.report_id for each in agent.reports()}
            assert len(kept) == 2 * DAYS
            with Store.open_read_only(agent.data) as store:
                assert Outbox(store).waiting(agent_id) == 2 * DAYS
            line.heal()
            world.run_on(600)
            agent.look()
            arrived, runs = _ask(
                server, lambda admin: _all_there(admin, assignment, begun, world.now(), 2 * DAYS)
            )
            soon(lambda: {entry.upload for entry in _entries(agent.data)} == {"sent"})
    assert sorted(arrived) == sorted(kept), "each once"
    assert (runs["expected"], runs["counts"]) == (DAYS, {"refused": DAYS})


def _entries(folder: Path) -> list[Any]:
    with Store.open_read_only(folder) as store:
        return list(store.list())


async def _assign(admin: Visitor, agent_id: str) -> str:
    licence = {"tier": "professional", "agent_id": agent_id}
    assert (await admin.send("POST", "/api/v1/licences", licence))[0] == 201
    wish = {
        "name": "every day",
        "case": {"name": "ping"},
        "schedule": {"every": "24 h", "spread": "0 s"},
        "parameters": {"target": "127.0.0.1"},
    }
    status, made = await admin.send("POST", "/api/v1/assignments", wish)
    assert status == 201, made
    return str(made["assignment_id"])


async def _all_there(
    admin: Visitor, assignment: str, begun: float, now: float, reports: int
) -> tuple[list[str], dict[str, Any]]:
    """The ids of all reports once there are as many, and the planned runs of the assignment."""

    async def there() -> list[str]:
        found = (await admin.get("/api/v1/reports?limit=100"))[1]["items"]
        return [one["report_id"] for one in found] if len(found) >= reports else []

    arrived = await until(there, within=60)
    path = f"/api/v1/assignments/{assignment}/runs?since={rfc3339(begun)}&until={rfc3339(now)}"
    status, runs = await admin.get(path)
    assert status == 200, runs
    return arrived, runs


def _ask(server: CloudServer, ask: Callable[[Visitor], Coroutine[Any, Any, Any]]) -> Any:
    async def logged_in() -> Any:
        async with administrator(server) as admin:
            return await ask(admin)

    return asyncio.run(logged_in())
