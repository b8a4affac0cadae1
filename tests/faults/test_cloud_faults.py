"""What befalls the cloud server itself: killed, without its database, ended in the midst of uploads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from ots.model.report import Report
from ots.store.document import encode
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator, cloud_server
from tests.peers.cloud import KINDS
from tests.peers.dovecot import open_folder
from tests.peers.postgres import Postgres, postgres_server
from tests.peers.process import running
from tests.peers.require import cannot
from tests.server_database import Kind, processes

pytestmark = pytest.mark.slow
_OFTEN = ["--rates", "1000"]


@dataclass
class Load:
    """Uploads from several tasks until they are told to stop: what was acknowledged, what was answered."""

    agent: HandAgent
    sent: list[Report] = field(default_factory=list)
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    problems: set[str] = field(default_factory=set)
    stopping: bool = False

    async def send(self, session: aiohttp.ClientSession) -> None:
        while not self.stopping:
            report = self.agent.report(seq=len(self.sent) + 1)
            self.sent.append(report)
            try:
                status, answer = await self.agent.upload(session, report)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.01)
                continue
            if status in (200, 201):
                self.acknowledged[report.report_id] = encode(report)
            else:
                self.problems.add(answer["code"])

    async def tries(self, more: int) -> None:
        """Waits until so many more have been sent, whatever came of them."""
        goal, deadline = len(self.sent) + more, time.monotonic() + 60
        while len(self.sent) < goal:
            assert time.monotonic() < deadline, self.problems
            await asyncio.sleep(0.02)

    async def until(self, more: int) -> None:
        """Waits until so many more have been acknowledged."""
        goal, deadline = len(self.acknowledged) + more, time.monotonic() + 20
        while len(self.acknowledged) < goal:
            assert time.monotonic() < deadline, (len(self.acknowledged), self.problems)
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def uploading(agent: HandAgent, tasks: int = 4) -> AsyncIterator[Load]:
    load = Load(agent)
    limit = aiohttp.ClientTimeout(10)
    async with aiohttp.ClientSession(timeout=limit) as session, asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(load.send(session))
        try:
            yield load
        finally:
            load.stopping = True


async def enrolled(cloud: CloudServer) -> HandAgent:
    agent = HandAgent(cloud.url)
    async with aiohttp.ClientSession() as session:
        assert (await agent.enrol(session, cloud.open_token()))[0] == 201
    return agent


async def everything_is_there(load: Load, cloud: CloudServer) -> None:
    """Every acknowledged report is listed once, and comes back byte for byte."""
    async with administrator(cloud) as admin:
        listed = await _listed(admin)
        names = [name for name, _ in listed]
        assert len(names) == len(set(names))
        assert set(load.acknowledged) <= set(names) <= {report.report_id for report in load.sent}
        for name, number in listed:
            async with admin.session.get(f"{cloud.url}/api/v1/reports/{number}/revisions/1") as answer:
                body = await answer.read()
                assert answer.status == 200 and body == load.acknowledged.get(name, body)


async def _listed(admin: Visitor) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    cursor = ""
    while True:
        status, page = await admin.get(f"/api/v1/reports?limit=100{cursor}")
        assert status == 200, page
        found += [(item["report_id"], item["number"]) for item in page["items"]]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def ready(cloud: CloudServer, expected: int, within: float = 20.0) -> None:
    """Waits until /readyz answers so."""
    deadline = time.monotonic() + within
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{cloud.url}/readyz") as answer:
                    if answer.status == expected:
                        return
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


def workers(cloud: CloudServer) -> list[int]:
    """The ids of the server's working processes."""
    pid = cloud.process.pid
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that a test may stop."""
    with open_folder("own-pg") as folder, postgres_server(folder) as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
async def test_a_killed_worker_costs_nothing_acknowledged(
    kind: Kind, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Another one takes its place at once, again and again."""
    with contextlib.ExitStack() as stack:
        database, options = None, [*_OFTEN, *processes(kind)]
        if kind != "sqlite":
            database = stack.enter_context(request.getfixturevalue("postgres").database())
        cloud = stack.enter_context(cloud_server(tmp_path, database, options=options))
        async with uploading(await enrolled(cloud)) as load:
            for _ in range(3):
                await load.until(40)
                os.kill(workers(cloud)[0], signal.SIGKILL)
            await load.until(40)
        assert load.problems <= {"closing"}
        await everything_is_there(load, cloud)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_that_ends_in_the_midst_keeps_what_it_acknowledged(
    end: signal.Signals, tmp_path: Path
) -> None:
    """Killed or told to end: what was acknowledged is there, once, when it has been started again."""
    with cloud_server(tmp_path, options=_OFTEN) as first:
        agent = await enrolled(first)
        async with uploading(agent) as load:
            await load.until(60)
            await asyncio.to_thread(_end, first, end)
            with cloud_server(tmp_path, options=_OFTEN, port=first.port) as second:
                await load.until(30)
                second.first = first.first
                load.stopping = True
                await everything_is_there(load, second)
    assert load.problems <= {"closing"}
    if end is signal.SIGTERM:
        assert first.process.returncode == 0


def _end(cloud: CloudServer, number: signal.Signals) -> None:
    cloud.process.send_signal(number)
    cloud.process.wait(20)


async def test_a_stopped_database_is_told_and_comes_back(tmp_path: Path, own_postgres: Postgres) -> None:
    """503 with a time to come back, /readyz says no, /healthz goes on; all of it ends with the fault."""
    database = own_postgres.url(own_postgres.create())
    with cloud_server(tmp_path, database, options=[*_OFTEN, "--processes", "2"]) as cloud:
        agent = await enrolled(cloud)
        async with uploading(agent, tasks=8) as load:
            await load.until(40)
            _stop(own_postgres)
            await ready(cloud, 503)
            before = _memory(cloud)
            await load.tries(200)
            assert "database-away" in load.problems and load.problems <= {"database-away"}
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{cloud.url}/healthz") as answer:
                    assert answer.status == 200
                visit = {"Cookie": "ots-session=x"}
                async with session.get(f"{cloud.url}/api/v1/reports/1", headers=visit) as answer:
                    assert (answer.status, (await answer.json())["code"]) == (503, "database-away")
                    assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert _memory(cloud) < before + (32 << 20)
            with _started(own_postgres):
                await ready(cloud, 200)
                await load.until(40)
                load.stopping = True
                await everything_is_there(load, cloud)


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A folder with room for so much."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        cannot("a small file system can't be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def database_in(disk: Path, postgres: Postgres) -> Iterator[str]:
    """A database all of whose tables lie in this folder; the log of PostgreSQL lies elsewhere."""
    place = disk / "tables"
    place.mkdir()
    if os.geteuid() == 0:
        shutil.chown(place, "nobody", "nogroup")
    postgres.sql(f"CREATE TABLESPACE small LOCATION '{place}'")
    postgres.sql("CREATE DATABASE small TABLESPACE small")
    try:
        yield postgres.url("small")
    finally:
        postgres.drop("small")
        postgres.sql("DROP TABLESPACE small")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_full_disk_is_told_and_ends_without_a_restart(
    kind: Kind, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """507 for what can't be kept, reading goes on, and once there is room reports are kept again."""
    with contextlib.ExitStack() as stack:
        folder, database = tmp_path / "server", None
        if kind == "sqlite":
            disk = folder = stack.enter_context(small_disk(folder, 6))
        else:
            place = stack.enter_context(open_folder("small"))
            disk = stack.enter_context(small_disk(place / "disk", 32))
            database = stack.enter_context(database_in(disk, request.getfixturevalue("postgres")))
        options = [*_OFTEN, *processes(kind)]
        cloud = stack.enter_context(cloud_server(folder, database, options=options))
        async with administrator(cloud) as admin, uploading(await enrolled(cloud)) as load:
            await load.until(20)
            filler = disk / "filler"
            _fill(filler)
            deadline = time.monotonic() + 20
            while "storage-full" not in load.problems:
                assert time.monotonic() < deadline, load.problems
                await asyncio.sleep(0.02)
            assert (await admin.get("/api/v1/reports?limit=1"))[0] == 200
            await ready(cloud, 200)
            filler.unlink()
            await load.until(20)
            load.stopping = True
        assert load.problems == {"storage-full"}
        await everything_is_there(load, cloud)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def _stop(postgres: Postgres) -> None:
    """Ends it at once, as a crash of its machine would."""
    pid = int((postgres.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGQUIT)
    deadline = time.monotonic() + 20
    while postgres.answers() or (postgres.folder / "data" / "postmaster.pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def _started(postgres: Postgres) -> Iterator[None]:
    """The same data served again, at the same place."""
    settings = (f"port={postgres.port}", f"unix_socket_directories={postgres.folder}")
    nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    drop = nobody if os.geteuid() == 0 else []
    argv = [*drop, str(postgres.programs / "postgres"), "-D", str(postgres.folder / "data")]
    for setting in (*settings, "listen_addresses=127.0.0.1", "max_connections=200", "fsync=off"):
        argv += ["-c", setting]
    with running(argv, port=postgres.port, folder=postgres.folder) as process:
        yield
        process.send_signal(signal.SIGINT)
        process.wait(20)


def _memory(cloud: CloudServer) -> int:
    """Resident bytes of the working processes."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in workers(cloud)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")
