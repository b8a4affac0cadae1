"""Latency under load before a queue that is watched: a router's token bucket of 20 Mbit/s that holds 100 ms.

The truth is the queue's own backlog in bytes, read some thirty times a second, over the rate. Published
tolerance: 5 % of the queue's size.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ping_lab import Lab, lab

RATE = 20_000_000
QUEUE = 0.1
FAR, HTTP, ECHO = "10.9.1.1", 8080, 2112

pytestmark = [pytest.mark.netns, pytest.mark.slow]

DURING = f"""
ots: 1
id: during
version: 1
title: {{en: During}}
steps:
  - {{id: idle, probe: ping, target: {FAR}, params: {{count: 20, interval: 10 ms, timeout: 1 s}}}}
  - id: down
    probe: http_download
    target: "http://{FAR}:{HTTP}/speed/down"
    params: {{duration: 3 s, connections: 16, warmup: 1 s}}
  - id: loaded
    probe: ping
    target: {FAR}
    during: down
    params: {{count: 1000, interval: 20 ms, timeout: 1 s}}
  - id: echo
    probe: udp_echo
    target: "{FAR}:{ECHO}"
    during: down
    params: {{count: 1000, interval: 20 ms, timeout: 1 s}}
"""


@pytest.fixture
def bottleneck() -> Iterator[Lab]:
    """far - router - near; the queue is the router's, for TCP keeps that of its own machine short."""
    with lab() as built:
        built.host("far")
        built.host("router", forward=True)
        built.host("near")
        built.wire("far", f"{FAR}/24", "router", "10.9.1.2/24")
        built.wire("router", "10.9.2.1/24", "near", "10.9.2.2/24")
        built.run("far", "ip", "route", "add", "default", "via", "10.9.1.2")
        built.run("near", "ip", "route", "add", "default", "via", "10.9.2.1")
        built.run(
            *("router", "tc", "qdisc", "add", "dev", "to-near", "root", "tbf", "rate", f"{RATE}bit"),
            *("burst", "3000", "limit", str(int(RATE / 8 * QUEUE))),
        )
        command = [sys.executable, "-m", "ots.server.peers", "--host", FAR, "--stay"]
        command += ["--http-port", str(HTTP), "--udp-echo-port", str(ECHO)]
        child = subprocess.Popen([*built.inside("far"), *command], stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None and child.stdout.readline()
            yield built
        finally:
            child.terminate()
            child.communicate()


@contextmanager
def watched(built: Lab) -> Iterator[list[tuple[float, float]]]:
    """Fills a list with (monotonic time, seconds that the queue holds) while the context is open."""
    seen: list[tuple[float, float]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.03):
            text = built.run("router", "tc", "-s", "-j", "qdisc", "show", "dev", "to-near")
            seen.append((time.monotonic(), 8 * json.loads(text)[0]["backlog"] / RATE))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def ots(built: Lab, *arguments: str) -> dict[str, Any]:
    document = json.loads(built.run("near", sys.executable, "-m", "ots", *arguments, "--json"))
    assert isinstance(document, dict)
    return document


def median(step: dict[str, Any], key: str, **labels: str) -> float:
    (found,) = [
        metric
        for metric in step["metrics"]
        if metric["key"] == key and labels.items() <= metric["labels"].items()
    ]
    return float(found["stats"]["median"])


def test_ping_and_udp_echo_see_the_queue_of_a_download(bottleneck: Lab, tmp_path: Path) -> None:
    """Both grow by the queue's backlog in working conditions; udp_echo says that it is on the way down."""
    case = tmp_path / "during.yaml"
    case.write_text(DURING)
    with watched(bottleneck) as seen:
        report = ots(bottleneck, "run", str(case))
    steps = {step["id"]: step for step in report["steps"]}
    load = steps["down"]["attempts"][0]
    began = next(mark["t"] for mark in load["triggers"] if mark["name"] == "first_content") + 1
    ended = next(mark["t"] for mark in load["triggers"] if mark["name"] == "completed")
    zero = report["run"]["clock"]["monotonic"]
    truth = statistics.median(held for t, held in seen if began <= t - zero < ended)
    assert truth > 0.6 * QUEUE, "the queue was full"
    grown = median(steps["loaded"], "load_rtt_increase_seconds", statistic="median")
    assert grown == pytest.approx(truth, abs=0.05 * QUEUE)
    echoed = median(steps["echo"], "load_rtt_seconds")
    assert echoed == pytest.approx(truth, abs=0.05 * QUEUE)
    assert median(steps["echo"], "udp_echo_owd_seconds", direction="down") > 0.6 * QUEUE
    assert median(steps["echo"], "udp_echo_owd_seconds", direction="up") < 0.005


def test_responsiveness_sees_the_queue_and_the_rate(bottleneck: Lab) -> None:
    """New connections wait as long as the queue says, and the goodput is what the rate leaves."""
    arguments = ["--directions", "down", "--interval", "500ms", "--duration", "3s", "--max-connections", "8"]
    with watched(bottleneck) as seen:
        url = f"http://{FAR}:{HTTP}/"
        report = ots(bottleneck, "responsiveness", url, *arguments, "--count", "5")
    (step,) = report["steps"]
    loaded = [
        t
        for series in step["series"]
        if series["key"] == "load_foreign_tcp_seconds" and "phase" not in series["labels"]
        for t in series["t"]
    ]
    zero = report["run"]["clock"]["monotonic"]
    # What the queue held when each of the round trips was asked for: it grows with every connection.
    truth = statistics.median(min(seen, key=lambda one: abs(one[0] - zero - t))[1] for t in loaded)
    grown = median(step, "load_rtt_increase_seconds", statistic="median")
    assert truth > 0.3 * QUEUE
    assert grown == pytest.approx(truth, abs=0.1 * QUEUE)
    # 1448 of 1514 bytes of a frame are content (the bucket counts the Ethernet header).
    ceiling = RATE * 1448 / 1514
    assert 0.85 * ceiling < median(step, "load_goodput_bits_per_second") < 1.01 * ceiling
