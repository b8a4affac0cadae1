"""An agent and its server, both as a user starts them: enrolment, upload, receipts."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent_kit import Agent
from tests.cloud_kit import CloudServer, cloud_server
from tests.command_line import CommandLine
from tests.peers.authority import Authority
from tests.server_data import bodies
from tests.upload_server import upload_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    with cloud_server(tmp_path_factory.mktemp("server"), options=["--rates", "1000"]) as running:
        yield running


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def measure(ots: CommandLine, server: CloudServer, *options: str, code: int = 0) -> str:
    """One quick run; what it said on stderr."""
    done = ots.run("tcp-connect", f"127.0.0.1:{server.port}", "--count", "1", *options)
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def token(server: CloudServer) -> str:
    """A token for all the agents of this file."""
    return server.token("--uses", "100", "--department", "571", "--project", "HZ-12")


def enrol(ots: CommandLine, server: CloudServer, token: str) -> dict[str, Any]:
    """What the command says; the token is nowhere afterwards."""
    done = ots.run("agent", "enroll", server.url, "--token-from", "env:TOKEN", "--json", env={"TOKEN": token})
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr
    for path in (ots.folder / "data").rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()
    return dict(json.loads(done.stdout))


def kept(server: CloudServer, report_id: str) -> bytes:
    """What the server keeps of a report."""
    return bodies(server.address)[report_id, 1]


def test_a_run_is_on_the_server_byte_for_byte(ots: CommandLine, server: CloudServer, token: str) -> None:
    """Enrolled with a token, a run's report is on the server; an older one follows when it is asked for."""
    measure(ots, server)
    status = enrol(ots, server, token)
    assert (status["status"], status["department"], status["project"]) == ("active", "571", "HZ-12")
    assert (status["tier"], status["waiting"]) == ("friendly", 0)
    for name in ("agent.key", "server.json", "licence-issuers.json"):
        assert stat.S_IMODE(os.stat(ots.folder / "data" / name).st_mode) == 0o600
    measure(ots, server)
    rows = ots.reports()
    assert [row["upload"] for row in rows] == ["sent", "none"]
    done = ots.json("report", "upload", "--all")
    assert (done["sent"], done["not_sent"], done["stopped"]) == ([1], [], None)
    for row in rows:
        stored = ots.run("report", "export", row["report_id"], "--format", "json", "--output", "-").stdout
        assert kept(server, row["report_id"]) == stored.rstrip("\n").encode()


def test_tls(tmp_path: Path, ots: CommandLine, ca: Authority) -> None:
    """A server that the system does not trust is refused, until its authority is named; then it stays so."""
    options = ["--cert", str(ca.chain), "--key", str(ca.key)]
    with cloud_server(tmp_path / "tls", options=options) as server:
        token = {"TOKEN": server.token()}
        arguments = ("agent", "enroll", server.url, "--token-from", "env:TOKEN")
        done = ots.run(*arguments, env=token)
        assert done.returncode == 3 and "certificate is not trusted" in done.stderr
        assert not (ots.folder / "data" / "server.json").exists()
        assert ots.run(*arguments, "--ca", str(ca.root), env=token).returncode == 0
        measure(ots, server)
        assert ots.reports()[0]["upload"] == "sent"


def test_refusals(ots: CommandLine, server: CloudServer) -> None:
    """A token that is none, one that is used up, and a second server beside the first."""
    arguments = ("agent", "enroll", server.url, "--token-from", "env:TOKEN", "--json")
    for token in ("x", "ots-enrol-aaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"):
        done = ots.run(*arguments, env={"TOKEN": token})
        assert done.returncode in (1, 2), done.stdout
    used = server.token()
    other = CommandLine(ots.folder / "other")
    assert other.run(*arguments, env={"TOKEN": used}).returncode == 0
    assert other.run(*arguments, env={"TOKEN": used}).returncode == 0, "the same agent may ask again"
    done = ots.run(*arguments, env={"TOKEN": used})
    assert done.returncode == 1 and "token-exhausted" in done.stdout
    elsewhere = other.run(
        "agent", "enroll", "https://192.0.2.1", "--token-from", "env:TOKEN", env={"TOKEN": used}
    )
    assert elsewhere.returncode == 2 and "ots agent leave" in elsewhere.stderr


def test_a_token_is_never_an_argument(ots: CommandLine, server: CloudServer) -> None:
    """Whoever types the token itself is told to name its place, and the token is not repeated."""
    done = ots.run("agent", "enroll", server.url, "--token-from", "ots-enrol-abc-canary")
    assert done.returncode == 2
    assert "canary" not in done.stdout + done.stderr


def test_approval(ots: CommandLine, server: CloudServer) -> None:
    """An agent that waits for approval keeps its reports."""
    assert enrol(ots, server, server.token("--approve"))["status"] == "pending"
    measure(ots, server)
    assert ots.reports()[0]["upload"] == "waiting"
    assert ots.json("agent", "status")["status"] == "pending"


def test_a_server_that_is_away_costs_a_run_nothing(
    ots: CommandLine, server: CloudServer, tmp_path: Path
) -> None:
    """The run passes, its report waits; who asked for the upload gets exit code 7."""
    with cloud_server(tmp_path / "other") as other:
        enrol(ots, other, other.token())
    measure(ots, server)
    said = measure(ots, server, "--upload", code=7)
    assert "unreachable" in said
    assert [row["upload"] for row in ots.reports()] == ["waiting", "waiting"]
    assert ots.json("agent", "status", code=3)["unreachable"] == "unreachable"
    with cloud_server(tmp_path / "other", port=other.port):
        assert sorted(ots.json("report", "upload")["sent"]) == [1, 2]


def test_leaving(ots: CommandLine, server: CloudServer, token: str) -> None:
    """An agent that has left sends nothing and says so to whoever asks; a fresh token brings it back."""
    enrol(ots, server, token)
    assert ots.json("agent", "leave")["not_sent"] == 0
    measure(ots, server)
    assert ots.reports()[0]["upload"] == "none"
    assert ots.run("report", "upload").returncode == 2
    wrong = {"TOKEN": "ots-enrol-aaaaaaaa-" + "b" * 32}
    again = ots.run("agent", "enroll", server.url, "--token-from", "env:TOKEN", env=wrong)
    assert again.returncode == 1 and "token-unknown" in again.stderr
    assert not (ots.folder / "data" / "server.json").exists()
    assert enrol(ots, server, token)["status"] == "active"
    measure(ots, server)
    assert ots.reports()[0]["upload"] == "sent"


def test_verify(ots: CommandLine, server: CloudServer, token: str) -> None:
    """An exported report is proven by signature and by receipt; one byte less and nothing is."""
    enrol(ots, server, token)
    measure(ots, server)
    path = ots.folder / "out.json"
    ots.json("report", "export", "last", "--format", "json", "--output", str(path), "--sign")
    proven = ots.json("report", "verify", str(path))
    assert (proven["proven"], proven["report_id"], proven["seq"]) == (True, ots.reports()[0]["report_id"], 1)
    assert ots.json("report", "verify", str(path), "--server")["proven"]
    assert ots.json("report", "verify", "last", "--server") == {"checked": 1, "damaged": []}
    stranger = ots.json(
        "report", "verify", str(path), "--key", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", code=1
    )
    assert stranger["fault"] == "unknown-key"
    path.write_bytes(path.read_bytes().replace(b'"revision":1', b'"revision":2', 1))
    assert ots.json("report", "verify", str(path), code=1)["fault"] == "changed"
    assert ots.json("report", "verify", str(path), "--server", code=1)["fault"] == "changed"


def test_what_is_left_out_is_told(ots: CommandLine, server: CloudServer, token: str) -> None:
    """The server gets neither what the settings withhold nor a secret in a tag, and `report show` says so."""
    enrol(ots, server, token)
    for name in ("device", "addresses"):
        assert ots.run("config", "set", f"upload.{name}", "off").returncode == 0
    measure(ots, server, "--tag", "where=ftp://user:canary-7f3a@192.0.2.9/")
    (row,) = ots.reports()
    document = json.loads(kept(server, row["report_id"]))
    assert document["tags"]["where"] == "ftp://***@192.0.2.9/"
    context = document["contexts"][0]
    assert context["device"]["kernel"] is None and context["nulls"]["device.kernel"] == "withheld"
    assert context["network"]["addresses"] == []
    assert "canary" in json.dumps(ots.report())
    shown = ots.run("report", "show", "last")
    assert "/tags/where" in shown.stderr and "left out" in shown.stderr
    assert ots.json("report", "verify", "last", "--server")["damaged"] == []


def test_modes(tmp_path: Path, ots: CommandLine) -> None:
    """manual sends what is asked for, off nothing; the features' switch does the same."""
    with upload_server() as server:
        Agent(ots.folder / "data").enrol(server)
        ping = ("tcp-connect", server.url.removeprefix("http://"), "--count", "1")
        assert ots.run("config", "set", "upload.mode", "manual").returncode == 0
        assert ots.run(*ping).returncode == 0
        assert ots.run(*ping, "--upload").returncode == 0
        assert [row["upload"] for row in ots.reports()] == ["sent", "none"]
        assert ots.run(*ping, "--upload", env={"OTS_UPLOAD_MODE": "off"}).returncode == 2
        assert ots.run("report", "upload", "--all", env={"OTS_UPLOAD_MODE": "off"}).returncode == 2
        assert ots.run("config", "set", "features.upload", "off").returncode == 0
        assert ots.run("report", "upload", "--all").returncode == 2
        assert len(server.reports) == 1


def test_ctrl_c_is_not_answered_with_an_upload(ots: CommandLine) -> None:
    """A run that a person ends ends; what it found is sent by the next one."""
    with upload_server() as server:
        Agent(ots.folder / "data").enrol(server)
        address = server.url.removeprefix("http://")
        process = ots.begin("tcp-connect", address, "--count", "1000", "--interval", "20 ms")
        deadline = time.monotonic() + 20
        while not (ots.reports() and "tcp_connect" in str(ots.report().get("case"))):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
        assert not any("/reports/" in asked for asked in server.asked)
        assert ots.reports()[0]["upload"] == "waiting"
        assert f"Server small server   {server.url}   waiting to be sent: 1" in ots.run().stdout
        assert ots.run("tcp-connect", address, "--count", "1").returncode == 0
        assert len(server.reports) == 2
