"""The resident agent's clock is set, or its machine suspended, while it is on a line to its server: what
counts for commands and signatures is the server's clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ots.agent.ledger import Ledger
from tests.cloud_kit import Visitor, administrator, cloud_server
from tests.control_kit import enrolled, settled, until
from tests.peers.shifted_clock import ShiftedClock, suspended
from tests.resident_kit import Resident

pytestmark = pytest.mark.slow
HOUR = 3600.0


async def test_the_servers_clock_counts_when_this_one_is_set_and_when_it_slept(tmp_path: Path) -> None:
    clock = ShiftedClock(tmp_path / "clock")
    options = ["--rates", "1000", "--agent-return", "0.5", "--agent-ping", "5"]
    with cloud_server(tmp_path / "server", options=options) as server:
        agent = Resident(tmp_path, clock, f"127.0.0.1:{server.port}")
        agent_id = enrolled(server, agent.data).agent_id
        agent.plan("daily", "{every: 24 h, spread: 0 s}")
        with agent.at_work():
            async with administrator(server) as admin:
                await until(lambda: _online(admin, agent_id))
                clock.set(_midnight(clock.now()) + 1)  # up to a day ahead of the server, and due
                agent.look()
                agent.has_run(1)
                (report,) = agent.reports()

                async def arrived() -> bool:
                    found = (await admin.get("/api/v1/reports"))[1]["items"]
                    return [one["report_id"] for one in found] == [report.report_id]

                await until(arrived)  # its signature was made by the server's clock
                assert (await _command(admin, agent_id, kind="ping"))["state"] == "done"

                assert agent.process is not None
                with suspended(agent.process):
                    expired = await _give(admin, agent_id, kind="run", run={"case": "ping"}, expires_in=60)
                    await until(lambda: _delivered(admin, expired))
                    clock.sleep(3 * HOUR)
                ended = await settled(admin, expired)
                assert (ended["state"], ended["reason"]) == ("rejected", "expired")
    ledger = Ledger.of(agent.data)
    assert ledger.get(expired.rsplit("/", 1)[1]) is None
    ledger.close()
    assert [each.report_id for each in agent.reports()] == [report.report_id]


def _midnight(after: float) -> float:
    return after - after % 86_400 + 86_400


async def _online(admin: Visitor, agent_id: str) -> bool:
    return bool((await admin.get(f"/api/v1/agents/{agent_id}"))[1]["online"])


async def _delivered(admin: Visitor, path: str) -> bool:
    return bool((await admin.get(path))[1]["state"] == "delivered")


async def _give(admin: Visitor, agent_id: str, **wish: Any) -> str:
    status, made = await admin.send("POST", f"/api/v1/agents/{agent_id}/commands", wish)
    assert status == 201, made
    return f"/api/v1/commands/{made['command_id']}"


async def _command(admin: Visitor, agent_id: str, **wish: Any) -> dict[str, Any]:
    """A command once it has come to its end."""
    return await settled(admin, await _give(admin, agent_id, **wish))
