"""What limits an upload: a router with a token bucket whose rate is known, or nothing but this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ping_lab import Lab, lab

RATE = 20_000_000
QUEUE = 0.1
FAR, HTTP = "10.9.1.1", 8080

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.fixture
def routed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """near - router - far, with the test server on far. The calibration is kept in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    with lab() as built:
        built.host("far")
        built.host("router", forward=True)
        built.host("near")
        built.wire("far", f"{FAR}/24", "router", "10.9.1.2/24")
        built.wire("router", "10.9.2.1/24", "near", "10.9.2.2/24")
        built.run("far", "ip", "route", "add", "default", "via", "10.9.1.2")
        built.run("near", "ip", "route", "add", "default", "via", "10.9.2.1")
        command = [
            sys.executable,
            "-m",
            "ots.server.peers",
            "--host",
            FAR,
            "--http-port",
            str(HTTP),
            "--stay",
        ]
        child = subprocess.Popen([*built.inside("far"), *command], stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None and child.stdout.readline()
            yield built
        finally:
            child.terminate()
            child.communicate()


def uploaded(built: Lab) -> dict[str, Any]:
    command = [sys.executable, "-m", "ots", "http-upload", f"http://{FAR}:{HTTP}/speed/up"]
    document = json.loads(built.run("near", *command, "--duration", "3 s", "--connections", "2", "--json"))
    (step,) = document["steps"]
    assert step["outcome"] == "success"
    validity: dict[str, Any] = step["validity"]
    return validity


def test_a_full_bottleneck_is_the_links_limit(routed: Lab) -> None:
    """Both connections wait for the bucket nearly all of the time."""
    routed.run(
        *("router", "tc", "qdisc", "add", "dev", "to-far", "root", "tbf", "rate", f"{RATE}bit"),
        *("burst", "3000", "limit", str(int(RATE / 8 * QUEUE))),
    )
    routed.run("near", sys.executable, "-m", "ots", "doctor", "--calibrate")
    validity = uploaded(routed)
    codes = [finding["code"] for finding in validity["findings"]]
    assert codes == ["link_limited"]
    assert validity["grade"] == "high"
    figures = validity["findings"][0]["evidence"]
    assert figures["sender_busy_seconds"] > 0.9 * figures["sender_seconds"]


def test_without_a_bottleneck_the_link_is_not_blamed(routed: Lab) -> None:
    """Two namespaces on one machine: what limits them is the machine."""
    validity = uploaded(routed)
    assert "link_limited" not in [finding["code"] for finding in validity["findings"]]
    assert validity["grade"] != "high"
