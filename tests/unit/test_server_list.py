"""Lists of speed test servers: what is read, what is refused, and that a bad one changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ots.netio.speed.server import Server
from ots.netio.speed.server_list import MAX_BYTES, BadList, parse, shipped
from ots.session import speed_servers
from ots.session.machine import listed_servers

OURS = 'ots-servers: 1\nservers: [{name: office, url: "http://192.0.2.1:8080/", protocol: ots}]\n'


def test_the_shipped_list_says_who_runs_each() -> None:
    """And nobody who publishes addresses is chosen without being named."""
    servers = shipped().servers
    assert servers and all(server.operator and server.about for server in servers)
    assert [server.name for server in servers if not server.choose] == ["m-lab"]


def test_librespeeds_list_is_read_as_it_is_published() -> None:
    """Without a scheme it is https; entries with other files than the usual ones are left out and counted."""
    usual = {"name": "A", "server": "//a.example/backend", "dlURL": "garbage.php", "ulURL": "empty.php"}
    below = {"name": "B", "server": "http://b.example/", "dlURL": "x/garbage.php", "ulURL": "x/empty.php"}
    strange = {"name": "C", "server": "//c.example/", "dlURL": "down", "ulURL": "up"}
    found = parse(json.dumps([usual, below, strange]).encode(), "list")
    assert [server.url for server in found.servers] == [
        "https://a.example/backend/",
        "http://b.example/x/",
    ]
    assert found.skipped == 1 and {server.protocol for server in found.servers} == {"librespeed"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        b"\xff\xfe\x00garbage",
        b"[" * 50_000,
        b"x" * (MAX_BYTES + 1),
        b"ots-servers: 2\nservers: []\n",
        b"ots-servers: 1\nextra: 1\nservers: []\n",
        b"ots-servers: 1\nservers: [{name: a, url: 'file:///etc/passwd'}]\n",
        b"ots-servers: 1\nservers: [{name: a, url: 'http://u:p@x/'}]\n",
        b"ots-servers: 1\nservers: [{name: auto, url: 'http://x/'}]\n",
        b'ots-servers: 1\nservers: [{name: "a\\u001b[2J", url: "http://x/"}]\n',
        b"ots-servers: 1\nservers: [{name: a, url: 'http://x/'}, {name: a, url: 'http://y/'}]\n",
        b'[{"server": 5}]',
        b"[]",
    ],
)
def test_what_is_no_list_is_refused_and_the_last_good_one_stays(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage, bombs, other formats, passwords, escapes, files: one error, nothing changed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    speed_servers.keep(OURS.encode(), "good")
    before = speed_servers.fetched_file().read_bytes()
    with pytest.raises(BadList):
        speed_servers.keep(content, "bad")
    assert speed_servers.fetched_file().read_bytes() == before


def test_own_servers_come_first_and_are_used_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a server of their own never asks a public one, unless it is named."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert len(speed_servers.Servers().named("auto")) > 5
    speed_servers.add(Server(name="office", url="http://192.0.2.1/"))
    speed_servers.add(Server(name="lab", url="http://192.0.2.2/"))
    assert [server.name for server in speed_servers.Servers().named("auto")] == ["office", "lab"]
    speed_servers.use("lab")
    assert [server.name for server in speed_servers.Servers().named("auto")] == ["lab"]
    assert speed_servers.remove("lab") and not speed_servers.remove("lab")
    assert speed_servers.Servers().use == "auto"
    assert speed_servers.Servers().named("m-lab")[0].protocol == "ndt7"


def test_a_list_that_nobody_signed_lets_nobody_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One's own entries do, and what one fetched is still there to be chosen by hand."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert len(listed_servers()) > 5, "those that come with the program"
    speed_servers.keep(
        b"ots-servers: 1\nservers: [{name: away, url: 'http://192.0.2.9:8080/'}]\n", "somewhere"
    )
    assert [server.name for server in speed_servers.Servers().named("away")] == ["away"]
    assert listed_servers() == frozenset()
    speed_servers.add(Server(name="office", url="http://192.0.2.1/"))
    assert listed_servers() == {("192.0.2.1", 80)}
