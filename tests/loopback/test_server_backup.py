"""The restore drill: a backup made under load has every report that was acknowledged before it began."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ots.model.report import Report
from ots.remote.membership import read_membership, write_membership
from ots.server.database.database import open_database
from ots.server.first_start import UNFINISHED, default_database
from ots.server.identity.audit import first_break
from ots.store import Store
from tests.agent_kit import Agent, uploads
from tests.cloud_kit import ROOT, HandAgent, cloud_server
from tests.command_line import CommandLine
from tests.peers.postgres import Postgres
from tests.server_data import bodies, everything
from tests.server_database import address, chosen, environment, named

pytestmark = pytest.mark.slow

Place = tuple[Path, str | None]


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def on_server(ots: CommandLine, folder: Path, *words: str) -> None:
    """A command on the machine of the server with this folder, which ends well."""
    ots.json("server", *words, "--data", str(folder), env=environment(folder))


@contextlib.contextmanager
def place(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[Place]:
    """An empty place for a server: a folder, and for PostgreSQL an empty database."""
    if kind == "sqlite":
        yield folder, None
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.database() as url:
        yield folder, url


async def _ots(where: Place, *words: str) -> Any:
    """A command on a server's own machine, while everything else goes on; what it says as JSON."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "cli.py",
        "server",
        *words,
        *("--data", str(where[0]), "--json"),
        cwd=ROOT,
        env={**os.environ, **named(where[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    return json.loads(out)


@contextlib.asynccontextmanager
async def _uploading(
    agent: HandAgent, session: aiohttp.ClientSession, acknowledged: dict[str, tuple[Report, str]]
) -> AsyncIterator[None]:
    """Uploads as fast as it goes, four at a time; notes each report with its receipt when that is here."""
    numbers = iter(range(1, 1_000_000))

    async def one_after_another() -> None:
        for number in numbers:
            report = agent.report(seq=number)
            status, stored = await agent.upload(session, report)
            assert status == 201, stored
            acknowledged[report.report_id] = (report, stored["receipt"])

    tasks = [asyncio.create_task(one_after_another()) for _ in range(4)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes


@pytest.mark.parametrize(
    ("kind", "into"), [("sqlite", "sqlite"), ("postgresql", "postgresql"), ("sqlite", "postgresql")]
)
async def test_a_backup_under_load_has_all_that_was_acknowledged(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, into: str
) -> None:
    archive = tmp_path / "server.tar"
    acknowledged: dict[str, tuple[Report, str]] = {}
    often = ["--rates", "1000", *(["--processes", "2"] if kind == "postgresql" else [])]
    async with aiohttp.ClientSession() as session:
        with (
            place(request, kind, tmp_path / "first") as first,
            cloud_server(*first, options=often) as cloud,
        ):
            agent = HandAgent(cloud.url)
            enrolled = (await agent.enrol(session, cloud.open_token()))[1]
            async with _uploading(agent, session, acknowledged):
                while len(acknowledged) < 30:  # noqa: ASYNC110 - others fill it
                    await asyncio.sleep(0.01)
                before = set(acknowledged)
                made = await _ots(first, "backup", str(archive))
            assert made["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        assert len(before) <= made["reports"] <= len(acknowledged) + 4
        with place(request, into, tmp_path / "second") as second:
            restored = await _ots(second, "restore", str(archive))
            assert restored["reports"] == made["reports"]
            with cloud_server(*second, options=["--rates", "1000"]) as again:
                assert again.first is None
                agent.url = again.url
                for name in before:
                    report, receipt = acknowledged[name]
                    status, stored = await agent.upload(session, report)
                    assert (status, stored["receipt"]) == (200, receipt)
                assert (await agent.upload(session, agent.report(seq=2_000_000)))[0] == 201
                status, state = await agent.send(session, "GET", "/api/v1/agent")
                assert (state["server_id"], state["keys"]) == (enrolled["server_id"], enrolled["keys"])
            await _trail_is_whole(second)


def test_agents_send_again_what_a_restored_server_lacks(ots: CommandLine, tmp_path: Path) -> None:
    """Everything since the backup comes back by itself, once, as it was; what the backup has does not."""
    agent = Agent(tmp_path / "agent")
    with Store.open(agent.folder) as store:
        with cloud_server(tmp_path / "first") as cloud:
            agent.enrol(cloud, cloud.token())
            sent = [agent.measure(store) for _ in range(2)]
            assert len(agent.send(store).sent) == 2
            on_server(ots, tmp_path / "first", "backup", str(tmp_path / "b.tar"))
            sent += [agent.measure(store) for _ in range(3)]
            assert len(agent.send(store).sent) == 3
            port = cloud.port
        on_server(ots, tmp_path / "second", "restore", str(tmp_path / "b.tar"))
        with cloud_server(tmp_path / "second", port=port):
            _let_it_ask(agent)
            outcome = agent.send(store)
            assert (len(outcome.sent), outcome.stopped, outcome.parked) == (3, None, {})
            _let_it_ask(agent)
            assert agent.send(store).sent == []
        assert {state for state, _ in uploads(store).values()} == {"sent"}
    assert sorted(bodies(address(tmp_path / "second")).values()) == sorted(sent)


def _let_it_ask(agent: Agent) -> None:
    """An agent asks where it stands every six hours; these have passed."""
    member = read_membership(agent.folder)
    assert member is not None
    member.refreshed_at = None
    write_membership(agent.folder, member)


async def _trail_is_whole(where: Place) -> None:
    database = open_database(where[1] or default_database(where[0]))
    async with database.reading() as connection:
        assert await first_break(connection) is None
    await database.close()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a server that was never asked for anything."""
    folder = tmp_path_factory.mktemp("backup")
    with cloud_server(folder / "server"):
        on_server(CommandLine(folder), folder / "server", "backup", str(folder))
    (made,) = folder.glob("ots-server-*.tar")
    return made


def _members(archive: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        found = [(member, tar.extractfile(member)) for member in tar.getmembers()]
        return [(member.name, content.read()) for member, content in found if content is not None]


def _packed(members: list[tuple[str, bytes]]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return data.getvalue()


def _changed(archive: Path) -> bytes:
    return _packed([(name, text.replace(b"PRIVATE", b"PRIVATF")) for name, text in _members(archive)])


def _renamed(archive: Path) -> bytes:
    return _packed(
        [
            (name.replace("folder/", "../"), text.replace(b"folder/", b"../"))
            for name, text in _members(archive)
        ]
    )


DAMAGE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "cut": (lambda archive: archive.read_bytes()[: archive.stat().st_size // 2], "no whole archive"),
    "short": (lambda archive: _packed(_members(archive)[:-1]), "it was cut off"),
    "changed": (_changed, "is not what its manifest says"),
    "more": (lambda archive: _packed([*_members(archive), ("folder/x", b"x")]), "'folder/x'"),
    "outside": (_renamed, "names '../"),
    "other": (lambda _archive: _packed([("x", b"x")]), "is no backup of an OTS server"),
    "text": (lambda _archive: b"this is no archive" * 100, "no whole archive"),
    "newer": (
        lambda archive: _packed(
            [(name, text.replace(b'"format": 1', b'"format": 9')) for name, text in _members(archive)]
        ),
        "has format 9",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_archive_that_is_not_as_it_was_restores_nothing(
    archive: Path, ots: CommandLine, tmp_path: Path, damage: str
) -> None:
    change, said = DAMAGE[damage]
    bad = tmp_path / "bad.tar"
    bad.write_bytes(change(archive))
    new = tmp_path / "new"
    done = ots.run("server", "restore", str(bad), "--data", str(new), env=environment(new))
    assert done.returncode not in (0, 1) and said in done.stderr, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar"]
    if url := chosen.database(new):
        assert everything(url) == {}


def test_neither_a_full_folder_nor_a_full_database_is_written_to(
    archive: Path, ots: CommandLine, tmp_path: Path, postgres: Postgres
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    done = ots.run("server", "restore", str(archive), "--data", str(folder), env=environment(folder))
    assert done.returncode == 2 and "is not empty" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["mine"]
    with postgres.database() as url:
        name = url.rpartition("/")[2]
        postgres.sql("CREATE TABLE mine (id int)", name)
        done = ots.run("server", "restore", str(archive), "--data", str(tmp_path / "new"), env=named(url))
        assert done.returncode == 2 and "the database is not empty" in done.stderr
        assert postgres.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == ["mine"]
    assert not (tmp_path / "new").exists()


def test_a_backup_never_replaces_a_file(archive: Path, ots: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    on_server(ots, folder, "restore", str(archive))
    mine = tmp_path / "mine"
    mine.write_text("mine")
    done = ots.run("server", "backup", str(mine), "--data", str(folder), env=environment(folder))
    assert done.returncode == 2 and "is there already" in done.stderr and mine.read_text() == "mine"
    away = str(tmp_path / "no" / "x.tar")
    done = ots.run("server", "backup", away, "--data", str(folder), env=environment(folder))
    assert done.returncode not in (0, 1) and "No such file" in done.stderr


def test_no_server_starts_from_half_a_restore(archive: Path, ots: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    on_server(ots, folder, "restore", str(archive))
    (folder / UNFINISHED).mkdir()
    for words in (("run", "--listen", "127.0.0.1:0"), ("user", "list"), ("backup", str(tmp_path / "b.tar"))):
        done = ots.run("server", *words, "--data", str(folder), env=environment(folder))
        assert done.returncode not in (0, 1) and "was not finished" in done.stderr
