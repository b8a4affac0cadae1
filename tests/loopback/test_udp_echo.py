"""udp_echo against our responder: itself, through a relay that keeps books, and beside irtt.

Published tolerance: on loopback, ots and irtt agree in the median round trip to 150 µs; irtt's client and
server read their clocks in user space, ots takes the kernel's stamps and is therefore the lower of the two.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from ots.probes.udp_echo import UDPEcho
from ots.server.peers import udp_echo
from ots.server.peers.process import Peers
from tests.peers.require import require
from tests.recording import Recording, record
from tests.udp_relay import Way, relay

QUICK = {"count": 40, "interval": 0.005, "timeout": 0.3}
TOLERANCE = 150e-6
TRIES = 3


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A responder in this process."""
    peer = await udp_echo.start("127.0.0.1")
    yield peer.port
    await peer.close()


def value(recording: Recording, key: str, **labels: str) -> float | None:
    found = recording.metric(f"udp_echo_{key}", **labels).stats["value"]
    assert found is None or isinstance(found, int | float)
    return found


def median(recording: Recording, key: str, **labels: str) -> float:
    found = recording.metric(f"udp_echo_{key}", **labels).stats["median"]
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_every_request_is_answered(host: str) -> None:
    """Round trips by kernel stamps, nothing lost or doubled, and one clock for both ends on one machine."""
    peer = await udp_echo.start(host)
    recording = await record(
        UDPEcho(), f"[{host}]:{peer.port}" if ":" in host else f"{host}:{peer.port}", QUICK
    )
    await peer.close()
    attempt = recording.only
    assert attempt.error is None
    assert attempt.method["timestamp_source"] == "kernel"
    assert attempt.method["clocks"] == "same"
    assert attempt.method["ip_bytes"] == 64 + 8 + (40 if ":" in host else 20)
    assert value(recording, "replies_received") == 40
    assert 0 < median(recording, "rtt_seconds") < 0.002
    for way in ("up", "down"):
        assert value(recording, "ow_loss_ratio", direction=way) == 0
        assert value(recording, "duplicates", direction=way) == 0
        assert 0 <= median(recording, "owd_seconds", direction=way) < 0.002
    total = sum(median(recording, "owd_seconds", direction=way) for way in ("up", "down"))
    assert total == pytest.approx(median(recording, "rtt_seconds"), abs=100e-6)


async def test_losses_and_copies_of_each_way_are_those_of_the_relays_books(port: int) -> None:
    """Each lost packet is placed on its way, each copy counted on its own, packet for packet."""
    up = Way(lose=lambda n: n % 7 == 3, copy=lambda n: n % 10 == 0)
    down = Way(lose=lambda n: n in (5, 6, 8), copy=lambda n: n == 12)
    async with relay(port, up, down) as between:
        recording = await record(UDPEcho(), f"127.0.0.1:{between.port}", QUICK)
    lost_up, lost_down = len(up.lost), len(down.lost)
    assert (lost_up, lost_down) == (6, 3)
    assert value(recording, "packet_loss_ratio") == (lost_up + lost_down) / 40
    assert value(recording, "ow_loss_ratio", direction="up") == lost_up / 40
    assert value(recording, "ow_loss_ratio", direction="down") == lost_down / (40 - lost_up)
    assert value(recording, "duplicates", direction="up") == len(up.copied) == 3
    assert value(recording, "duplicates", direction="down") == len(down.copied) == 1
    places = recording.metric("udp_echo_lost_at")
    assert places.stats["histogram"] == {"up": 6, "down": 3}


async def test_delay_and_order_of_each_way(port: int) -> None:
    """The slower way is told, so is the one that mixes packets; jitter is the jittering way's."""
    up = Way(delay=lambda n: 0.03)
    down = Way(delay=lambda n: 0.012 if n % 8 == 4 else 0.001)
    async with relay(port, up, down) as between:
        recording = await record(UDPEcho(), f"127.0.0.1:{between.port}", QUICK)
    assert median(recording, "owd_seconds", direction="up") == pytest.approx(0.030, abs=0.006)
    assert median(recording, "owd_seconds", direction="down") < 0.008
    assert median(recording, "owd_difference_seconds") == pytest.approx(0.029, abs=0.008)
    assert value(recording, "reordered_ratio", direction="up") == 0
    assert value(recording, "reordered_ratio", direction="down") == pytest.approx(5 / 40, abs=0.03)
    jitters = [value(recording, "ow_jitter_seconds", direction=way) for way in ("up", "down")]
    assert jitters[0] is not None and jitters[1] is not None and jitters[1] > jitters[0]


async def test_a_reply_after_the_timeout_is_lost_and_late(port: int) -> None:
    """It counts as loss, on neither way, and its round trip is told."""
    down = Way(delay=lambda n: 0.15 if n == 3 else 0.0)
    async with relay(port, down=down) as between:
        params = {**QUICK, "timeout": 0.1}
        recording = await record(UDPEcho(), f"127.0.0.1:{between.port}", params)
    assert value(recording, "packet_loss_ratio") == 1 / 40
    assert value(recording, "ow_loss_ratio", direction="down") == 0
    assert recording.only.method["late_replies"] == 1
    assert recording.metric("udp_echo_lost_at").stats["histogram"] == {"late": 1}


async def test_without_the_responders_report_the_replies_windows_tell(port: int) -> None:
    """What a later reply's window shows is known; what none shows makes the one-way figures null."""
    up, down = Way(lose=lambda n: n == 39), Way(lose=lambda n: n == 10)

    def cut(sequence: int) -> float:
        up.control = False
        return 0.0

    down.delay = cut
    async with relay(port, up, down) as between:
        params = {**QUICK, "connect_timeout": 0.2}
        recording = await record(UDPEcho(), f"127.0.0.1:{between.port}", params)
    assert recording.metric("udp_echo_lost_at").stats["histogram"] == {"down": 1, "unknown": 1}
    metric = recording.metric("udp_echo_ow_loss_ratio", direction="up")
    assert (metric.stats["value"], metric.nulls["stats.value"]) == (None, "not_told")
    assert value(recording, "packet_loss_ratio") == 2 / 40


@pytest.mark.parametrize(
    ("here", "there", "error"),
    [
        ("s3same", "s3same", None),
        ("s3same", "s3other", ("auth", "login", "KEY")),
        (None, "s3other", ("auth", "login", "KEY")),
        ("s3same", None, ("auth", "login", "KEY")),
    ],
)
async def test_a_shared_key(here: str | None, there: str | None, error: tuple[str, ...] | None) -> None:
    """Only who has the responder's key is served; the key stands nowhere in the result."""
    peer = await udp_echo.start("127.0.0.1", key=there)
    reference = "${secret:echo}"
    params = {**QUICK, "key": reference if here else None}
    secrets = {reference: here} if here else {}
    recording = await record(UDPEcho(), f"127.0.0.1:{peer.port}", params, secrets=secrets)
    await peer.close()
    failure = recording.only.error
    assert (failure and (failure.class_, failure.phase, failure.code)) == error
    assert "s3" not in repr((recording.attempts, recording.log.lines))
    if error is None:
        assert recording.only.method["authenticated"] is True
        assert value(recording, "replies_received") == 40


def irtt(port: int) -> tuple[float, int, int]:
    """Median round trip in seconds, packets lost upwards and downwards, as irtt's client says."""
    done = subprocess.run(
        [require("irtt"), "client", "-Q", "-o", "-", "-d", "400ms", "-i", "10ms", "-l", "64"]
        + ["--wait=200ms", f"127.0.0.1:{port}"],
        capture_output=True,
        check=True,
        timeout=30,
    )
    stats = json.loads(done.stdout)["stats"]
    return stats["rtt"]["median"] / 1e9, stats["upstream_loss_percent"], stats["downstream_loss_percent"]


@pytest.fixture
def irtt_port() -> Iterator[int]:
    """irtt's own server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [require("irtt"), "server", "-b", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        while "starting IPv4 listener" not in server.stdout.readline():
            assert server.poll() is None
        yield port
    finally:
        server.terminate()
        server.communicate()


async def test_irtt_agrees(irtt_port: int, peers: Peers) -> None:
    """The same packets against each one's own server give the same loss, and the same round trip."""
    gaps = []
    for _ in range(TRIES):
        theirs, up, down = await asyncio.to_thread(irtt, irtt_port)
        recording = await record(UDPEcho(), peers.authority("udp_echo"), {"count": 40, "interval": 0.01})
        assert up == down == value(recording, "packet_loss_ratio") == 0
        gaps.append(median(recording, "rtt_seconds") - theirs)
        if abs(gaps[-1]) <= TOLERANCE:
            break
    assert min(map(abs, gaps)) <= TOLERANCE, gaps
