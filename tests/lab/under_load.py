"""Round trips while a download fills the link's queue, against what the same packets met in it."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.lab.delays import requests, true_round_trips
from tests.lab.link import EmulatedLink, link
from tests.lab.row import Row
from tests.lab.servers import servers
from tests.peers.programs import find

_RATE, _QUEUE = 10e6, 0.1
_SETTLED = 1.5
"""Seconds of the load that are left out: the queue is filling."""

_CASE = """
ots: 1
id: loaded
version: 1
title: {{en: Loaded}}
steps:
  - {{id: idle, probe: ping, target: {host}, params: {{count: 20, interval: 20 ms, timeout: 1 s}}}}
  - id: load
    probe: {kind}
    target: "{url}"
    params: {{duration: 7 s, connections: 8, warmup: 1500 ms}}
  - id: loaded
    probe: ping
    target: {host}
    during: load
    params: {{count: 1000, interval: 20 ms, timeout: 1 s}}
"""
_PING_LINE = re.compile(r"\[([\d.]+)\].*time=([\d.]+) ms")


def under_load() -> Iterator[Row]:
    """Both ways, beside ping at the same time."""
    for kind, words in (("http_download", "down"), ("http_upload", "up")):
        with link(rate_down=_RATE, rate_up=_RATE, delay=0.005, queue=int(_RATE / 8 * _QUEUE)) as ends:
            ots, truth, said = _measure(ends, kind)
        yield Row(
            "Latency under load",
            f"10 Mbit/s, 5 ms one way, queue of 100 ms filled {words}",
            "median round trip",
            "ms",
            truth * 1e3,
            ots * 1e3,
            "ping",
            said * 1e3,
            tolerance=0.05 * _QUEUE * 1e3,
        )


def _measure(ends: EmulatedLink, kind: str) -> tuple[float, float, float]:
    """OTS's median, the link's own over the same time, and that of ping."""
    with servers(ends) as far, tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case.yaml"
        url = far.http("/speed/down" if kind == "http_download" else "/speed/up")
        case.write_text(_CASE.format(host=ends.far_address, kind=kind, url=url))
        heard: list[tuple[float, float]] = []
        listener = threading.Thread(target=_ping, args=(ends, heard))
        listener.start()
        done = subprocess.run(
            [*ends.prefix, sys.executable, "-m", "ots", "run", str(case), "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        listener.join()
        report: dict[str, Any] = json.loads(done.stdout)
        fates = ends.fates()
    steps = {step["id"]: step for step in report["steps"]}
    zero = report["run"]["clock"]["monotonic"]
    marks = {mark["name"]: mark["t"] for mark in steps["load"]["attempts"][0]["triggers"]}
    began = zero + min(marks.values()) + _SETTLED
    ended = zero + max(marks.values())
    met = [
        rtt
        for request, rtt in zip(requests(fates), true_round_trips(fates), strict=True)
        if rtt is not None and began <= request.arrived <= ended
    ]
    (metric,) = [
        each
        for each in steps["loaded"]["metrics"]
        if each["key"] == "load_rtt_seconds" and each["stats"].get("median") is not None
    ]
    said = statistics.median(rtt for at, rtt in heard if began <= at - rtt <= ended)
    return float(metric["stats"]["median"]), statistics.median(met), said


def _ping(ends: EmulatedLink, heard: list[tuple[float, float]]) -> None:
    """Fills a list with (monotonic time of arrival, round trip) for as long as the run takes."""
    done = subprocess.run(
        [*ends.prefix, find("ping"), "-n", "-D", "-i", "0.02", "-w", "10", ends.far_address],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    offset = time.time() - time.monotonic()
    heard += [(float(at) - offset, float(rtt) / 1e3) for at, rtt in _PING_LINE.findall(done.stdout)]
