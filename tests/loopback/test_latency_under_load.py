"""Steps that run `during` a transfer: ping, udp_echo and HTTP get figures of working conditions only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ots.server.peers.process import Peers

CASE = """
ots: 1
id: during
version: 1
title: {en: During}
vars: {server: "", host: "", udp_echo: ""}
steps:
  - {id: idle_ping, probe: ping, target: "${host}", params: {count: 10, interval: 10 ms, timeout: 1 s}}
  - {id: idle_echo, probe: udp_echo, target: "${udp_echo}", params: {count: 10, interval: 10 ms}}
  - {id: idle_http, probe: http_download, target: "${server}/pages/", params: {size: 1 kB}}
  - {id: up, probe: http_upload, target: "${server}/speed/up", params: {duration: 1500 ms, warmup: 500 ms}}
  - {id: ping, probe: ping, target: "${host}", during: up, params: {count: 999, interval: 10 ms}}
  - id: echo
    probe: udp_echo
    target: "${udp_echo}"
    during: up
    params: {count: 200, interval: 5 ms, timeout: 1 s}
    thresholds:
      - {metric: load_rtt_increase_seconds, fail: "< 1 s"}
      - {metric: load_loss_ratio, fail: "<= 20 %"}
  - id: http
    probe: http_download
    target: "${server}/pages/"
    during: up
    repeat: 9
    pause: 100 ms
    params: {size: 1 kB}
  - {id: never, probe: tcp_connect, target: "127.0.0.1:1", during: up, repeat: 2}
"""


def test_figures_under_load_are_those_of_working_conditions(peers: Peers, tmp_path: Path) -> None:
    """Each companion has them, of fewer samples than it took; one that never got through has loss alone."""
    path = tmp_path / "during.yaml"
    path.write_text(CASE)
    known = peers.variables()
    variables = [f"{name}={known[name]}" for name in ("server", "host", "udp_echo")]
    done = subprocess.run(
        [sys.executable, "-m", "ots", "run", str(path), "--json"]
        + [word for variable in variables for word in ("--var", variable)],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    steps: dict[str, Any] = {step["id"]: step for step in report["steps"]}
    for name, own in (
        ("ping", "ping_rtt_seconds"),
        ("echo", "udp_echo_rtt_seconds"),
        ("http", "http_download_time_to_first_byte_seconds"),
    ):
        metrics = {
            (metric["key"], metric["labels"].get("statistic")): metric for metric in steps[name]["metrics"]
        }
        loaded = metrics["load_rtt_seconds", None]
        assert loaded["labels"]["direction"] == "up"
        assert 0 < loaded["n_valid"] < metrics[own, None]["n"], name
        growth = metrics["load_rtt_increase_seconds", "median"]
        assert growth["stats"]["median"] is not None
        assert metrics["load_bufferbloat_grade", None]["stats"]["mode"] in ("A+", "A", "B", "C")
    assert steps["echo"]["verdict"] == "pass"
    refused = {metric["key"]: metric for metric in steps["never"]["metrics"]}
    assert steps["never"]["outcome"] == "failure"
    assert refused.get("load_rtt_seconds", {"n_valid": 0})["n_valid"] == 0
