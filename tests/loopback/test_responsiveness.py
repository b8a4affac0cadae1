"""responsiveness against our own server and nginx; tests/lab has it on a link whose queue is known."""

from __future__ import annotations

import pytest

from ots.model.metric import Metric
from ots.probes.responsiveness import Responsiveness
from ots.server.peers.process import Peers
from ots.stats.responsiveness import rpm
from tests.peers.authority import Authority
from tests.peers.nginx import Nginx
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
