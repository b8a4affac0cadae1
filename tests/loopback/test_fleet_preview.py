"""Who would refuse a run: real agents are asked by a real server, and nothing is run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cloud_kit import ROOT, CloudServer, Visitor, administrator
from tests.control_kit import ObedientAgent, enrolled, until
from tests.peers.cloud import KINDS

pytestmark = pytest.mark.slow

_TARGET = "192.0.2.1"
_OPEN = "ots_policy: 1\npreset: standard\nremote: {targets: [192.0.2.0/24], trusted: [192.0.2.0/24]}\n"


class Fleet:
    """Agents on the line: `open` lets a server ping the target, `closed` doesn't, `older` knows no preview;
    `away` is off the line."""

    def __init__(self, server: CloudServer, agents: dict[str, ObedientAgent]) -> None:
        self.server, self.agents, self.token = server, agents, ""

    async def prepare(self, admin: Visitor) -> None:
        """Names the agents and waits until those that are to be there are."""
        for name, agent in self.agents.items():
            status, _ = await admin.send(
                "PUT", f"/api/v1/agents/{agent.agent_id}", {"name": name, "tags": [name]}
            )
            assert status == 200
        scopes = (await admin.get("/api/v1/session"))[1]["scopes"]
        made = (await admin.send("POST", "/api/v1/api-tokens", {"name": "shell", "scopes": scopes}))[1]
        self.token = made["token"]

        async def there() -> bool:
            listed = (await admin.get("/api/v1/agents"))[1]["items"]
            return {each["name"] for each in listed if each["online"]} == {"open", "closed", "older"}

        await until(there)

    async def __call__(self, *argv: str) -> tuple[int, str, str]:
        """`ots fleet preview ping`: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "cli.py", "fleet", "preview", *argv),
            cwd=ROOT,
            env={**os.environ, "OTS_SERVER": self.server.url, "OTS_TOKEN": self.token, "COLUMNS": "200"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), said.decode()


@pytest.fixture
def fleet(own_cloud: CloudServer, tmp_path: Path) -> Iterator[Fleet]:
    agents = {}
    with ExitStack() as stack:
        for name in ("open", "closed", "older", "away"):
            agent = agents[name] = enrolled(own_cloud, tmp_path / name)
            config = tmp_path / f"{name}-config"
            (config / "ots").mkdir(parents=True)
            agent.environment["XDG_CONFIG_HOME"] = str(config)
            if name == "open":
                (config / "ots" / "policy.yaml").write_text(_OPEN)
            if name == "older":
                agent.kind = "older"
            if name != "away":
                agent.start()
                stack.callback(agent.stop)
        yield Fleet(own_cloud, agents)


async def _asked(admin: Visitor, agent: str, **wish: Any) -> list[dict[str, Any]]:
    wish["on"] = {"agents": [agent]}
    status, view = await admin.send("POST", "/api/v1/group-run-previews", wish)
    assert status == 200, view
    return list(view["items"])


def _codes(item: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in item["reasons"]]


@contextmanager
def _stopped(agent: ObedientAgent) -> Iterator[None]:
    """Its process stands still for as long as the block lasts; the line is up."""
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        agent.process.send_signal(signal.SIGCONT)


def _answers(view: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {each["name"]: (each["answer"], each["not_asked"]) for each in view["items"]}


async def test_each_agent_says_whether_it_would_run_and_why_not(fleet: Fleet) -> None:
    async with administrator(fleet.server) as admin:
        await fleet.prepare(admin)
        wish = {"on": {"everything": True}, "run": {"case": "ping", "parameters": {"target": _TARGET}}}
        status, view = await admin.send("POST", "/api/v1/group-run-previews", wish)
        assert status == 200, view
        assert _answers(view) == {
            "open": ("would_run", None),
            "closed": ("would_refuse", None),
            "older": ("not_asked", "older"),
            "away": ("not_asked", "not-connected"),
        }, view
        assert view["counts"] == {"would_run": 1, "would_refuse": 1, "not_asked": 2}
        reasons = {each["name"]: each["reasons"] for each in view["items"]}
        assert reasons["open"] == []
        assert {(one["code"], one["step"]) for one in reasons["closed"]} >= {
            ("target", "latency"),
            ("target", "large"),
        }
        assert any("192.0.2.1 is private" in one["text"] for one in reasons["closed"])

        (item,) = await _asked(admin, "open", run={"case": "no-such-case"})
        assert (item["answer"], _codes(item)) == ("would_refuse", ["case"])
        (item,) = await _asked(admin, "open", run={"case": "ping", "parameters": {"target": "no target!"}})
        assert (item["answer"], _codes(item)) == ("would_refuse", ["case"])
        (fleet.agents["open"].folder / "hold.local").write_text("{}")
        (item,) = await _asked(admin, "open", run=wish["run"])
        assert (item["answer"], _codes(item)) == ("would_refuse", ["held"])
        with _stopped(fleet.agents["closed"]):
            began = time.monotonic()
            (item,) = await _asked(admin, "closed", run=wish["run"], within=2)
            assert (item["answer"], item["not_asked"]) == ("not_asked", "no-answer")
            assert time.monotonic() - began >= 2

        kinds = {each["kind"] for each in (await admin.get("/api/v1/commands"))[1]["items"]}
        assert kinds == {"preview"}
        assert (await admin.get("/api/v1/reports"))[1]["items"] == []
        assert (await admin.get("/api/v1/group-runs"))[1]["items"] == []
    assert [agent.ran() for agent in fleet.agents.values()] == [[], [], [], []]
    assert not any((agent.folder / "ots.db").exists() for agent in fleet.agents.values())


@pytest.mark.parametrize("own_cloud", KINDS[:1], indirect=True)
async def test_the_shell_shows_a_table_or_json_and_its_exit_code_says_whether_all_would(fleet: Fleet) -> None:
    argv = ["ping", "--var", f"target={_TARGET}", "--on"]
    async with administrator(fleet.server) as admin:
        await fleet.prepare(admin)
    (code, out, said), opened, away = await asyncio.gather(
        fleet(*argv, "all"), fleet(*argv, "tag=open", "--json"), fleet(*argv, "tag=away")
    )
    assert code == 1, said
    lines = {line.split()[0]: line for line in out.splitlines() if line.split()[0] in fleet.agents}
    assert "would run" in lines["open"] and "would refuse" in lines["closed"]
    assert "its version knows no preview" in lines["older"] and "not on the line" in lines["away"]
    assert (opened[0], json.loads(opened[1])["counts"]) == (0, {"would_run": 1}), opened
    assert away[0] == 5 and "not asked" in away[1]
