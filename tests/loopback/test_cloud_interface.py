"""The interface against its document: made-up requests, and every role at objects of another department."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ots.server.api.operation import Access, Operation
from ots.server.app import OPERATIONS
from ots.server.identity.caller import ROLES
from tests.cloud_kit import ADMIN_PASSWORD, ROOT, CloudServer, HandAgent, Visitor, administrator

pytestmark = pytest.mark.slow

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
)


@pytest.fixture
def server(own_cloud: CloudServer) -> CloudServer:
    return own_cloud


async def _api_token(admin: Visitor) -> str:
    scopes = (await admin.get("/api/v1/session"))[1]["scopes"]
    status, made = await admin.send("POST", "/api/v1/api-tokens", {"name": "all", "scopes": scopes})
    assert status == 201, made
    return str(made["token"])


def _run(argv: list[str], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs it where it may leave what it remembers."""
    return subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(300)
async def test_made_up_requests_find_no_fault_and_no_undocumented_answer(
    server: CloudServer, tmp_path: Path
) -> None:
    agent = HandAgent(server.url)
    async with administrator(server) as admin, aiohttp.ClientSession() as session:
        token = await _api_token(admin)
        assert (await agent.enrol(session, server.open_token()))[0] == 201
        assert (await agent.upload(session, agent.report()))[0] == 201
    # What is the same on both databases need not be found twice.
    examples = "12" if server.database is None else "4"
    pem = agent.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    done = await asyncio.to_thread(
        _run,
        [str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/api/v1/openapi.json"]
        + ["--header", f"Authorization: Bearer {token}", "--checks", ",".join(_CHECKS)]
        + ["--phases", "examples,coverage,fuzzing", "--max-examples", examples, "--seed", "1"]
        + ["--exclude-operation-id", "leave", "--suppress-health-check", "all", "--no-color"],
        {
            "SCHEMATHESIS_HOOKS": "tests.peers.signing_hooks",
            "OTS_TEST_AGENT": agent.agent_id,
            "OTS_TEST_KEY": pem,
        },
        tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"Tested: (\d+)", done.stdout)[1] == str(len(OPERATIONS) - 1)  # type: ignore[index]


class Place:
    """One department with one of everything; `mark` is in all its texts."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.objects: dict[str, str] = {}

    async def furnish(self, server: CloudServer, admin: Visitor, session: aiohttp.ClientSession) -> None:
        agent = HandAgent(server.url)
        await admin.send("PUT", "/api/v1/departments", {"department": self.mark, "name": self.mark})
        named = {"department": self.mark, "project": f"p-{self.mark}", "name": self.mark}
        assert (await admin.send("PUT", "/api/v1/departments", named))[0] == 204
        wish = {"department": self.mark, "project": f"p-{self.mark}", "max_uses": 9, "note": self.mark}
        token = (await admin.send("POST", "/api/v1/enrolment-tokens", wish))[1]["token"]
        assert (await agent.enrol(session, token, name=self.mark))[0] == 201
        report = agent.report()
        report.job.id = self.mark
        assert (await agent.upload(session, report))[0] == 201
        asked = f'{{"tier": "professional", "note": "{self.mark}"}}'.encode()
        assert (await agent.send(session, "POST", "/api/v1/agent/licence-requests", asked))[0] == 201
        tokens = (await admin.get("/api/v1/enrolment-tokens?limit=500"))[1]["items"]
        reports = (await admin.get(f"/api/v1/reports?agent_id={agent.agent_id}"))[1]["items"]
        licences = (await admin.get("/api/v1/licences?limit=500"))[1]["items"]
        wishes = (await admin.get("/api/v1/licence-requests?limit=500"))[1]["items"]
        status, assigned = await admin.send("POST", "/api/v1/assignments", self.assignment())
        assert status == 201, assigned
        commands = f"/api/v1/agents/{agent.agent_id}/commands"
        asked_of = {"kind": "ping", "reason": self.mark, "expires_in": 3600}
        status, commanded = await admin.send("POST", commands, asked_of)
        assert status == 201, commanded
        status, started = await admin.send("POST", "/api/v1/group-runs", self.group_run())
        assert status == 201, started
        mine = next(item for item in licences if item["agent_id"] == agent.agent_id)
        self.objects = {
            "agent_id": agent.agent_id,
            "token_id": next(item["token_id"] for item in tokens if item["note"] == self.mark),
            "report": str(reports[0]["number"]),
            "licence_id": mine["licence_id"],
            "assignment_id": assigned["assignment_id"],
            "command_id": commanded["command_id"],
            "run_id": started["run_id"],
            "wish": str(next(item["number"] for item in wishes if item["agent_id"] == agent.agent_id)),
        }

    def assignment(self) -> dict[str, Any]:
        place = {"department": self.mark, "project": f"p-{self.mark}"}
        return {"name": self.mark, "case": {"name": "broadband"}, "schedule": {"every": "1 h"}, **place}

    def group_run(self) -> dict[str, Any]:
        """A run on every agent of this department, which only people of it may start."""
        run = {"case": "ping", "parameters": {"target": self.mark}}
        return {"on": {"departments": [self.mark]}, "run": run, "expires_in": 3600}

    def path(self, operation: Operation) -> str:
        """The operation's path with this place's object in it."""
        numbered = "wish" if "licence-requests" in operation.path else "report"
        given = {**self.objects, "number": self.objects[numbered], "revision": "1", "sha256": "0" * 64}
        query = _QUERIES.get(operation.name, "").format(**given)
        return re.sub(r"\{([a-z0-9_]+)\}", lambda found: given[found[1]], operation.path) + query

    def body(self, operation: Operation) -> Any:
        """What would change something of this place, for every operation that takes a body."""
        return {
            "takeContent": {},
            "editAgent": {"name": "taken over", "tags": ["intruder"]},
            "giveCommand": {"kind": "ping", "reason": "a leak"},
            "startGroupRun": self.group_run(),
            "previewGroupRun": {name: self.group_run()[name] for name in ("on", "run")},
            "changeAgent": {"action": "suspend", "reason": "a leak"},
            "makeToken": {"department": self.mark, "project": f"p-{self.mark}"},
            "makeLicence": {"tier": "professional", "agent_id": self.objects["agent_id"]},
            "decideWish": {"grant": True},
            "makeAssignment": self.assignment(),
            "changeAssignment": {"version": 1, "content": self.assignment()},
            "putPlace": {"department": self.mark, "name": "taken over"},
            "makeAccount": {"name": "intruder", "grants": [{"role": "admin"}]},
            "changeAccount": {"disabled": True},
            "reviseReport": {"kind": "note", "reason": "a leak", "note": "not yours"},
            **_BODIES,
        }.get(operation.name)


_BODIES: dict[str, Any] = {
    "changePassword": {"present": "not mine at all", "new": "another one, longer"},
    "takeContent": {"metadata": {}},
    "makeApiToken": {"name": "more", "scopes": ["accounts:write"]},
}
_QUERIES = {"exportReport": "?format=json", "compareReports": "?a={number}&b={number}"}
"""Of operations that name objects in their query, or answer nothing without one."""

_OWN = frozenset({"whoAmI", "logOut", "listApiTokens", "changePassword", "makeApiToken", "revokeApiToken"})
"""What concerns only whoever calls."""


async def test_no_role_sees_or_changes_anything_of_another_department(server: CloudServer) -> None:
    here, there = Place("HERE-1"), Place("THERE-2")
    operations = [operation for operation in OPERATIONS if operation.access is Access.PERSON]
    async with administrator(server) as admin, aiohttp.ClientSession() as session:
        for place in (here, there):
            await place.furnish(server, admin, session)
        unprepared = [each.name for each in operations if each.takes and there.body(each) is None]
        assert not unprepared, "say in Place.body what these would change"
        before = await _state(admin)
        seen = 0
        for role in ROLES:
            for project in (None, f"p-{here.mark}"):
                grant = {"role": role, "department": here.mark, "project": project}
                async with _member(server, admin, f"{role}-{project or 'all'}", grant) as person:
                    for operation in operations:
                        if operation.name not in _OWN:
                            seen += await _hold(person, operation, here, there)
        assert seen > len(ROLES)
        after = await _state(admin)
        assert [line for line in before if there.mark in line] == [
            line for line in after if there.mark in line
        ]


async def _hold(person: Visitor, operation: Operation, here: Place, there: Place) -> bool:
    """Calls an operation for what is there; returns whether it gave the caller's own place something."""
    if operation.method == "GET" and "{" not in operation.path and operation.name not in _QUERIES:
        status, answer = await person.get(f"{operation.path}{'?limit=500' if operation.query else ''}")
        text = repr(answer)
        assert there.mark not in text and there.objects["agent_id"] not in text, operation.name
        return status == 200 and here.mark in text
    foreign = await person.send(operation.method, there.path(operation), there.body(operation))
    assert foreign[0] in (403, 404), (operation.name, foreign)
    assert there.mark not in repr({**foreign[1], "detail": None}), operation.name
    if operation.method == "GET":
        status, _ = await person.get(here.path(operation))
        return status == 200
    return False


async def _state(admin: Visitor) -> list[str]:
    """Everything that could be changed, a line for each thing."""
    lines = []
    for path in (
        "commands",
        "group-runs",
        "agents",
        "reports",
        "licences",
        "licence-requests",
        "enrolment-tokens",
        "departments",
        "assignments",
    ):
        status, page = await admin.get(f"/api/v1/{path}?limit=500")
        assert status == 200 and page["next"] is None
        lines += [repr(item) for item in page["items"]]
    return sorted(lines)


@contextlib.asynccontextmanager
async def _member(
    server: CloudServer, admin: Visitor, name: str, grant: dict[str, Any]
) -> AsyncIterator[Visitor]:
    """Somebody with one role in one place, by an API token of theirs."""
    status, made = await admin.send("POST", "/api/v1/accounts", {"name": name, "grants": [grant]})
    assert status == 201, made
    async with Visitor.at(server.url) as visitor:
        assert (await visitor.log_in(name, made["password"]))[0] == 200
        new = {"present": made["password"], "new": ADMIN_PASSWORD}
        assert (await visitor.send("PUT", "/api/v1/session/password", new))[0] == 204
        yield visitor
