"""The other end of the command line: a full or closed stdout, and signals while no run is under way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import CommandLine

_QUICK = ("ping", "127.0.0.1", "--count", "2", "--interval", "10ms")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [_QUICK, (*_QUICK, "--json"), ("report", "list", "--json")])
def test_a_stdout_that_takes_nothing_is_told_on_stderr(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Exit 7 and one line with the reason; the report of the run is stored all the same."""
    user = CommandLine(tmp_path)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ots", *arguments],
            env=user.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 7, done.stderr
    assert "cannot write stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(user.reports()) == (1 if arguments[0] == "ping" else 0)


def test_a_closed_stdout_is_none_of_the_verdicts_business(tmp_path: Path) -> None:
    """As started by something that closes its descriptors: measured, stored, exit 0."""
    user = CommandLine(tmp_path)
    command = " ".join([sys.executable, "-m", "ots", *_QUICK, ">&-"])
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=user.environment,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [row["verdict"] for row in user.reports()] == ["measured"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_demo_ended_while_its_peers_start_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """No run has begun: the temporary folder goes, and stdout holds one JSON document that says why."""
    user, scratch = CommandLine(tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "ots", "demo", "--json"],
        env={**user.environment, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not os.listdir(scratch):
        assert time.monotonic() < deadline and process.poll() is None, "the peers never began to start"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert json.loads(out)["error"]["exit_code"] == code
    assert os.listdir(scratch) == []
