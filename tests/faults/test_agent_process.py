"""The resident agent as a process: one of them, at work, ended, killed, told to systemd, on a full disk."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ots.agent.ledger import Ledger
from ots.agent.presence import Presence, read_status
from ots.model.report import Report
from ots.schedule.state import Course, State
from ots.store import Store, StoreError
from tests.command_line import CommandLine

CASE = """ots: 1
id: home
steps:
  - id: rtt
    probe: ping
    target: 127.0.0.1
    params: {count: COUNT, interval: 100 ms}
"""


_TOO_LATE = "missed: the agent was not running"


def soon(true: Callable[[], Any], within: float = 25.0) -> Any:
    """What it gives, once that is something."""
    deadline = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def plan(line: CommandLine, count: int, catch_up: str = "none", following: float = 5.0) -> None:
    """Plans a ping every ten seconds: a moment that has just passed is still to be decided, as if an agent
    had ended right before it, and the following one comes so many seconds from now. So nobody waits for the
    clock."""
    case = line.folder / "home.yaml"
    case.write_text(CASE.replace("COUNT", str(count)))
    schedules = line.folder / "config" / "ots" / "schedules"
    schedules.mkdir(parents=True)
    coming = time.time() + following
    period = coming / (coming // 10)
    when = f"every: {period:.15f} s, spread: 0 s, catch_up: {catch_up}"
    (schedules / "home.yaml").write_text(f"case: {case}\nschedule: {{{when}}}\n")
    before = coming - period - 1
    presence = Presence(line.folder / "data")
    presence.keep(State(courses={"home": Course(since=before, settled=before)}, seen=before))
    presence.leave()


@contextmanager
def agent(line: CommandLine, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    with (line.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ots", "agent", "run"],
            env={**line.environment, **more},
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def reports(line: CommandLine) -> list[Report]:
    """What this agent has reported, the newest first; but not the moments that passed before it was up, as
    they do on a busy machine."""
    try:
        with Store.open_read_only(line.folder / "data") as store:
            found = [store.report(entry) for entry in store.list()]
    except StoreError:
        return []  # it is being made
    return [each for each in found if each.run.reason != _TOO_LATE]


def some(line: CommandLine, state: str) -> bool:
    try:
        with Store.open_read_only(line.folder / "data") as store:
            return any(entry.state == state for entry in store.list())
    except StoreError:
        return False  # it is being made


def running(line: CommandLine) -> dict[str, Any] | None:
    """The run that goes on, once it measures."""
    said = read_status(line.folder / "data") or {}
    found = said.get("running") or [None]
    return found[0] if some(line, "running") else None


def listen(manager: socket.socket, heard: list[str]) -> None:
    with contextlib.suppress(OSError):
        while True:
            heard.append(manager.recv(1000).decode())


def test_it_runs_what_is_planned_and_says_what_the_licence_forbids(line: CommandLine) -> None:
    plan(line, 2)
    place = line.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place))
        manager.settimeout(20)
        told = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "1000000"}
        with agent(line, **told) as process:
            heard = [manager.recv(1000).decode()]
            reader = threading.Thread(target=listen, args=(manager, heard), daemon=True)
            reader.start()
            soon(lambda: {"completed", "aborted"} <= {each.run.state for each in reports(line)})
            second = line.run("agent", "run")
            assert second.returncode == 7
            assert f"process {process.pid}" in second.stderr
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        soon(lambda: "STOPPING=1" in heard)
    assert "READY=1" in heard
    assert heard.count("WATCHDOG=1") > 5
    ran = [each for each in reports(line) if each.run.state == "completed"]
    refused = [each for each in reports(line) if each.run.state == "aborted"]
    assert [each.verdict for each in ran] == ["measured"]
    assert ran[0].tags["ots.schedule"] == "home"
    assert [each.run.reason for each in refused] == [
        "refused: the licence wants 15 min between two runs of a schedule"
    ]
    assert not (line.folder / "data" / "agent" / "status.json").exists()


def test_ended_while_it_runs_it_stores_what_was_measured(line: CommandLine) -> None:
    plan(line, 600)
    with agent(line) as process:
        soon(lambda: running(line))
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
    (found,) = reports(line)
    assert (found.run.state, found.run.reason) == ("aborted", "interrupted")


def test_killed_while_it_runs_the_next_one_says_interrupted_and_does_not_run_it_again(
    line: CommandLine,
) -> None:
    plan(line, 600, catch_up="once")
    with agent(line) as process:
        run = soon(lambda: running(line))
        process.kill()
        process.wait(10)
    soon(lambda: not some(line, "running"))
    with agent(line) as process:
        soon(lambda: (read_status(line.folder / "data") or {}).get("pid") == process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
    ledger = Ledger.of(line.folder / "data")
    entry = ledger.get(run["order_id"])
    ledger.close()
    assert entry is not None
    assert entry.state == "interrupted"
    of_it = [each for each in reports(line) if each.tags.get("ots.order") == run["order_id"]]
    assert [each.run.state for each in of_it] == ["aborted"]
    assert of_it[0].run.reason in ("terminated", "killed", "interrupted: the agent ended while it ran")


def test_a_faulty_schedule_is_refused_and_the_others_run(line: CommandLine) -> None:
    plan(line, 2)
    folder = line.folder / "config" / "ots" / "schedules"
    (folder / "bad.yaml").write_text("case: no-such-case\nschedule: {every: 10 s}\n")
    (folder / "worse.yaml").write_text("case: [\n")
    more = ("--name", "more", "--every", "1 h")
    assert line.run("agent", "schedule", "add", str(line.folder / "home.yaml"), *more).returncode == 0
    with agent(line) as process:
        soon(lambda: some(line, "completed"))
        assert process.poll() is None
        listed = {each["schedule"]: each["refusal"] for each in line.json("agent", "schedule", "list")}
    assert listed["home"] is None and listed["more"] is None
    assert "no-such-case" in listed["bad"]
    assert listed["worse"]
    said = line.run("agent", "run", "--plan", "--for", "1 min").stdout
    assert "refused" in said


@pytest.mark.netns
def test_on_a_full_disk_it_goes_on_and_records_what_was_not_when_there_is_room(line: CommandLine) -> None:
    data, process_log = line.folder / "data", line.folder / "log"
    data.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(data)], check=True)
    try:
        plan(line, 2, following=9.5)  # until then the first run has ended and the disk is full
        with agent(line) as process:
            soon(lambda: some(line, "completed"))
            filler = data / "filler"
            with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(bytes(65536))
                    file.flush()
            soon(lambda: "could not be recorded" in process_log.read_text())
            assert process.poll() is None
            filler.unlink()
            process.send_signal(signal.SIGHUP)
            soon(lambda: "aborted" in {each.run.state for each in reports(line)})
            process.send_signal(signal.SIGTERM)
            assert process.wait(25) == 0
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)
