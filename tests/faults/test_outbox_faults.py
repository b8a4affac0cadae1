"""The outbox under kill -9, a full disk and damaged files: every report arrives once, or is told as a gap."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ots.remote import wire
from ots.remote.enrolled import FILE as MEMBERSHIP
from ots.remote.membership import MembershipError, read_membership
from ots.store import Store, StoreError
from ots.store.database import FILE, condemn
from ots.store.outbox import Outbox
from ots.store.queue_note import FILE as NOTE
from tests.agent_kit import Agent, uploads
from tests.command_line import CommandLine
from tests.peers.require import not_applicable
from tests.store_kit import make_step
from tests.upload_child import Children
from tests.upload_server import UploadServer, refuse, upload_server

KILLS = int(os.environ.get("OTS_UPLOAD_KILLS", "40"))
"""The issue's 200 kills: OTS_UPLOAD_KILLS=200."""

SEED = 20260301


@pytest.fixture
def server() -> Iterator[UploadServer]:
    with upload_server() as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path, server: UploadServer) -> Agent:
    made = Agent(tmp_path / "agent")
    made.enrol(server)
    return made


@pytest.fixture
def children(agent: Agent) -> Iterator[Children]:
    made = Children(agent.folder)
    try:
        yield made
    finally:
        made.close()


def all_arrived(agent: Agent, server: UploadServer) -> int:
    """Sends what is left, and checks that each report is on the server once, as it is stored here."""
    with Store.open(agent.folder) as store:
        outcome = agent.send(store)
        assert (outcome.stopped, outcome.parked) == (None, {})
        assert {state for state, _reason in uploads(store).values()} == {"sent"}
        stored = {(entry.report_id, entry.revision): store.document(entry) for entry in store.list()}
    assert server.reports == stored
    assert sorted(server.sequence()) == list(range(1, len(stored) + 1))
    return len(stored)


def test_killed_at_every_step(agent: Agent, server: UploadServer, children: Children) -> None:
    """Before and after each effect on disk or network: nothing is lost, nothing comes twice."""
    step = 0
    while children.run(f"step {step}"):
        step += 1
    assert step >= 14
    assert all_arrived(agent, server) >= step


def test_killed_at_any_moment(agent: Agent, server: UploadServer, children: Children) -> None:
    """Kills spread over the time that a run and its upload take."""
    chance = random.Random(SEED)
    assert not children.run("step 100000"), "the first one waits for all the imports"
    began = time.monotonic()
    assert not children.run("step 100000")
    whole = time.monotonic() - began
    killed = sum(children.run(f"after {chance.random() * whole:.4f}") for _ in range(KILLS))
    assert killed > KILLS / 3
    assert all_arrived(agent, server) > KILLS / 3


def test_two_senders_at_once(agent: Agent, server: UploadServer) -> None:
    """Two processes with one data folder: one sends, the other leaves it to that one; all comes once."""
    with Store.open(agent.folder) as store:
        for _ in range(20):
            agent.measure(store)
    pair = [Children(agent.folder) for _ in range(2)]
    for child in pair:
        child.begin("step 100000")
    for child in pair:
        assert not child.end()
        child.close()
    all_arrived(agent, server)
    assert len([asked for asked in server.asked if "/reports/" in asked]) == 22


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 800 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        not_applicable("mounting a small disk needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_stops_the_sending_and_heals(small_disk: Path, server: UploadServer) -> None:
    """Without room nothing is taken for sent; with room again everything goes."""
    agent = Agent(small_disk)
    agent.enrol(server)
    with Store.open(small_disk) as store:
        for _ in range(3):
            agent.measure(store, steps=[make_step(0, log=20_000)])
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(b"\0" * 4096)
        outcome = agent.send(store)
        assert outcome.stopped == "store" and outcome.sent == []
        with pytest.raises(StoreError):
            agent.measure(store, steps=[make_step(0, log=20_000)])
        ballast.unlink()
        assert len(agent.send(store).sent) == 3
    assert len(server.reports) == 3


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "garbage": lambda data: random.Random(SEED).randbytes(len(data)),
    "half": lambda data: data[: len(data) // 2],
    "header": lambda data: b"\0" * 100 + data[100:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_outbox_heals_and_tells(agent: Agent, server: UploadServer, damage: str) -> None:
    """Whatever is left is sent, the rest is a gap with its numbers, and no number is given out twice."""
    with Store.open(agent.folder) as store:
        agent.measure(store)
        agent.send(store)
        for _ in range(5):
            agent.measure(store, steps=[make_step(0, log=8000)])
        store.compact()
    path = agent.folder / FILE
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    for suffix in ("-wal", "-shm"):
        path.with_name(FILE + suffix).unlink(missing_ok=True)
    for _ in range(3):  # damage that shows later is replaced by the next start
        with Store.open(agent.folder) as store:
            agent.send(store)
            if not Outbox(store).waiting(agent.settings().agent_id):
                break
    with Store.open(agent.folder) as store:
        agent.measure(store)
        agent.send(store)
        assert not Outbox(store).gaps(agent.settings().agent_id)
    arrived = set(server.sequence())
    told = {number for gap in server.gaps.values() for number in range(gap.first_seq, gap.last_seq + 1)}
    assert all(gap.reason == "damaged" for gap in server.gaps.values())
    assert arrived | told >= set(range(1, 8)) and 7 in arrived
    assert not told & arrived


def test_damaged_report_is_a_gap_and_the_others_go(agent: Agent, server: UploadServer) -> None:
    """One report whose bytes have changed on the disk is never sent as if it were whole."""
    with Store.open(agent.folder) as store:
        for _ in range(3):
            agent.measure(store)
        with store.writing() as database:
            database.execute("UPDATE document SET body = x'00' WHERE id = 2")
        agent.send(store)
        assert uploads(store)[2] == ("none", "dropped:damaged")
    assert sorted(server.sequence()) == [1, 3]
    (gap,) = server.gaps.values()
    assert (gap.first_seq, gap.last_seq, gap.reason) == (2, 2, "damaged")


def test_note_that_is_damaged_is_ignored(agent: Agent, server: UploadServer) -> None:
    """The note beside the store is a second copy: without it everything goes on."""
    with Store.open(agent.folder) as store:
        agent.measure(store)
    (agent.folder / NOTE).write_bytes(b"\xff{[")
    path = agent.folder / FILE
    path.write_bytes(b"")
    with Store.open(agent.folder) as store:
        agent.measure(store)
        assert len(agent.send(store).sent) == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}", b'{"format": 1', b"[" * 100_000])
def test_damaged_membership_is_told(agent: Agent, server: UploadServer, content: bytes) -> None:
    """It is an error with a remedy, never a traceback, and nothing leaves the queue."""
    (agent.folder / MEMBERSHIP).write_bytes(content)
    with pytest.raises(MembershipError, match=r"is damaged") as refused:
        read_membership(agent.folder)
    assert "ots agent enroll" in refused.value.remedy
    with Store.open(agent.folder) as store:
        agent.measure(store)
        assert agent.send(store).stopped == "misconfigured"
        assert uploads(store)[1][0] == "waiting"


def test_damaged_membership_fails_no_run(tmp_path: Path, server: UploadServer) -> None:
    """The run goes on, its report waits; enrolled again it is sent."""
    ots = CommandLine(tmp_path)
    agent = Agent(tmp_path / "data")
    agent.enrol(server)
    (agent.folder / MEMBERSHIP).write_bytes(b"")
    port = server.url.rpartition(":")[2]
    done = ots.run("tcp-connect", f"127.0.0.1:{port}", "--count", "1")
    assert done.returncode == 0, done.stderr
    assert ots.reports()[0]["upload"] == "waiting"
    agent.enrol(server)
    assert ots.json("report", "upload")["sent"] == [1]


def test_caps(agent: Agent, server: UploadServer) -> None:
    """Beyond the cap a schedule's reports go first, then a person's, of each the oldest; all are told."""
    with Store.open(agent.folder) as store:
        for day in range(1, 6):
            agent.measure(
                store, f"2026-03-0{day}T08:00:00.000000Z", queue="by-hand" if day % 2 else "schedule"
            )
        size = store.get("1").stored_bytes
        server.faults = [refuse(503, "overloaded")]
        agent.send(store, by_hand=False, max_size=f"{2 * size + 20} B")
        states = {seq: state for seq, (state, _reason) in uploads(store).items()}
        assert states == {1: "none", 2: "none", 3: "waiting", 4: "none", 5: "waiting"}
        assert uploads(store)[2][1] == "dropped:size"
        assert len(store.document(store.get("2"))) > 0, "a report that is not sent stays here"
        agent.send(store)
    spans = sorted((gap.first_seq, gap.last_seq, gap.reason) for gap in server.gaps.values())
    assert spans == [(1, 2, "size"), (4, 4, "size")]
    assert sorted(server.sequence()) == [3, 5]


def test_age(agent: Agent) -> None:
    """What has waited too long is dropped, and only that; when it was measured is no matter."""
    day = 86_400.0
    with Store.open(agent.folder) as store:
        for _ in range(2):
            agent.measure(store, "2026-03-01T08:00:00.000000Z")
        outbox, me = Outbox(store), agent.settings().agent_id
        assert outbox.trim(me, max_bytes=None, max_age=10 * day, now=time.time() + 9 * day) == 0
        with store.writing() as database:
            database.execute("UPDATE outbox SET queued = '2026-03-01T08:00:00.000000Z' WHERE id = 1")
        assert outbox.trim(me, max_bytes=None, max_age=10 * day, now=time.time()) == 1
        assert uploads(store) == {1: ("none", "dropped:age"), 2: ("waiting", None)}
        assert [(gap.first_seq, gap.reason) for gap in outbox.gaps(me)] == [(1, "age")]


def test_deleting_what_was_never_sent_is_told(agent: Agent, server: UploadServer) -> None:
    """By a person or by the store's own caps: the server learns which numbers will not come, once."""
    with Store.open(agent.folder) as store:
        for _ in range(4):
            agent.measure(store)
        size = store.get("1").stored_bytes
        store.delete(store.get("2"))
        assert store.prune(max_bytes=2.5 * size, max_age=None, now=0.0) == 1
        agent.send(store)
        agent.send(store)
        store.delete(store.get("4"))
        agent.send(store)
    found = {gap.first_seq: gap.reason for gap in server.gaps.values()}
    assert found == {1: "size", 2: "deleted"}
    assert len([asked for asked in server.asked if "/gaps/" in asked]) == 2
    assert all(isinstance(gap, wire.Gap) for gap in server.gaps.values())


def test_store_that_fails_for_a_moment_drops_nothing(agent: Agent, server: UploadServer) -> None:
    """Locked by another process, not damaged: the report stays on the queue."""
    with Store.open(agent.folder) as store:
        agent.measure(store)
        with closing(sqlite3.connect(agent.folder / FILE)) as other:
            store.select("PRAGMA busy_timeout = 10")
            other.execute("BEGIN EXCLUSIVE")
            assert agent.send(store).stopped == "store"
        assert uploads(store)[1] == ("waiting", None)
        assert len(agent.send(store).sent) == 1


def test_report_that_was_changed_is_not_saved(agent: Agent, server: UploadServer) -> None:
    """A damaged store is replaced by what is whole: a document with other bytes is told as a gap instead."""
    with Store.open(agent.folder) as store:
        for _ in range(3):
            agent.measure(store)
        with store.writing() as database:
            database.execute("UPDATE document SET body = ? WHERE id = 2", (zlib.compress(b"{}"),))
    condemn(agent.folder / FILE)
    with Store.open(agent.folder) as store:
        assert sorted(uploads(store)) == [1, 3]
        agent.send(store)
    assert sorted(server.sequence()) == [1, 3]
    assert [(gap.first_seq, gap.reason) for gap in server.gaps.values()] == [(2, "damaged")]
