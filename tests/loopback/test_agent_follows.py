"""The resident agent follows its server: what it is assigned runs by itself, and the server sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ots.agent.presence import read_status
from tests.cloud_kit import ROOT, CloudServer, Visitor, administrator, cloud_server
from tests.control_kit import ObedientAgent, enrolled, until
from tests.peers.process import end

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(tmp_path / "server", options=["--rates", "1000", "--agent-return", "1"]) as running:
        yield running


@contextlib.contextmanager
def resident(folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`ots agent run`, which is to end in order."""
    folder.mkdir(exist_ok=True)
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "OTS_DATA_DIR": str(folder)}
    with (folder / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ots", "agent", "run"],
            cwd=ROOT,
            env={**os.environ, **home},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process, grace=30)
        assert process.returncode == 0, (folder / "agent.log").read_text()


@pytest.fixture
def agent(server: CloudServer, tmp_path: Path) -> Iterator[ObedientAgent]:
    """`ots agent run` on an enrolled machine."""
    made = enrolled(server, tmp_path / "agent")
    with resident(made.folder, tmp_path):
        yield made


async def test_a_place_on_a_server_is_taken_and_given_up_while_it_runs(
    server: CloudServer, tmp_path: Path
) -> None:
    """Nobody has to start the agent again. SIGHUP has it look at once, without it looks within 20 s."""
    folder = tmp_path / "agent"
    with resident(folder, tmp_path) as process:

        async def runs() -> bool:
            return read_status(folder) is not None

        await until(runs)
        made = enrolled(server, folder)
        process.send_signal(signal.SIGHUP)
        async with administrator(server) as admin:
            await until(lambda: _online(admin, made.agent_id))
            made.ots("agent", "leave", "--yes")
            process.send_signal(signal.SIGHUP)

            async def gone() -> bool:
                return not await _online(admin, made.agent_id)

            await until(gone)
        assert process.poll() is None


async def test_an_assignment_is_followed_and_its_outcome_is_on_the_server(
    server: CloudServer, agent: ObedientAgent
) -> None:
    """The policy lets no server have loopback measured, so what arrives is a refusal with its reason."""
    async with administrator(server) as admin:
        await until(lambda: _online(admin, agent.agent_id))
        licence = {"tier": "professional", "agent_id": agent.agent_id}
        assert (await admin.send("POST", "/api/v1/licences", licence))[0] == 201
        wish = {
            "name": "every ten seconds",
            "case": {"name": "ping"},
            "schedule": {"every": "10 s"},
            "parameters": {"target": "127.0.0.1"},
        }
        status, made = await admin.send("POST", "/api/v1/assignments", wish)
        assert status == 201, made
        path = f"/api/v1/assignments/{made['assignment_id']}/runs"

        async def arrived() -> Any:
            found = (await admin.get(path))[1]
            return [one for one in found["items"] if one["report"] is not None]

        first = (await until(arrived, within=60))[-1]
        assert (first["agent_id"], first["state"]) == (agent.agent_id, "refused")
        assert "loopback" in first["reason"]
        status, report = await admin.get(f"/api/v1/reports/{first['report']}")
        assert (status, report["case"], report["verdict"]) == (200, "ping", "error")
        missing = (await admin.get("/api/v1/missing-runs"))[1]["items"]
        assert missing[0]["assignment"] == "every ten seconds" and missing[0]["reason"]
        assert (await admin.send("DELETE", f"/api/v1/assignments/{made['assignment_id']}"))[0] == 204


async def _online(admin: Visitor, agent_id: str) -> bool:
    return bool((await admin.get(f"/api/v1/agents/{agent_id}"))[1]["online"])
