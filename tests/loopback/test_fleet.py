"""`ots fleet` against a real server with real agents: runs of several, canary, hold, diagnosis."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ots.store import Store
from tests.cloud_kit import ROOT, CloudServer, administrator, cloud_server
from tests.control_kit import ObedientAgent, enrolled, obedient

pytestmark = pytest.mark.slow


class Fleet:
    """A server with agents `north-1`, `north-2` (both on the line) and a manager's shell."""

    def __init__(self, server: CloudServer, token: str, agents: list[ObedientAgent]) -> None:
        self.server, self.token, self.agents = server, token, agents

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "cli.py", "fleet", *argv],
            cwd=ROOT,
            env={**os.environ, "OTS_SERVER": self.server.url, "OTS_TOKEN": self.token},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with (
        cloud_server(folder / "server", options=["--rates", "1000", "--agent-return", "1"]) as server,
        obedient(server, folder / "one") as one,
        obedient(server, folder / "two") as two,
    ):
        yield Fleet(server, asyncio.run(_prepare(server, [one, two])), [one, two])


async def _prepare(server: CloudServer, agents: list[ObedientAgent]) -> str:
    async with administrator(server) as admin:
        for number, agent in enumerate(agents, 1):
            edit = {"name": f"north-{number}", "tags": ["north", f"n{number}"]}
            status, seen = await admin.send("PUT", f"/api/v1/agents/{agent.agent_id}", edit)
            assert (status, seen["tags"]) == (200, [f"n{number}", "north"])
        scopes = (await admin.get("/api/v1/session"))[1]["scopes"]
        made = (await admin.send("POST", "/api/v1/api-tokens", {"name": "shell", "scopes": scopes}))[1]
        return str(made["token"])


def test_a_case_on_a_group_gives_progress_reports_and_one_verdict(fleet: Fleet) -> None:
    done = fleet(
        "run", "ping", "--on", "tag=north", "--var", "target=127.0.0.1", "--wait", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["settled"], run["verdict"], run["counts"]) == (True, "pass", {"done": 2})
    assert all(member["report"] for member in run["members"])
    assert "north-1: runs" in done.stderr and "north-2: runs" in done.stderr
    for agent in fleet.agents:
        assert len(agent.ran()) == len(set(agent.ran())) >= 1


def test_a_breached_limit_anywhere_fails_the_group(fleet: Fleet) -> None:
    argv = ["--on", "tag=n1", "--on", "tag=n2", "--var", "target=192.0.2.1", "--wait", "--format", "junit"]
    done = fleet("run", "ping", *argv)
    assert done.returncode == 1, done.stderr
    suite = ElementTree.fromstring(done.stdout)
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")


def test_a_canary_that_refuses_keeps_the_others_from_starting(fleet: Fleet) -> None:
    before = [agent.ran() for agent in fleet.agents]
    argv = ["--on", "tag=north", "--canary", "50", "--wait", "--format", "json"]
    done = fleet("run", "no-such-case", *argv)
    run = json.loads(done.stdout)
    assert (done.returncode, run["state"], run["verdict"]) == (3, "stopped", "error"), run
    assert run["counts"] == {"done": 1, "created": 1}
    assert sum(len(agent.ran()) for agent in fleet.agents) == sum(map(len, before)) + 1


def test_hold_and_release_and_a_local_hold_that_stays(fleet: Fleet) -> None:
    assert fleet("hold", "--on", "tag=n1", "--reason", "a fair").returncode == 0
    assert (fleet.agents[0].folder / "hold.remote").exists()
    (fleet.agents[0].folder / "hold.local").write_text("{}")
    refused = fleet("release", "--on", "tag=n1")
    assert refused.returncode == 3 and "held-locally" in refused.stdout
    (fleet.agents[0].folder / "hold.local").unlink()
    assert fleet("release", "--on", "tag=n1").returncode == 0
    assert not (fleet.agents[0].folder / "hold.remote").exists()


def test_a_diagnosis_holds_doctor_and_link(fleet: Fleet, tmp_path: Path) -> None:
    done = fleet("diagnose", "--on", "tag=n2", "--json")
    assert done.returncode == 0, done.stderr
    command = json.loads(done.stdout)["commands"][0]
    answer = command["answer"]
    assert answer["doctor"]["findings"] and "log" in answer
    with Store.open(fleet.agents[1].folder) as store:
        (entry,) = [each for each in store.list() if each.case_id == "diagnosis"]
        report = store.report(entry)
    assert (entry.report_id, report.verdict) == (command["report_id"], "measured")
    assert [step.key for step in report.steps] == ["doctor", "link", "log"]
    assert all(step.log for step in report.steps[:2]) and entry.upload == "waiting"
    assert "diagnosis" in fleet.agents[1].ots("report", "show", str(entry.seq))
    page = tmp_path / "diagnosis.html"
    fleet.agents[1].ots("report", "export", str(entry.seq), "--format", "html", "--output", str(page))
    assert "diagnosis" in page.read_text("utf-8")


def test_the_list_says_who_is_on_the_line(fleet: Fleet, tmp_path: Path) -> None:
    absent = enrolled(fleet.server, tmp_path / "absent")
    listed = json.loads(fleet("list", "--json").stdout)["agents"]
    there = {agent["agent_id"]: agent["online"] for agent in listed}
    assert there == {**{agent.agent_id: True for agent in fleet.agents}, absent.agent_id: False}


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["run", "ping", "--on", "tag=south"], 1, "no active agent"),
        (["run", "ping", "--on", "north"], 2, "names no agents"),
        (["run", "../etc/passwd", "--on", "all"], 1, "invalid-body"),
        (["stop"], 2, "name a run"),
        (["watch", "00000000-0000-0000-0000-000000000000"], 1, "not-found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_can_not_be_is_said(fleet: Fleet, argv: list[str], code: int, says: str) -> None:
    done = fleet(*argv)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


def test_the_token_is_never_an_argument(fleet: Fleet) -> None:
    stranger = Fleet(fleet.server, "ots-api-wrong", fleet.agents)
    done = stranger("list")
    assert done.returncode == 1 and "login-required" in done.stderr and "ots-api-wrong" not in done.stderr
