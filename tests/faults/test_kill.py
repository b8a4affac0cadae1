"""Killed, interrupted or terminated at any moment: what had finished is there, and the next run works."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.command_line import CommandLine

CASE = """\
ots: 1
id: many-steps
version: 1
title: {en: Many short steps}
steps:
  - {id: one, probe: tcp_connect, target: "127.0.0.1:PORT", params: {count: 3, interval: 20 ms}}
  - {id: two, probe: tcp_connect, target: "127.0.0.1:PORT", params: {count: 3, interval: 20 ms}}
  - {id: three, probe: tcp_connect, target: "127.0.0.1:PORT", params: {count: 3, interval: 20 ms}}
  - {id: four, probe: tcp_connect, target: "127.0.0.1:PORT", params: {count: 3, interval: 20 ms}}
  - {id: long, probe: tcp_connect, target: "127.0.0.1:PORT", params: {count: 100, interval: 50 ms}}
"""

KILLS = 51
AT_ONCE = 3


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a server that takes every connection: left untaken, so many would fill its queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        thread = threading.Thread(target=_take_all, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _take_all(server: socket.socket) -> None:
    """Accepts and hangs up until the listening socket is shut down."""
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


@pytest.fixture
def case(tmp_path: Path, listener: int) -> Path:
    path = tmp_path / "many-steps.yaml"
    path.write_text(CASE.replace("PORT", str(listener)))
    return path


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def wait_for_steps(ots: CommandLine, process: subprocess.Popen[str], n: int) -> None:
    """Returns when the running report holds n finished steps."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if ots.reports() and len(ots.report()["steps"]) >= n:
            return
    pytest.fail("the run did not get that far")


def run_and_kill(ots: CommandLine, case: Path, moments: Sequence[float]) -> None:
    """As many runs, one after the other, each killed so many seconds after it was started."""
    for moment in moments:
        process = ots.begin("run", str(case))
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.timeout(300)
def test_fifty_kills_at_random_moments_lose_no_finished_step(case: Path, ots: CommandLine) -> None:
    """Three at a time in one store: every report that had begun is readable and closed as killed."""
    random_moments = random.Random(20)
    moments = [random_moments.uniform(0.3, 1.8) for _ in range(KILLS)]
    finished = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        shares = [pool.submit(run_and_kill, ots, case, moments[lane::AT_ONCE]) for lane in range(AT_ONCE)]
        for share in shares:
            share.result()
    rows = ots.reports()
    assert rows, "no run got as far as its report"
    for row in rows:
        document = ots.report(row["report_id"])
        assert document["run"]["state"] == "aborted"
        assert document["run"]["reason"] == "killed"
        assert document["run"]["end"] is None
        for step in document["steps"]:
            assert step["outcome"] == "success"
            finished += 1
    assert finished > 0
    assert len({row["seq"] for row in rows}) == len(rows)
    short = case.with_name("short.yaml")
    short.write_text("\n".join(line for line in case.read_text().splitlines() if "id: long" not in line))
    result = ots.run("run", str(short))
    assert result.returncode == 0, result.stderr
    assert ots.reports()[0]["state"] == "completed"


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_gives_a_valid_partial_report_and_its_exit_code(
    number: signal.Signals, code: int, reason: str, case: Path, ots: CommandLine
) -> None:
    """The steps that had ended keep their results, the one that ran is cancelled with its samples."""
    process = ots.begin("run", str(case))
    wait_for_steps(ots, process, 4)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    assert "Traceback" not in out + err
    document = ots.report()
    assert (document["run"]["state"], document["run"]["reason"]) == ("aborted", reason)
    assert [step["id"] for step in document["steps"]] == ["one", "two", "three", "four", "long"]
    assert [step["outcome"] for step in document["steps"][:4]] == ["success"] * 4
    last = document["steps"][4]
    assert last["error"] is None or last["error"]["class"] == "cancelled"


STARTED = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("up", flush=True)
runpy.run_module("ots", run_name="__main__", alter_sys=True)
"""
"""Python's own start-up can't be made quiet; from here on it is ours."""


def test_a_signal_before_anything_ran_leaves_nothing_broken(case: Path, ots: CommandLine) -> None:
    """Ctrl-C in the first instants: no traceback, and the store works afterwards."""
    moments = random.Random(7)
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", STARTED, "run", str(case)],
            env=ots.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            process.wait(timeout=moments.uniform(0.0, 0.8))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=20)
        assert process.returncode in (130, -signal.SIGINT), err
        assert "Traceback" not in err
    ots.reports()
