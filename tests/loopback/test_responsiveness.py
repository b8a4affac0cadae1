"""responsiveness against our own server, nginx, and over a link whose queue is known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ots.model.metric import Metric
from ots.probes.responsiveness import Responsiveness
from ots.server.peers.process import Peers
from ots.stats.responsiveness import rpm
from tests.peers.authority import Authority
from tests.peers.nginx import Nginx
from tests.ping_lab import Lab, lab
from tests.recording import record

QUICK = {"interval": 0.2, "duration": 1.0, "count": 5, "max_connections": 3}


def number(metric: Metric, stat: str = "median") -> float:
    found = metric.stats[stat]
    assert isinstance(found, int | float)
    return float(found)


async def test_both_directions_are_loaded_and_timed(peers: Peers) -> None:
    """Every figure of both ways; the RPM is the formula's over the samples that stand in the report."""
    recording = await record(Responsiveness(), f"{peers.url}/", QUICK)
    attempt = recording.only
    assert attempt.error is None
    assert (attempt.method["rpm_draft"], attempt.method["tls"]) == ("09", False)
    for way in ("down", "up"):
        assert number(recording.metric("load_goodput_bits_per_second", direction=way)) > 1e8
        samples = [
            [float(v) for v in attempt.values(f"load_{part}_seconds", direction=way) if v is not None]
            for part in ("foreign_tcp", "foreign_http", "self_http")
        ]
        again = rpm(samples[0], [], samples[1], samples[2])
        assert number(recording.metric("load_responsiveness_rpm", direction=way)) == pytest.approx(again)
        assert recording.metric("load_confidence", direction=way).stats["mode"] in ("medium", "high")
        assert recording.metric("load_bufferbloat_grade", direction=way).stats["mode"] == "A+"
        assert attempt.samples("load_foreign_tcp_seconds", direction=way, phase="ramp")
        assert attempt.method[f"{way}_stop_reason"] in ("time", "stable")
        assert attempt.method[f"{way}_connection_errors"] == 0
    assert recording.data.received_bytes > 1e7 and recording.data.sent_bytes > 1e7
    assert recording.metric("load_idle_rtt_seconds").n == 5


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_foreign_server_with_finite_objects(nginx: Nginx, ca: Authority, tls: bool) -> None:
    """nginx: a download that ends is followed by the next; over https the handshake is a part of its own."""
    params = {**QUICK, "directions": "down", "download": "/1m", "small": "/1k", "max_connections": 1}
    url = nginx.tls_url if tls else nginx.url
    recording = await record(Responsiveness(), f"{url}/", {**params, "ca_file": str(ca.root)})
    assert recording.only.error is None
    assert recording.only.method["down_connection_errors"] == 0
    assert recording.data.received_bytes > 2_000_000
    assert number(recording.metric("load_responsiveness_rpm", direction="down")) > 0
    handshakes = recording.only.values("load_foreign_tls_seconds", direction="down")
    assert bool(handshakes) == tls
    if tls:
        shaken = number(recording.metric("load_foreign_tls_seconds", direction="down"))
        assert shaken > number(recording.metric("load_foreign_tcp_seconds", direction="down"))


RATE = 20_000_000
QUEUE = 0.1
"""A bottleneck of 20 Mbit/s with a queue of 100 ms, in seconds."""


DURING = """
ots: 1
id: during
version: 1
title: {en: During}
steps:
  - {id: idle, probe: ping, target: 10.9.1.1, params: {count: 20, interval: 20 ms, timeout: 1 s}}
  - id: down
    probe: http_download
    target: "http://10.9.1.1:8080/speed/down"
    params: {duration: 3 s, connections: 16, warmup: 1 s}
  - id: loaded
    probe: ping
    target: 10.9.1.1
    during: down
    params: {count: 1000, interval: 20 ms, timeout: 1 s}
"""


@pytest.fixture
def bottleneck() -> Iterator[Lab]:
    with lab() as built:
        yield built


@pytest.mark.netns
@pytest.mark.slow
def test_the_queue_of_a_known_link_is_found(bottleneck: Lab, tmp_path: Path) -> None:
    """A full queue of 100 ms before 20 Mbit/s: so much the round trips grow, and so much is the goodput."""
    bottleneck.host("far")
    # The queue is a router's: TCP keeps that of its own machine short.
    bottleneck.host("router", forward=True)
    bottleneck.host("near")
    bottleneck.wire("far", "10.9.1.1/24", "router", "10.9.1.2/24")
    bottleneck.wire("router", "10.9.2.1/24", "near", "10.9.2.2/24")
    bottleneck.run("far", "ip", "route", "add", "default", "via", "10.9.1.2")
    bottleneck.run("near", "ip", "route", "add", "default", "via", "10.9.2.1")
    bottleneck.run(
        *("router", "tc", "qdisc", "add", "dev", "to-near", "root", "tbf", "rate", f"{RATE}bit"),
        *("burst", "3000", "limit", str(int(RATE / 8 * QUEUE))),
    )
    folder = tmp_path / "cases"
    folder.mkdir()
    case = folder / "during.yaml"
    case.write_text(DURING)
    command = [
        sys.executable,
        "-m",
        "ots.server.peers",
        "--host",
        "10.9.1.1",
        "--http-port",
        "8080",
        "--stay",
    ]
    child = subprocess.Popen([*bottleneck.inside("far"), *command], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline()
        arguments = ["responsiveness", "http://10.9.1.1:8080/", "--json", "--directions", "down"]
        arguments += ["--interval", "500ms", "--duration", "3s", "--max-connections", "4", "--count", "5"]
        document = json.loads(bottleneck.run("near", sys.executable, "-m", "ots", *arguments))
        pinged = json.loads(bottleneck.run("near", sys.executable, "-m", "ots", "run", str(case), "--json"))
    finally:
        child.terminate()
        child.communicate()
    metrics = {
        (metric["key"], metric["labels"].get("statistic")): metric["stats"]
        for metric in document["steps"][0]["metrics"]
    }
    last = pinged["steps"][2]["metrics"]
    seen = {metric["key"]: metric for metric in last if metric["labels"].get("statistic") != "p95"}
    # Sixteen connections hardly ever yield together, so the queue stays full.
    assert seen["load_rtt_increase_seconds"]["stats"]["median"] == pytest.approx(QUEUE, rel=0.1)
    assert seen["load_bufferbloat_grade"]["stats"]["mode"] == "C"
    assert 60 < seen["load_rtt_seconds"]["n"] <= 110 < seen["ping_rtt_seconds"]["n"]
    growth = metrics["load_rtt_increase_seconds", "median"]["median"]
    # One to four of them do yield.
    assert 0.3 * QUEUE < growth < 1.05 * QUEUE
    assert metrics["load_bufferbloat_grade", None]["mode"] in ("B", "C")
    goodput = metrics["load_goodput_bits_per_second", None]["median"]
    # 1448 of 1514 bytes of a frame are content (tbf counts the Ethernet header); lost ones are sent again.
    ceiling = RATE * 1448 / 1514
    assert 0.85 * ceiling < goodput < 1.01 * ceiling
