"""Signed content from the publisher's command to the report of a run: by the cloud server, and by nginx."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from ots.agent.content_duty import ContentDuty, fetch_content
from ots.content.held import content_folder, forget, servers_file
from ots.license import issue
from ots.license.document import Revoked
from ots.license.issue import revocation_list, sign_revocations
from ots.store.licences import Licences
from tests.cloud_kit import CloudServer, administrator, cloud_server
from tests.command_line import CommandLine
from tests.content_kit import CASE, Field, field_of, host
from tests.licence_kit import Issuer
from tests.peers.nginx import Nginx
from tests.peers.process import free_port
from tests.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    with cloud_server(tmp_path_factory.mktemp("cloud"), options=["--rates", "1000"]) as running:
        yield running


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    with field_of(tmp_path) as made:
        yield made


async def test_a_case_goes_from_the_publisher_over_the_server_into_a_report(
    server: CloudServer, tmp_path: Path
) -> None:
    manager, agent = CommandLine(tmp_path / "manager"), CommandLine(tmp_path / "agent")
    for one in (manager, agent):
        one.folder.mkdir()
    async with administrator(server) as admin:
        status, made = await admin.send(
            "POST", "/api/v1/api-tokens", {"name": "publisher", "scopes": ["content:read", "content:write"]}
        )
        assert status == 201, made
        key = (await admin.get("/api/v1/content"))[1]["online_key"]
    secrets = {"TOKEN": made["token"], "PASS": "correct horse", "ENROL": server.open_token()}

    def content(*arguments: str) -> str:
        done = manager.run("content", *arguments, env=secrets)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def work() -> dict[str, object]:
        assert (
            agent.run("agent", "enroll", server.url, "--token-from", "env:ENROL", env=secrets).returncode == 0
        )
        assert agent.json("cases", "sync", code=2)["error"]["remedy"]  # nothing is published yet
        content("init", "--online-key", key, "--passphrase-from", "env:PASS")
        case = manager.folder / "office.yaml"
        case.write_text(CASE.format(version=1))
        content("publish", str(case), "--passphrase-from", "env:PASS")
        case.write_text(CASE.format(version=1).replace("count: 1", "count: 2"))
        changed = manager.run("content", "publish", str(case), "--passphrase-from", "env:PASS", env=secrets)
        assert changed.returncode == 2 and "never changes" in changed.stderr
        case.write_text(CASE.format(version=2).replace("probe: ping", "probe: pong"))
        broken = manager.run("content", "publish", str(case), "--passphrase-from", "env:PASS", env=secrets)
        assert broken.returncode == 2 and "office.yaml:7:" in broken.stderr
        assert "cases v2" in content("push", server.url, "--token-from", "env:TOKEN")
        assert agent.json("agent", "status")["status"] == "active"  # which asks for the root
        synced = agent.json("cases", "sync")
        assert synced["added"] == ["office v1"] and synced["stale_since"] is None
        assert agent.run("run", "office").returncode == 0
        found: dict[str, object] = json.loads(agent.run("report", "show", "--json").stdout)["case"]
        return found

    case = await asyncio.to_thread(work)
    assert (case["id"], case["version"], case["layer"], case["stale_since"]) == ("office", 1, "synced", None)
    async with aiohttp.ClientSession() as session:
        await _is_a_static_host(session, f"{server.url}/content")
    async with administrator(server) as admin:
        page = (await admin.get("/api/v1/audit?limit=50"))[1]
        assert any(entry["object"] == "signed content" for entry in page["items"])
        status, problem = await admin.send("POST", "/api/v1/content", {"metadata": {"9.cases.json": "{}"}})
        assert (status, problem["code"]) == (422, "content-refused")
    status_page = await asyncio.to_thread(agent.json, "cases", "status")
    office = next(row for row in status_page["cases"] if row["name"] == "office")
    assert office["layer"] == "synced" and status_page["content"]["versions"]["cases"] == 2
    left = await asyncio.to_thread(agent.run, "agent", "leave", "--yes")
    assert left.returncode == 0 and not content_folder(agent.folder / "data").exists()


async def _is_a_static_host(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(f"{url}/metadata/timestamp.json") as first:
        assert first.status == 200 and first.headers["Cache-Control"] == "no-cache"
        etag = first.headers["ETag"]
    again = {"If-None-Match": etag}
    async with session.get(f"{url}/metadata/timestamp.json", headers=again) as second:
        assert second.status == 304 and not await second.read()
    for path in (
        "metadata/.lock",
        "metadata/9.root.json",
        "targets/../../content.key",
        "targets/cases/x",
        "../x",
    ):
        async with session.get(f"{url}/{path}", allow_redirects=False) as none:
            assert none.status == 404, path


def test_any_static_host_will_do(field: Field, nginx: Nginx, tmp_path: Path) -> None:
    """nginx serves the folder as it is; what has not changed is not sent again."""
    place = nginx.root / f"content-{time.monotonic_ns()}"
    shutil.copytree(field.repository.public, place)
    agent = CommandLine(tmp_path)
    (tmp_path / "data").mkdir(exist_ok=True)
    shutil.rmtree(tmp_path / "data")
    root = field.metadata("1.root.json")
    url = f"{nginx.url}/{place.name}"
    assert agent.json("cases", "sync", "--from", url, "--root", str(root))["added"] == ["office v1"]
    again = agent.json("cases", "sync")
    assert again["changed"] is False and again["bytes_received"] == 0
    field.publish(2)
    shutil.copytree(field.repository.public, place, dirs_exist_ok=True)
    assert agent.json("cases", "sync")["added"] == ["office v2"]
    shutil.rmtree(place)
    failed = agent.json("cases", "sync", code=1)
    assert failed["error"]["message"].startswith("missing: ")
    assert agent.run("run", "office").returncode == 0
    shown = agent.run("cases", "status").stdout
    assert "missing" in shown or "last attempt" in shown


def test_a_server_list_is_adopted_once_one_of_its_servers_answers(field: Field, tmp_path: Path) -> None:
    silent = f"http://127.0.0.1:{free_port()}/"
    with host(tmp_path) as answering:
        field.repository.publish_servers(_list(away=silent))
        synced = field.sync()
        assert "none of its servers answers" in synced.troubles[0] and synced.held.servers is None
        field.repository.publish_servers(_list(away=silent, here=answering.url))
        assert not field.sync().troubles
        assert "here" in servers_file(field.data).read_text()
        field.repository.publish_servers(_list(elsewhere=silent))
        assert field.sync().troubles and "here" in servers_file(field.data).read_text()
    agent = CommandLine(tmp_path)
    known = agent.json("servers", "list")["servers"]
    assert [(one["name"], one["origin"]) for one in known] == [("away", "synced"), ("here", "synced")]
    assert agent.json("servers", "update")["troubles"]


def _list(**servers: str) -> bytes:
    entries = [{"name": name, "url": url} for name, url in servers.items()]
    return json.dumps({"ots-servers": 1, "servers": entries}).encode()


def test_licence_issuers_and_revocations_come_with_the_content(field: Field) -> None:
    issuer, now = Issuer(), time.time()
    here = Licences(field.data, _agent(field.data))
    licence = issuer.licence(issue.for_agents([_agent(field.data)]), now=now)
    field.repository.publish_licences([issuer.public], [])
    field.sync()
    assert here.install(issuer.text(licence), now).honoured
    revoked = revocation_list([Revoked(licence_id=licence.licence_id)], 1, now)
    field.repository.publish_licences([issuer.public], [sign_revocations(revoked, issuer.key)])
    assert not field.sync().troubles
    assert next(iter(here.standings(now).all.values())).state == "revoked"
    stranger = sign_revocations(revocation_list([], 9, now), Issuer().key)
    field.repository.publish_licences([issuer.public], [stranger])
    assert "no issuer that is trusted" in field.sync().troubles[0]
    field.repository.publish_licences([], [])
    field.sync()
    assert next(iter(here.standings(now).all.values())).state == "unknown-key"


async def test_the_agents_duty_fetches_by_itself_and_when_it_is_asked(field: Field) -> None:
    duty = ContentDuty(field.data, pause=lambda: 3600.0)
    running = asyncio.create_task(duty.run())
    await until(lambda: field.versions() == [1])
    await asyncio.to_thread(field.publish, 2)
    duty.soon()
    await until(lambda: field.versions() == [1, 2])
    running.cancel()
    await asyncio.wait({running})
    answer = await fetch_content(field.data)
    assert answer is not None
    assert (answer["failed"], answer["changed"], answer["versions"]["cases"]) == (None, False, 3)
    field.host.answers["timestamp.json"] = lambda handler: field.host.reply(handler, b"", 503)
    answer = await fetch_content(field.data)
    assert answer is not None and answer["failed"] == "refused"
    forget(field.data)
    assert await fetch_content(field.data) is None


def _agent(data: Path) -> str:
    from ots.config.agent import agent_id

    return agent_id(data)


def test_the_commands_say_what_is_wrong(tmp_path: Path) -> None:
    ots = CommandLine(tmp_path)
    for arguments, code, said in (
        (("cases", "sync"), 2, "nobody has said where signed content comes from"),
        (("cases", "sync", "--from", "ftp://x/"), 2, "go together"),
        (("content", "list"), 2, "there is no repository"),
        (("content", "publish"), 2, "nothing to publish"),
        (("content", "init", "--online-key", "short"), 2, "43 characters"),
    ):
        done = ots.run(*arguments)
        assert done.returncode == code and said in done.stderr, (arguments, done.stderr)
    bad = tmp_path / "root.json"
    bad.write_text("{}")
    done = ots.run("cases", "sync", "--from", "http://127.0.0.1:1/", "--root", str(bad))
    assert done.returncode == 2 and "no root of signed content" in done.stderr
    assert msgspec.json.decode(ots.run("cases", "status", "--json").stdout)["source"] is None
    assert ots.run("content", "init").returncode == 0
    case = tmp_path / "nameless.yaml"
    case.write_text(CASE.format(version=1).replace("version: 1\n", ""))
    done = ots.run("content", "publish", str(case))
    assert done.returncode == 2 and "has no version" in done.stderr
    assert ots.run("content", "withdraw", "office", "1").returncode == 2
    case.write_text(CASE.format(version=1))
    assert ots.run("content", "publish", str(case)).returncode == 0
    assert ots.run("content", "withdraw", "office", "1").returncode == 0
    assert "withdrawn" in ots.run("content", "list").stdout
    assert ots.run("content", "keys", "rotate", "cases").returncode == 0
    assert ots.run("content", "renew").returncode == 0
    assert ots.run("content", "renew", "cases", "root").returncode == 0
    keys = ots.json("content", "keys", "list")["keys"]
    assert {row["role"] for row in keys if row["here"]} == {
        "root",
        "targets",
        "snapshot",
        "timestamp",
        "cases",
        "servers",
        "licences",
    }
