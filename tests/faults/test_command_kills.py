"""kill -9 of the agent while commands come: each run began at most once, and the server knows which.

OTS_COMMAND_KILLS=100 is the full proof.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.cloud_kit import administrator, cloud_server
from tests.control_kit import enrolled, settled

KILLS = int(os.environ.get("OTS_COMMAND_KILLS", "12"))
SEED = 20260301


@pytest.mark.timeout(120 + 5 * KILLS)
async def test_killed_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    options = ["--rates", "1000", "--agent-return", "0.1"]
    given: list[str] = []
    with cloud_server(tmp_path / "server", options=options) as server:
        agent = enrolled(server, tmp_path / "agent", quick=True)
        async with administrator(server) as admin:
            for _ in range(KILLS):
                agent.start()
                for _ in range(2):
                    await asyncio.sleep(chance.uniform(0.1, 0.5))
                    wish: dict[str, Any] = {"kind": "run", "run": {"case": "ping"}, "expires_in": 3600}
                    path = f"/api/v1/agents/{agent.agent_id}/commands"
                    status, made = await admin.send("POST", path, wish)
                    assert status in (201, 429), made
                    given += [made["command_id"]] if status == 201 else []
                await asyncio.sleep(chance.uniform(0.1, 0.7))
                agent.kill()
            agent.start()
            try:
                ended = [await settled(admin, f"/api/v1/commands/{one}") for one in given]
            finally:
                agent.stop()
    ran = agent.ran()
    assert len(ran) == len(set(ran)), "one was begun twice"
    for command in ended:
        began = command["command_id"] in ran
        if command["reason"] != "interrupted":
            assert (command["state"] == "done") == began, command
        else:
            assert command["state"] == "done", command
    assert any(command["reason"] == "interrupted" for command in ended), "no kill met a run"
    assert any(command["reason"] is None for command in ended)
