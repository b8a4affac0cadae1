"""`ots server user` beside a running server: accounts, the way back in, and what the audit trail says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud_kit import CloudServer, Visitor, administrator
from tests.command_line import CommandLine
from tests.server_database import named

pytestmark = pytest.mark.slow


@pytest.fixture
def user(cloud: CloudServer, tmp_path: Path) -> Any:
    """Runs `ots server user …` on the server's own folder and database."""
    line = CommandLine(tmp_path)
    where = ["--data", str(cloud.folder)]

    def run(*words: str) -> Any:
        return line.run("server", "user", *words, *where, "--json", env=named(cloud.database))

    return run


@pytest.fixture
async def admin(cloud: CloudServer) -> AsyncIterator[Visitor]:
    async with administrator(cloud) as visitor:
        yield visitor


async def test_a_lost_password_is_made_anew_and_the_old_one_ends(
    cloud: CloudServer, admin: Visitor, user: Any
) -> None:
    made = json.loads(user("add", "li.wei", "--role", "auditor").stdout)
    async with Visitor.at(cloud.url) as person:
        assert (await person.log_in("li.wei", made["password"]))[1]["must_change_password"]
        change = {"present": made["password"], "new": "a password of my own"}
        assert (await person.send("PUT", "/api/v1/session/password", change))[0] == 204
        again = json.loads(user("password", "li.wei").stdout)
        assert again["password"] != made["password"]
        assert (await person.get("/api/v1/session"))[0] == 401
        assert (await person.log_in("li.wei", "a password of my own"))[0] == 401
        assert (await person.log_in("li.wei", again["password"]))[1]["must_change_password"]
        assert user("disable", "li.wei").returncode == 0
        assert (await person.log_in("li.wei", again["password"]))[0] == 401
        assert user("enable", "li.wei").returncode == 0
        assert (await person.log_in("li.wei", again["password"]))[0] == 200
    listed = {entry["name"]: entry for entry in json.loads(user("list").stdout)["accounts"]}
    assert listed["admin"]["roles"] == ["admin"]
    assert listed["li.wei"]["roles"] == ["auditor"] and not listed["li.wei"]["disabled"]
    status, trail = await admin.get("/api/v1/audit?limit=20")
    of_li = [entry for entry in trail["items"] if entry["object"] == "account li.wei"]
    by_hand = [entry for entry in of_li if entry["actor"] == "command line"]
    assert status == 200 and len(by_hand) == 4
    assert again["password"] not in str(trail) and made["password"] not in str(trail)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("disable", "admin"), "somebody must stay administrator"),
        (("password", "nobody"), "there is no account 'nobody'"),
        (("add", "admin", "--role", "viewer"), "there is an account 'admin' already"),
        (("add", "a b", "--role", "viewer"), "a name has"),
        (("add", "x", "--role", "viewer", "--department", "none"), "there is no department 'none'"),
        (("add", "x", "--role", "viewer", "--project", "P"), "--project needs --department"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_what_is_refused_is_said(user: Any, words: tuple[str, ...], said: str) -> None:
    done = user(*words)
    assert done.returncode not in (0, 1) and said in done.stdout + done.stderr
