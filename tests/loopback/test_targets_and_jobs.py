"""`ots targets` and `ots job` as a user has them: commands, files, and the reports of real runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def ports() -> Iterator[list[str]]:
    """Two TCP ports of this machine that accept."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.close()


def test_a_list_is_measured_and_stands_in_the_report(ots: CommandLine, ports: list[str]) -> None:
    """`ots tcp-connect @core`: every member has its attempt, and the report says which list it was."""
    assert ots.json("targets", "add", "core", *ports)["added"] == ports
    ots.json("targets", "add", "all", "@core")
    assert ots.run("tcp-connect", "@all").returncode == 0
    step = ots.report()["steps"][0]
    assert step["targets"] == ports
    assert step["target_lists"] == {"all": ports}
    assert [attempt["target"] for attempt in step["attempts"]] == ports


def test_a_case_names_a_list(ots: CommandLine, ports: list[str]) -> None:
    """`target: "@core"` in a case; after the list is gone the case is refused at its place."""
    case = ots.folder / "c.yaml"
    case.write_text('ots: 1\nid: c\nsteps:\n  - {id: s, probe: tcp_connect, target: "@core"}\n', "utf-8")
    ots.run("targets", "add", "core", *ports)
    assert ots.run("run", str(case)).returncode == 0
    assert ots.report()["steps"][0]["target_lists"] == {"core": ports}
    assert ots.json("targets", "remove", "core")["removed"] == ports
    ots.run("targets", "add", "cor", *ports)
    refused = ots.run("run", str(case))
    assert refused.returncode == 2
    assert f"{case}:4:41: unknown target list '@core': did you mean '@cor'?" in refused.stderr
    assert ots.json("cases", "check", str(case), code=2)


def test_a_broken_file_of_lists_hurts_only_those_who_use_it(ots: CommandLine, ports: list[str]) -> None:
    """A run that names no list does not even read it; one that does is told file, line and column."""
    path = ots.folder / "config" / "ots" / "targets.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("core: [192.0.2.1, {}]\n", "utf-8")
    assert ots.run("tcp-connect", ports[0]).returncode == 0
    error = ots.json("tcp-connect", "@core", code=2)["error"]
    assert error["details"] == [
        {
            "source": str(path),
            "line": 1,
            "column": 19,
            "message": "expected a target, not a list or a mapping",
        }
    ]


def test_targets_commands_refuse_what_would_break(ots: CommandLine) -> None:
    """No cycle, no reference into nothing, no target that nothing could measure, no password is written."""
    ots.run("targets", "add", "a", "192.0.2.1")
    ots.run("targets", "add", "b", "@a")
    for arguments, message in (
        (("add", "a", "@b"), "holds itself"),
        (("add", "a", "@nowhere"), "unknown target list"),
        (("add", "a", "192.0.2.256"), "no IPv4 address"),
        (("add", "a", "http://me:hunter2@192.0.2.1/"), "a password stands in the URL"),
        (("add", "a b", "192.0.2.1"), "no name of a list"),
        (("remove", "a"), "unknown target list '@a'"),
        (("remove", "a", "192.0.2.7"), "not in @a"),
        (("remove", "nowhere"), "there is no list @nowhere"),
        (("show", "aa"), "unknown target list '@aa'"),
    ):
        refused = ots.run("targets", *arguments)
        assert refused.returncode == 2, arguments
        assert message in refused.stderr, arguments
        assert "hunter2" not in refused.stderr
    assert {row["name"]: row["targets"] for row in ots.json("targets", "list")["lists"]} == {"a": 1, "b": 1}


def test_lists_travel_as_files(ots: CommandLine, tmp_path: Path) -> None:
    """What is exported is imported elsewhere as it was; another content needs --replace."""
    ots.run("targets", "add", "core", "192.0.2.1", "2001:db8::1")
    ots.run("targets", "add", "edge", "@core", "http://192.0.2.3/")
    exported = ots.folder / "lists.yaml"
    assert ots.json("targets", "export", "edge", "--output", str(exported))["lists"] == ["edge", "core"]
    assert ots.run("targets", "export", "edge", "--format", "text").stdout.splitlines() == [
        "192.0.2.1",
        "2001:db8::1",
        "http://192.0.2.3/",
    ]
    other = CommandLine(tmp_path / "other")
    imported = other.json("targets", "import", str(exported))
    assert imported["lists"] == {"edge": ["@core", "http://192.0.2.3/"], "core": ["192.0.2.1", "2001:db8::1"]}
    # Only the speed test takes hosts and URLs alike.
    assert other.json("targets", "show", "edge")["probes"] == ["speedtest"]
    assert "ping" in other.json("targets", "show", "@core")["probes"]
    lines = tmp_path / "sites.txt"
    lines.write_text("# sites\n192.0.2.9\n", "utf-8")
    assert other.run("targets", "import", str(lines), "--name", "core").returncode == 2
    done = other.json("targets", "import", str(lines), "--name", "core", "--replace")
    assert (done["lists"], done["replaced"]) == ({"core": ["192.0.2.9"]}, ["core"])


def test_the_job_goes_into_every_report_until_it_is_finished(ots: CommandLine, ports: list[str]) -> None:
    """From start to finish: fields, rates and notes stand in the reports, and the summary counts them."""
    ots.json(
        "job", "start", "HZ-117", "--customer", "ACME", "--site", "西湖 3F", "--subscribed-down", "100 Mbit/s"
    )
    ots.json("job", "note", "rain", "since", "noon")
    ots.run("tcp-connect", ports[0], "--count", "2")
    assert ots.run("tcp-connect", ports[0], "--fail", "tcp_connect_seconds < 1 ns").returncode == 1
    job = ots.report("last")["job"]
    assert (job["id"], job["customer"], job["site"]) == ("HZ-117", "ACME", "西湖 3F")
    assert (job["subscribed_down_bits_per_second"], job["subscribed_up_bits_per_second"]) == (1e8, None)
    assert [note.partition(" ")[2] for note in job["notes"]] == ["rain since noon"]
    assert "HZ-117   ACME   西湖 3F   ▼ 100 Mbit/s" in ots.run().stdout
    assert len(ots.json("report", "list", "--job")["reports"]) == 2
    finished = ots.json("job", "finish")
    assert finished["job"]["state"] == "finished"
    assert finished["reports"]["count"] == 2
    assert finished["reports"]["seqs"] == [1, 2]
    verdicts = finished["reports"]["verdicts"]
    assert {verdict: number for verdict, number in verdicts.items() if number} == {"fail": 1, "measured": 1}
    ots.run("tcp-connect", ports[0])
    assert ots.report("last")["job"]["id"] is None
    listed = ots.run("report", "list", "--job", "HZ-117")
    assert len(listed.stdout.splitlines()) == 2
    assert "ACME" in listed.stderr


def test_a_named_job_wins(ots: CommandLine, ports: list[str]) -> None:
    """`--job` on a run is that run's job, and brings nothing of the open one."""
    ots.run("job", "start", "HZ-117", "--customer", "ACME")
    ots.run("tcp-connect", ports[0], "--job", "HZ-118")
    job = ots.report()["job"]
    assert (job["id"], job["customer"]) == ("HZ-118", None)
    rows = {row["id"]: (row["state"], row["reports"]) for row in ots.json("job", "list")["jobs"]}
    assert rows == {"HZ-117": ("open", 0), "HZ-118": (None, 1)}


def test_job_commands_say_what_to_do(ots: CommandLine) -> None:
    """Without a job, with another one open, with a text or a rate that is none: exit code 2 and a remedy."""
    for words in (["note", "x"], ["finish"], ["show"], ["show", "nowhere"]):
        assert ots.json("job", *words, code=2)["error"]["remedy"]
    ots.json("job", "start", "HZ-117")
    for arguments, message in (
        (("start", "HZ-118"), "job HZ-117 is open"),
        (("start", " "), "it is empty"),
        (("start", "x" * 101), "101 characters are too many"),
        (("start", "HZ-117", "--subscribed-down", "100"), "100 has no unit"),
        (("start", "HZ-117", "--subscribed-down", "0 bit/s"), "more than 0 bit/s"),
        (("note", "bell\x07"), "holds what is no text"),
    ):
        assert message in ots.json("job", *arguments, code=2)["error"]["message"]
    again = ots.json("job", "start", "HZ-117", "--site", "roof")["job"]
    assert (again["site"], again["state"]) == ("roof", "open")


def test_a_damaged_file_of_jobs_stops_a_run_before_it_begins(ots: CommandLine, ports: list[str]) -> None:
    """A report without its job would be worse than none: nothing is measured, and the remedy is told."""
    ots.run("job", "start", "HZ-117")
    path = next((ots.folder / "data").glob("jobs-*.json"))
    path.write_text("{", "utf-8")
    refused = ots.run("tcp-connect", ports[0])
    assert refused.returncode == 7
    assert "is damaged" in refused.stderr
    assert "Move it away" in refused.stderr
    assert ots.reports() == []
    assert ots.run().returncode == 0


async def test_a_note_during_a_run_is_in_its_report(ots: CommandLine, ports: list[str]) -> None:
    """A run that goes on for a while takes in what was noted before its end."""
    ots.run("job", "start", "HZ-117")
    running = ots.begin("tcp-connect", ports[0], "--every", "200 ms", "--for", "4 s")
    try:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(ots.reports):
                assert running.poll() is None
        await asyncio.to_thread(ots.run, "job", "note", "window opened")
        assert running.poll() is None, "the run ended before the note"
        await asyncio.to_thread(running.wait, 30)
    finally:
        running.kill()
        running.communicate()
    assert [note.partition(" ")[2] for note in ots.report()["job"]["notes"]] == ["window opened"]
