"""A server and two agents in networks of their own, a manager's shell beside the server.

    manager + server ── 10.77.1.0/30 ── north-1 ── 10.78.1.0/30 ── target 10.78.9.9
                     └─ 10.77.2.0/30 ── north-2 ── 10.78.2.0/30 ─┘

The agents dial out. The links to the server are cut while the runs go on; what is measured is the other way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud_kit import ROOT
from tests.peers.process import end
from tests.ping_lab import Lab, lab
from tests.server_database import chosen, named, processes

pytestmark = [pytest.mark.netns, pytest.mark.slow]
NAMES = ("north-1", "north-2")
PORT = 8443
POLICY = "ots_policy: 1\npreset: light\nremote:\n  targets: [10.78.0.0/16]\n  trusted: [10.78.0.0/16]\n"


@pytest.fixture
def network() -> Iterator[Lab]:
    with lab() as found:
        for name in ("server", "target", *NAMES):
            found.host(name, forward=name == "target")
        found.run("target", "ip", "address", "add", "10.78.9.9/32", "dev", "lo")
        for number, name in enumerate(NAMES, 1):
            found.wire("server", f"10.77.{number}.1/30", name, f"10.77.{number}.2/30")
            found.wire("target", f"10.78.{number}.1/30", name, f"10.78.{number}.2/30")
            found.run(name, "ip", "route", "add", "10.78.9.9", "via", f"10.78.{number}.1")
        yield found


class Shell:
    """Programs in the namespaces, each machine with a home of its own."""

    def __init__(self, network: Lab, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.started: list[subprocess.Popen[Any]] = []

    def environment(self, name: str, **more: str) -> dict[str, str]:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTS_", "XDG_"))}
        at_server = named(chosen.socket(self.folder)) if name == "server" else {}
        return {**kept, "HOME": str(home), "OTS_DATA_DIR": str(home / "data"), **at_server, **more}

    def start(self, name: str, *argv: str, **more: str) -> subprocess.Popen[str]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.network.inside(name), sys.executable, *argv],
                cwd=ROOT,
                env=self.environment(name, **more),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def run(self, name: str, *argv: str, **more: str) -> str:
        done = subprocess.run(
            [*self.network.inside(name), sys.executable, "cli.py", *argv],
            cwd=ROOT,
            env=self.environment(name, **more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        for process in self.started:
            end(process, grace=10)
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def shell(network: Lab, tmp_path: Path) -> Iterator[Shell]:
    made = Shell(network, tmp_path)
    try:
        yield made
    finally:
        made.close()


def read_document(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON that a process says first."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.rstrip() == "}":
            return dict(json.loads(text))
    raise AssertionError(text)


def prepare(shell: Shell) -> str:
    """Server and agents up; returns an API token. What a person would do on the server's pages is done so."""
    argv = ["--listen", f"0.0.0.0:{PORT}", "--agent-ping", "1", "--agent-return", "1"]
    argv += processes(chosen.kind)
    server = shell.start("server", "cli.py", "server", "run", "--json", *argv)
    first = read_document(server)["first_account"]
    place = ["--uses", "2", "--department", "571", "--project", "HZ-12"]
    enrolment = shell.run("server", "server", "token", "create", *place).strip()
    for number, name in enumerate(NAMES, 1):
        config = shell.folder / name / ".config" / "ots"
        config.mkdir(parents=True)
        (config / "policy.yaml").write_text(POLICY)
        url = f"http://10.77.{number}.1:{PORT}"
        argv = ["agent", "enroll", url, "--plain-http", "--token-from", "env:TOKEN", "--name", name]
        shell.run(name, *argv, TOKEN=enrolment)
        shell.start(name, "cli.py", "agent", "run")
    made = shell.start(
        "server", "-m", "tests.manager_token", f"http://127.0.0.1:{PORT}", "north", json.dumps(first)
    )
    assert made.stdout is not None
    return made.stdout.readline().strip()


def test_a_run_on_a_group_survives_a_cut(shell: Shell) -> None:
    token = prepare(shell)
    said = shell.folder / "progress.log"
    argv = ["fleet", "run", "ping", "--on", "tag=north", "--var", "target=10.78.9.9", "--wait"]
    with said.open("w") as progress:
        manager = subprocess.Popen(
            [*shell.network.inside("server"), sys.executable, "cli.py", *argv, "--format", "json"],
            cwd=ROOT,
            env=shell.environment("server", OTS_SERVER=f"http://127.0.0.1:{PORT}", OTS_TOKEN=token),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=progress,
            text=True,
        )
    shell.started.append(manager)
    deadline = time.monotonic() + 30
    while not all(f"{name}: runs" in said.read_text() for name in NAMES):
        assert time.monotonic() < deadline and manager.poll() is None, said.read_text()
        time.sleep(0.05)
    for name in NAMES:
        shell.network.run("server", "ip", "link", "set", f"to-{name}", "down")
    time.sleep(4.0)  # the runs end meanwhile, unheard
    assert manager.poll() is None, said.read_text()
    for name in NAMES:
        shell.network.run("server", "ip", "link", "set", f"to-{name}", "up")
    out, _ = manager.communicate(timeout=60)
    run = json.loads(out)
    assert manager.returncode == 0, run["members"]
    assert (run["settled"], run["verdict"], run["counts"]) == (True, "pass", {"done": 2})
    assert [member["name"] for member in run["members"] if member["report"]] == list(NAMES)
    for name, member in zip(NAMES, run["members"], strict=True):
        kept = json.loads(shell.run(name, "report", "list", "--json"))["reports"]
        assert [report["report_id"] for report in kept] == [member["report_id"]], "one run, one report"
