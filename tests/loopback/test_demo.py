"""`ots demo` with a cloud server: the report is on its page, and nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil
import pytest

from ots.commands import demo, demo_server
from ots.commands.demo_server import ServerFailed
from tests.cloud_kit import Visitor
from tests.command_line import CommandLine

pytestmark = pytest.mark.slow


def _served_by(pid: int) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(pid).children(recursive=True)
        if "ots.commands.demo_server" in child.cmdline()
    ]


async def test_the_server_of_the_demo_knows_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    async with demo_server.started(tmp_path / "server") as server:
        assert (await server.token()).startswith("ots-enrol")
        with pytest.raises(ServerFailed, match="not on the server"):
            await server.page_of("5b0e3a52-6f0a-4b0e-9f57-52a8d6f0c001", "no-such-report")
        pid = server.process.pid
    assert not psutil.pid_exists(pid)


def _said(terminal: int, until: str | None = None) -> str:
    """What comes from a terminal, up to some words or to its end."""
    text = b""
    while until is None or until.encode() not in text:
        try:
            text += os.read(terminal, 65_536)
        except OSError:  # so Linux tells that nobody has the other side open
            assert until is None, text[-2000:]
            break
    return text.decode()


async def _log_in(url: str, name: str, password: str) -> int:
    async with Visitor.at(url) as visitor:
        return (await visitor.log_in(name, password))[0]


def test_at_a_terminal_the_page_is_served_until_ctrl_c(tmp_path: Path) -> None:
    user = CommandLine(tmp_path)
    terminal, theirs = os.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "ots", "demo", "--max-data", "1 MB"],
        env=user.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        said = _said(terminal, until="The server runs until Ctrl-C.")
        address = re.search(r"(http://127\.0\.0\.1:\d+)/reports/1\b", said)
        entry = re.search(r"Log in there as (\S+) with the password (\S+)", said)
        assert address is not None and entry is not None, said[-2000:]
        assert asyncio.run(_log_in(address[1], entry[1], entry[2])) == 200
        running.send_signal(signal.SIGINT)
        _said(terminal)
        assert running.wait(timeout=30) == 3
    finally:
        running.kill()
        os.close(terminal)
    with pytest.raises(aiohttp.ClientConnectionError):
        asyncio.run(_log_in(address[1], entry[1], entry[2]))


async def test_without_the_servers_packages_there_is_no_cloud_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo_server.installed()
    monkeypatch.setitem(sys.modules, "alembic", None)
    async with contextlib.AsyncExitStack() as stack:
        assert await demo.with_cloud(stack) is None
    assert "ots-toolkit[server]" in capsys.readouterr().err


async def test_a_server_that_can_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with pytest.raises(FileExistsError):
        async with demo_server.started(tmp_path / "server"):
            pass


def test_a_killed_demo_leaves_no_server(tmp_path: Path) -> None:
    user = CommandLine(tmp_path)
    running = user.begin("demo", "--json")
    deadline = time.monotonic() + 60
    while not (served := _served_by(running.pid)):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=30)
    gone, alive = psutil.wait_procs(served, timeout=20)
    assert gone and not alive


def test_without_a_terminal_the_demo_ends_once_the_report_is_on_the_page(tmp_path: Path) -> None:
    user, scratch = CommandLine(tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    # So little data that no transfer lasts: what is shown here is the way of the report.
    done = user.run("demo", "--max-data", "1 MB", "--json", env={"TMPDIR": str(scratch)}, limit=110)
    report = json.loads(done.stdout)
    assert re.search(r"http://127\.0\.0\.1:\d+/reports/1$", done.stderr, re.M), done.stderr
    assert "Log in there as admin" in done.stderr
    assert done.returncode == 3
    assert [row["report_id"] for row in user.reports()] == [report["report_id"]]
    assert user.reports()[0]["upload"] == "none"
    assert not (tmp_path / "data" / "server.json").exists()
    assert os.listdir(scratch) == []
