"""The guard while a probe sends: what is too fast waits or is refused, what is too much ends the attempt."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ots.policy.aiming import Machine
from ots.policy.rule import Rule
from ots.registry import kinds
from ots.server.peers.process import Peers
from ots.session.guard import Pace, Watch
from ots.session.usage import Usage, UsageError
from tests.recording import Recording, record


def watch(**limits: Any) -> Watch:
    """Limits that a person has set for what was planned here: addresses are free, amounts are not."""
    return Watch(Rule(**limits), Machine(), remote=False, monotonic=time.monotonic)


async def run(kind: str, target: str | list[str], params: dict[str, Any], over: Watch) -> Recording:
    return await record(kinds()[kind], target, params, guard=over.over(kind))


def refused(recording: Recording) -> str:
    error = recording.attempts[0].error
    assert error is not None and (error.code, error.class_) == ("POLICY", "permission"), error
    return error.message


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("ping", {"count": 20, "interval": 0.005}),
        ("udp_echo", {"count": 20, "interval": 0.005}),
        ("trace", {"count": 20, "interval": 0.01, "max_hops": 1}),
        ("tcp_connect", {"count": 20, "interval": 0.005}),
        ("tls_handshake", {"count": 20, "interval": 0.005, "verify": False}),
        ("dns_lookup", {"count": 20, "interval": 0.005}),
    ],
)
async def test_a_run_sends_no_packet_more_than_it_may(
    peers: Peers, kind: str, params: dict[str, Any]
) -> None:
    if kind == "dns_lookup":
        params = {**params, "server": peers.authority("dns")}
    places = {"udp_echo": "udp_echo", "tcp_connect": "http", "tls_handshake": "https"}
    target = peers.authority(places[kind]) if kind in places else "127.0.0.1"
    target = "www.ots.test" if kind == "dns_lookup" else target
    over = watch(packets=7)
    began = time.monotonic()
    recording = await run(kind, target, params, over)
    assert "more than the 7 packets" in refused(recording)
    assert over.sent == 7 and time.monotonic() - began < 5
    assert sum(map(len, recording.attempts[0].series.values())) > 0


@pytest.mark.parametrize("kind", ["ping", "udp_echo"])
async def test_a_stream_that_is_too_fast_waits_for_room(peers: Peers, kind: str) -> None:
    target = peers.authority("udp_echo") if kind == "udp_echo" else "127.0.0.1"
    began = time.monotonic()
    recording = await run(kind, target, {"count": 30, "interval": 0.005}, watch(packets_per_second=25))
    assert recording.attempts[0].outcome == "success"
    assert time.monotonic() - began >= 1
    assert "schedule_slip" in recording.attempts[0].flags


async def test_connections_that_are_too_many_at_once_are_refused(peers: Peers) -> None:
    found = await run(
        "http_download", f"{peers.url}/speed/down", {"connections": 4, "size": 100_000_000}, watch(flows=3)
    )
    assert "more than 3 connections at once" in refused(found)
    assert (
        await run(
            "http_download", f"{peers.url}/speed/down", {"connections": 3, "size": 1_000_000}, watch(flows=3)
        )
    ).attempts[0].outcome == "success"


async def test_what_nobody_can_watch_is_refused(peers: Peers) -> None:
    found = await run("speedtest", peers.url, {"protocol": "speedtest_cli"}, watch(packets=1000))
    assert "speedtest-cli makes connections by itself" in refused(found)
    by_program = {"socket": "system", "count": 20, "interval": 0.05}
    assert "20 packets a second" in refused(
        await run("ping", "127.0.0.1", by_program, watch(packets_per_second=10))
    )


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([0.5, 1.0, 3.0, 10.0]),
    gaps=st.lists(st.floats(0, 2, allow_subnormal=False), min_size=1, max_size=200),
)
def test_a_pace_holds_in_every_second(rate: float, gaps: list[float]) -> None:
    pace, now, booked = Pace(rate), 0.0, []
    for gap in gaps:
        now += gap
        if pace.room(now, 1):
            pace.book(now, 1)
            booked.append(now)
    span, most = max(1.0, 1 / rate), max(1, int(rate))
    assert all(sum(start <= t < start + span * 0.999 for t in booked) <= most for start in booked)


def test_use_is_remembered_and_a_damaged_record_is_set_aside(tmp_path: Path) -> None:
    usage = Usage(tmp_path)
    assert usage.meet("8.8.8.8", "one", 1000.0) and usage.meet("8.8.8.8", "one", 1001.0)
    assert not usage.meet("8.8.8.8", "two", 1059.0)
    usage.moved("remote", 1000.0, 5)
    usage.close()
    usage = Usage(tmp_path)
    assert not usage.meet("8.8.8.8", "two", 1060.0)
    assert usage.meet("8.8.8.8", "two", 1061.5)
    assert usage.used("remote", 1000.0).bytes_today == 5
    assert usage.used("remote", 90_000.0).bytes_today == 0
    usage.close()
    (tmp_path / "policy-usage.db").write_bytes(b"no database" * 1000)
    usage = Usage(tmp_path)
    assert usage.meet("8.8.8.8", "three", 1062.0) and (tmp_path / "policy-usage.damaged").exists()
    usage.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        Usage(tmp_path / "file")
