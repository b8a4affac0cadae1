"""`ots servers`: a list is shown, changed, chosen from and fetched, and a bad one changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.peers.nginx import Nginx

OFFICE = "http://192.0.2.1:8080/"
PUBLISHED = [
    {
        "name": "A",
        "server": "//a.example/",
        "dlURL": "garbage.php",
        "ulURL": "empty.php",
        "sponsorName": "Ann",
    },
    {"name": "B", "server": "//b.example/", "dlURL": "down", "ulURL": "up"},
]


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def known(ots: CommandLine) -> dict[str, str]:
    """The servers of `ots servers list`: name and which list has it."""
    return {each["name"]: each["origin"] for each in ots.json("servers", "list")["servers"]}


def test_a_server_of_ones_own_is_added_used_and_taken_out(ots: CommandLine) -> None:
    """It stays what it was told to be, replaces itself under the same name, and takes `use` with it."""
    assert set(known(ots).values()) == {"shipped"}
    ots.json("servers", "add", "office", "http://192.0.2.9/")
    ots.json("servers", "add", "office", OFFICE, "--operator", "IT", "--protocol", "ots")
    assert ots.json("servers", "use", "office")["use"] == "office"
    said = ots.json("servers", "list")
    assert said["use"] == "office"
    (own,) = [each for each in said["servers"] if each["origin"] == "own"]
    assert (own["name"], own["url"], own["operator"], own["protocol"]) == ("office", OFFICE, "IT", "ots")
    shown = ots.run("servers", "list").stdout
    assert "office" in shown and "IT" in shown and "\n* office" in shown
    ots.json("servers", "remove", "office")
    said = ots.json("servers", "list")
    assert said["use"] == "auto" and "own" not in {each["origin"] for each in said["servers"]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("use", "nowhere"), "nowhere"),
        (("remove", "nowhere"), "nowhere"),
        (("add", "auto", OFFICE), "auto"),
        (("add", "x", "file:///etc/passwd"), "url"),
        (("add", "x", "http://user:hunter2@192.0.2.1/"), "url"),
        (("add", "a\x1b[2J", OFFICE), "name"),
        (("update", "/nowhere/list.yaml"), "No such file"),
        (("update", "ftp://192.0.2.1/list"), "ftp"),
        (("update", "http://user:hunter2@192.0.2.1/list"), "192.0.2.1"),
        (("update", "http://[::1/list"), "::1"),
    ],
)
def test_what_can_not_be_done_is_refused(ots: CommandLine, words: tuple[str, ...], says: str) -> None:
    """One line that names what is wrong, no secret in it, and no file made."""
    done = ots.run("servers", *words)
    assert done.returncode not in (0, 1), done.stdout
    assert says in done.stderr and "hunter2" not in done.stdout + done.stderr and "\x1b[2J" not in done.stderr
    assert not list(ots.folder.rglob("*servers*"))


def test_a_published_list_is_fetched_and_the_last_good_one_stays(ots: CommandLine, nginx: Nginx) -> None:
    """From a URL, from the same one again without naming it; a page that is no list changes nothing."""
    url, place = f"{nginx.url}/servers.json", nginx.root / "servers.json"
    place.write_text(json.dumps(PUBLISHED))
    said = ots.json("servers", "update", url)
    assert (said["servers"], said["skipped"], said["source"]) == (1, 1, url)
    assert known(ots) == {"A": "fetched"}
    place.write_text(json.dumps([PUBLISHED[0], {**PUBLISHED[0], "name": "C", "server": "//c.example/"}]))
    assert ots.json("servers", "update")["source"] == url
    good = known(ots)
    assert good == {"A": "fetched", "C": "fetched"}
    for bad in (f"{nginx.url}/1k", f"{nginx.url}/", f"{nginx.url}/big", f"{nginx.url}/status/404"):
        done = ots.run("servers", "update", bad)
        assert done.returncode != 0 and "stays in use" in done.stderr, done.stderr
    assert known(ots) == good
    assert ots.json("servers", "list")["use"] == "auto"


def test_a_file_is_as_good_as_a_url(ots: CommandLine) -> None:
    """Ours, in YAML; what a fetched list wants to be used is not taken over."""
    list_ = ots.folder / "list.yaml"
    list_.write_text(f'ots-servers: 1\nuse: office\nservers: [{{name: office, url: "{OFFICE}"}}]\n')
    assert ots.json("servers", "update", str(list_))["servers"] == 1
    said = ots.json("servers", "list")
    assert said["use"] == "auto" and [each["name"] for each in said["servers"]] == ["office"]


def test_a_list_that_was_spoilt_by_hand_is_named(ots: CommandLine) -> None:
    """The file and the line, instead of other servers than the user meant."""
    own = Path(ots.json("servers", "add", "office", OFFICE)["path"])
    own.write_text("ots-servers: 1\nservers: [{name: office\n")
    done = ots.run("servers", "list")
    assert done.returncode not in (0, 1) and str(own) in done.stderr
