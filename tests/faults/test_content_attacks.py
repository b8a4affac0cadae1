"""Signed content under attack: nothing but what was signed, newest and whole comes into use, and what is in
use stays. A real HTTP server lies, repeats itself, drips, floods and breaks off."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Root, Targets
from tuf.ngclient._internal import trusted_metadata_set

from ots.content import keys
from ots.content.held import Source, content_folder, pin, read_attempt, read_target
from ots.content.layout import DAY
from ots.content.online import Lives, switch
from ots.content.repository import Repository
from ots.remote.content import sync
from tests.content_child import Children
from tests.content_kit import HURRY, Field, field_like, field_of
from tests.peers.require import cannot


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("content")
    with field_of(folder) as made:
        made.sync()
    return folder


@pytest.fixture
def field(template: Path, tmp_path: Path) -> Iterator[Field]:
    """An agent that holds office v1."""
    with field_like(template, tmp_path) as made:
        yield made


class _Clock(datetime.datetime):
    """The clock of this machine as the updater reads it, moved."""

    ahead = 0.0

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return datetime.datetime.fromtimestamp(time.time() + cls.ahead, tz)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[_Clock]:
    monkeypatch.setattr(trusted_metadata_set.datetime, "datetime", _Clock)
    monkeypatch.setattr(_Clock, "ahead", 0.0)
    return _Clock


def test_what_is_new_comes_into_use_and_an_unchanged_repository_costs_almost_nothing(field: Field) -> None:
    field.publish(2)
    synced = field.sync()
    assert [str(case.name) for case in synced.added] == ["office v2"] and field.versions() == [1, 2]
    again = field.sync()
    assert not again.changed and again.bytes_received < 1000
    field.repository.withdraw_case(synced.added[0].name)
    assert [str(case.name) for case in field.sync().gone] == ["office v2"]
    assert field.versions() == [1]


def test_a_repository_that_is_rolled_back_is_refused(field: Field) -> None:
    old = field.saved()
    field.publish(2)
    field.sync()
    field.host.folder = old
    assert "older" in str(field.refused("rolled-back"))
    assert field.versions() == [1, 2]


def test_a_rollback_is_refused_also_where_the_updaters_own_memory_was_lost(field: Field) -> None:
    old = field.saved()
    field.publish(2)
    field.sync()
    shutil.rmtree(content_folder(field.data) / "metadata")
    field.host.folder = old
    field.refused("rolled-back")


def test_a_mirror_that_goes_backwards_is_refused_until_it_has_caught_up(field: Field) -> None:
    """The same root vouches for another host, which lags behind: what is held is newer."""
    behind = field.saved()
    field.publish(2)
    ahead = field.repository.public
    field.sync()
    for folder, fine in ((behind, False), (ahead, True), (behind, False)):
        field.host.folder = folder
        if fine:
            field.sync()
        else:
            field.refused("rolled-back")
    assert field.versions() == [1, 2]


def test_a_thief_of_the_online_key_can_not_bring_old_cases_back(field: Field) -> None:
    """Who holds the key of snapshot and timestamp alone signs a newer snapshot of older cases."""
    field.publish(2)
    field.publish(3)
    field.sync()
    signer = keys.load(field.repository.folder / "keys" / "online.pem", None)
    versions = {"targets": 1, "cases": 2, "servers": 1, "licences": 1}
    switch(field.repository.public, versions, signer, time.time(), Lives())
    field.refused("rolled-back")
    assert field.versions() == [1, 2, 3]


def test_a_frozen_repository_is_stale_and_stays_in_use(field: Field, clock: type[_Clock]) -> None:
    until = field.held().fresh_until
    assert field.held().stale_since(until - 1) is None
    clock.ahead = 31 * DAY
    assert "repeats something old" in str(field.refused("expired"))
    held = field.held()
    assert held.stale_since(until + 5) == until and field.versions() == [1]
    assert not held.too_old_for_heavy(until + 29 * DAY) and held.too_old_for_heavy(until + 30 * DAY)
    attempt = read_attempt(field.data)
    assert attempt is not None and attempt.code == "expired"
    clock.ahead = 0.0
    field.sync()
    attempt = read_attempt(field.data)
    assert attempt is not None and attempt.code is None


def test_one_role_that_expired_holds_everything_back(field: Field, tmp_path: Path) -> None:
    """The timestamp is fresh, but what the cases' role says has ended."""
    past = Repository(field.repository.folder, wall=lambda: time.time() - 181 * DAY)
    past.renew(["cases"])
    field.repository.put_online()
    field.refused("expired")


@pytest.mark.parametrize("ahead", [-3 * 365 * DAY, 10 * 365 * DAY])
def test_a_clock_that_is_far_off_is_named_and_never_fatal(
    field: Field, clock: type[_Clock], ahead: float
) -> None:
    clock.ahead = ahead
    field.host.ahead = -ahead  # by this clock the host's is off by that
    field.publish(2)
    if ahead < 0:
        field.sync()  # everything is good for even longer
        assert field.versions() == [1, 2]
        return
    assert "this machine's clock" in str(field.refused("expired"))
    assert field.versions() == [1]


def test_a_target_that_was_tampered_with_is_refused(field: Field) -> None:
    field.publish(2)
    field.host.lie("office.2.yaml", lambda data: data.replace(b"127.0.0.1", b"127.0.0.9"))
    field.refused("tampered")
    field.host.answers.clear()
    field.sync()
    assert field.versions() == [1, 2]


@pytest.mark.parametrize(("change", "code"), [(b"x", "too-large"), (None, "tampered")])
def test_a_target_of_another_length_is_refused(field: Field, change: bytes | None, code: str) -> None:
    field.publish(2)
    field.host.lie("office.2.yaml", lambda data: data + change if change else data[:-1])
    field.refused(code)


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "cases.json", "targets.json"])
def test_metadata_that_was_tampered_with_is_refused(field: Field, name: str) -> None:
    field.publish(2)
    field.repository.renew(["targets"])

    field.host.lie(name, lambda data: re.sub(rb'("expires": *)"20', rb'\1"21', data))
    field.refused("tampered")
    field.host.lie(name, lambda data: b"[" * len(data))
    field.refused("malformed" if name == "timestamp.json" else "tampered")
    field.host.lie(name, lambda data: b"\xff" * 10)
    field.refused("malformed" if name == "timestamp.json" else "tampered")
    field.host.lie(name, lambda data: b"")
    field.refused("malformed" if name == "timestamp.json" else "tampered")
    field.host.answers.clear()
    field.sync()


def test_old_and_new_metadata_do_not_mix(field: Field) -> None:
    """Each file is signed, but this snapshot does not name this version of the cases."""
    field.publish(2)
    old = field.metadata("2.cases.json").read_bytes()
    field.host.lie("3.cases.json", lambda data: old)
    field.refused("tampered")


def test_an_agent_several_roots_behind_catches_up(field: Field) -> None:
    for role in ("root", "cases", "online", "root", "targets", "root"):
        field.repository.rotate(role)
    field.publish(2)
    field.sync()
    assert field.versions() == [1, 2] and field.held().versions["root"] == 6


def test_a_root_that_the_one_before_it_did_not_sign_is_refused(field: Field, tmp_path: Path) -> None:
    """A stranger's whole repository, from its second root on."""
    stranger = Repository.create(tmp_path / "stranger")
    stranger.rotate("root")
    shutil.copy(stranger.public / "metadata" / "2.root.json", field.metadata("2.root.json"))
    field.refused("tampered")
    field.metadata("2.root.json").unlink()
    field.host.folder = stranger.public
    field.refused("tampered")


def test_a_root_that_skips_a_version_is_refused(field: Field) -> None:
    """Signed by the same key, but the second of the two: what the first said would go unheard."""
    field.repository.renew(["root"])
    field.repository.renew(["root"])
    shutil.copy(field.metadata("3.root.json"), field.metadata("2.root.json"))
    assert "Expected root version 2" in str(field.refused("rolled-back"))


def test_keys_that_were_rotated_away_sign_nothing_any_more(field: Field) -> None:
    thief = field.repository.folder / "keys" / "cases.pem"
    stolen = thief.read_bytes()
    field.repository.rotate("cases")
    field.sync()
    signer = keys.load(_kept(field.repository.folder / "stolen.pem", stolen), None)
    name = f"{field.held().versions['cases'] + 1}.cases.json"
    part = Metadata[Targets].from_file(str(field.metadata(f"{field.held().versions['cases']}.cases.json")))
    part.signed.version += 1
    part.signatures.clear()
    part.sign(signer)
    field.metadata(name).write_bytes(part.to_bytes())
    field.repository.put_online()
    field.refused("tampered")


def test_a_root_that_expired_is_refused(tmp_path: Path) -> None:
    with field_of(tmp_path, wall=lambda: time.time() - 366 * DAY) as field:
        field.repository = Repository(field.repository.folder)
        field.repository.renew(["targets", "cases", "servers", "licences"])
        assert "root" in str(field.refused("expired"))
        assert Metadata[Root].from_file(str(field.metadata("1.root.json"))).signed.is_expired()


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response_only(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    for _ in range(2000):
        handler.wfile.write(b"x" * 65_536)
        _endless_sent[0] += 65_536


_endless_sent = [0]


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "2.root.json", "office.2.yaml"])
def test_an_endless_answer_is_cut_off(field: Field, name: str) -> None:
    """128 MB are on offer; socket buffers apart, no more is taken than was announced."""
    field.publish(2)
    field.host.answers[name] = _endless
    _endless_sent[0] = 0
    start = time.monotonic()
    field.refused("too-large")
    assert time.monotonic() - start < 5
    assert _endless_sent[0] < 32 << 20


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_that_drips_is_given_up(field: Field, part: str) -> None:
    """A byte now and then keeps no agent for longer than a file may take."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        if part == "body":
            handler.send_response_only(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        handler.close_connection = True
        for _ in range(300):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    field.host.answers["timestamp.json"] = drip
    start = time.monotonic()
    field.refused("timeout", HURRY)
    assert 1 < time.monotonic() - start < 4


def test_silence_is_given_up(field: Field) -> None:
    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(1)

    field.host.answers["timestamp.json"] = silent
    start = time.monotonic()
    field.refused("timeout", HURRY)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("end", ["timestamp.json", "3.cases.json", "office.2.yaml"])
def test_what_is_missing_or_refused_is_named(field: Field, end: str) -> None:
    field.publish(2)
    for status, code in ((404, "missing"), (500, "refused"), (403, "refused")):
        field.host.answers[end] = partial(_say_no, field, status)
        assert end in str(field.refused(code))


def _say_no(field: Field, status: int, handler: BaseHTTPRequestHandler) -> None:
    field.host.reply(handler, b"no", status)


def test_a_redirect_and_a_packed_answer_are_not_followed(field: Field) -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(302)
        handler.send_header("Location", "http://127.0.0.1:1/timestamp.json")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def packed(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"xx")

    field.host.answers["timestamp.json"] = elsewhere
    field.refused("refused")
    field.host.answers["timestamp.json"] = packed
    field.refused("unreachable")


def test_a_connection_that_breaks_off_leaves_the_old_and_comes_back(field: Field) -> None:
    field.publish(2)

    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(b"ots: 1\n")
        handler.close_connection = True

    field.host.answers["office.2.yaml"] = broken
    field.refused("unreachable")
    assert field.versions() == [1]
    field.host.answers.clear()
    field.sync()
    assert field.versions() == [1, 2]


def test_a_case_that_is_too_large_is_not_even_fetched(field: Field) -> None:
    from ots.content.layout import CaseName

    field.repository.publish_case(CaseName("huge", 1), b"#" * 1_000_001, title="", heavy=False)
    field.refused("too-large")
    assert not [path for path in field.host.asked if "huge" in path]


def test_a_file_that_was_changed_on_this_machine_is_not_run_and_comes_back(field: Field) -> None:
    case = field.held().cases[0]
    place = content_folder(field.data) / "targets" / case.sha256
    place.write_bytes(place.read_bytes().replace(b"127.0.0.1", b"127.0.0.9"))
    with pytest.raises(Exception, match="was changed on this machine"):
        read_target(field.data, case.sha256)
    field.sync()
    read_target(field.data, case.sha256)


def test_a_kill_at_any_step_leaves_the_old_or_the_new_whole(field: Field) -> None:
    """Before every rename, deletion and flush of a synchronisation; the next one repairs all."""
    outcomes = set()
    pristine = field.data.with_name("pristine")
    shutil.copytree(field.data, pristine, symlinks=True)
    field.publish(2)
    field.repository.rotate("cases")
    with Children() as children:
        for step in range(1, 200):
            shutil.rmtree(field.data)
            shutil.copytree(pristine, field.data, symlinks=True)
            ended = children.sync(field.data, step)
            assert field.versions() in ([1], [1, 2])
            for case in field.held().cases:
                read_target(field.data, case.sha256)
            outcomes.add((ended, *field.versions()))
            if ended == "done":
                break
            if step % 8 == 0:
                field.sync()
                assert field.versions() == [1, 2]
    assert ended == "done" and step > 15, step
    assert outcomes >= {("killed", 1), ("killed", 1, 2), ("done", 1, 2)}


def test_a_full_disk_says_so_and_leaves_the_old(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        cannot("may not mount a small file system")
    try:
        with field_of(tmp_path) as field:
            field.data = place / "data"
            field.data.mkdir()
            field.enrol()
            field.sync()
            field.publish(2)
            free = os.statvfs(place).f_bavail * os.statvfs(place).f_bsize
            (place / "filler").write_bytes(b"x" * free)
            assert "no space" in str(field.refused("disk-full"))
            assert field.versions() == [1]
            (place / "filler").unlink()
            field.sync()
            assert field.versions() == [1, 2]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_folder_that_is_closed_says_so(field: Field) -> None:
    """A file stands where the folder of metadata should be."""
    shutil.rmtree(content_folder(field.data) / "metadata")
    (content_folder(field.data) / "metadata").write_text("in the way")
    field.refused("not-written")


def test_two_at_once_are_one_after_the_other(field: Field) -> None:
    """The second is told so; the first goes on."""
    asked, on = threading.Event(), threading.Event()

    def waiting(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        assert on.wait(10)
        field.host.reply(handler, field.host.file(handler.path) or b"")

    field.publish(2)
    field.host.answers["timestamp.json"] = waiting
    first = threading.Thread(target=field.sync)
    first.start()
    assert asked.wait(10)
    field.refused("busy")
    on.set()
    first.join()
    assert field.versions() == [1, 2]


def test_the_environments_proxy_is_asked_and_gets_its_password(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = field.metadata("1.root.json").read_bytes()
    pin(field.data, root, Source(url="http://content.example/"))
    monkeypatch.setenv("http_proxy", field.host.url.replace("http://", "http://ann:hunter2@"))
    field.publish(2)
    field.sync()
    assert field.versions() == [1, 2]
    assert field.host.credentials == {"Basic YW5uOmh1bnRlcjI="}
    assert all(path.startswith("http://content.example/") for path in field.host.asked)


def test_an_interrupted_synchronisation_leaves_nothing_running(field: Field) -> None:
    field.publish(2)

    asked = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        handler.rfile.read(1)

    field.host.answers["3.cases.json"] = silent

    async def interrupt() -> None:
        task = asyncio.create_task(sync(field.data))
        assert await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    start = time.monotonic()
    asyncio.run(interrupt())
    assert time.monotonic() - start < 5 and field.versions() == [1]


def _kept(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path
