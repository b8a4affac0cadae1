"""speedtest against real servers on this machine: is what it says what happened?"""

from __future__ import annotations

from typing import Any

import pytest

from ots.probes.speedtest import Speedtest
from ots.server.peers.process import Peers
from tests.peers.nginx import Nginx
from tests.recording import Recording, record
from tests.slot_server import SlotServer, slot_server

PROBE = Speedtest()

BRIEF: dict[str, Any] = {"duration": 1.0, "count": 3, "interval": 0.0}


async def measure(target: str, **params: Any) -> Recording:
    return await record(PROBE, target, {**BRIEF, **params})


def failure(recording: Recording) -> tuple[str, str, str]:
    error = recording.only.error
    assert error is not None
    return error.class_, error.phase, error.code


@pytest.mark.slow
async def test_a_server_without_places_is_measured_both_ways(peers: Peers) -> None:
    """Our own peer: both directions, at the server's own count of the upload, and the method of each."""
    made = await measure(f"{peers.url}/", count=20)
    assert made.only.error is None
    for key in ("speed_download_bits_per_second", "speed_upload_bits_per_second"):
        assert made.metric(key).stats["median"]
    rtts = made.only.values("speed_idle_rtt_seconds")
    assert len(rtts) == 20 and all(0 < float(rtt or 0) < 1 for rtt in rtts)
    up = made.metric("speed_upload_bits_per_second").method
    assert up["counted_at"] == "peer" and up["protocol"] == "ots" and up["stop_reason"] == "duration"
    assert up["speed_method"] == "steady_mean" and up["warmup"] == "auto"
    for direction in ("down", "up"):
        used = made.metric("speed_bytes_used", direction=direction)
        assert isinstance(used.stats["value"], int) and used.stats["value"] > 1_000_000
        assert made.metric("speed_confidence", direction=direction).stats["value"] in (
            "low",
            "medium",
            "high",
        )
    assert made.data.received_bytes >= 1_000_000 and made.data.sent_bytes >= 1_000_000


@pytest.mark.parametrize(("direction", "other"), [("down", "upload"), ("up", "download")])
async def test_one_direction_alone(peers: Peers, direction: str, other: str) -> None:
    """The other one has no figure at all, not even an empty one."""
    made = await measure(f"{peers.url}/", directions=direction, connections=2)
    assert made.only.error is None
    assert not [metric.key for metric in made.metrics() if other in metric.key]
    assert made.metric("speed_connections_used", direction=direction).stats["value"] == 2


async def test_a_place_is_taken_shown_and_given_back() -> None:
    """Every request of the test carries the token, and nobody holds it afterwards."""
    async with slot_server() as server:
        made = await measure(server.url, directions="down")
    assert made.only.error is None
    assert server.given == server.returned == ["place-0"]
    assert server.without_place == 0
    assert made.only.method["slot"] is True and made.only.method["server_name"] == "test"


async def test_a_busy_server_is_waited_for() -> None:
    """As long as it asks, within the limit."""
    async with slot_server(SlotServer(busy_for=2, wait=0.15)) as server:
        made = await measure(server.url, directions="down")
    assert made.only.error is None
    assert 0.3 <= float(made.only.method["slot_wait"] or 0) < 2


async def test_a_server_that_stays_busy_is_no_result() -> None:
    """It asks for more patience than there is: rejected, BUSY, and no rate at all."""
    async with slot_server(SlotServer(busy_for=1000, wait=5.0)) as server:
        made = await measure(server.url, busy_wait=0.2)
    assert failure(made) == ("rejected", "request", "BUSY")
    assert not made.metrics()


async def test_a_cancelled_test_gives_its_place_back() -> None:
    """Ctrl-C in the middle of the load: what was measured is kept, and the place is free."""
    async with slot_server() as server:
        made = await record(PROBE, server.url, {**BRIEF, "duration": 30.0}, cancel_after=1.5)
        assert server.returned == server.given == ["place-0"]
    assert failure(made)[0] == "cancelled"
    down = made.metric("speed_download_bits_per_second")
    assert down.stats["median"] and down.method["stop_reason"] == "cancelled"


async def test_the_data_budget_ends_it_with_what_was_measured(peers: Peers) -> None:
    """400 MB are gone in the middle of the download: its rate stands, and nothing is uploaded."""
    made = await record(PROBE, f"{peers.url}/", {**BRIEF, "duration": 30.0}, max_bytes=400_000_000)
    assert failure(made)[0] == "resource"
    assert made.metric("speed_download_bits_per_second").method["stop_reason"] == "data_budget"
    assert made.data.sent_bytes == 0
    assert made.data.received_bytes < 600_000_000


async def test_a_server_that_only_has_files_is_no_speed_test(nginx: Nginx) -> None:
    """It answers, but speaks none of the protocols: skipped as unsupported, with a remedy."""
    made = await measure(f"{nginx.url}/")
    assert failure(made) == ("unsupported", "first_byte", "UNKNOWN_PROTOCOL")
    assert made.only.outcome == "skipped" and not made.metrics()


async def test_a_closed_port_is_refused(unused_tcp_port: int) -> None:
    """No server, no figure."""
    made = await measure(f"http://127.0.0.1:{unused_tcp_port}/")
    assert failure(made) == ("refused", "connect", "ECONNREFUSED")
    assert not made.metrics()
