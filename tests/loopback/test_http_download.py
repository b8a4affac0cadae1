"""http_download against nginx, Caddy and our own peer: is it the right file, all of it, at the right rate?"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ots.netio.http.client import url_of
from ots.netio.transfer.watch import Watch
from ots.probes.http_download import HTTPDownload
from ots.server.peers.process import started
from tests.peers.caddy import Caddy
from tests.peers.nginx import Nginx
from tests.recording import Recording, record

PROBE = HTTPDownload()
KEY = "http_download"

SLOW_RATE = 8 * 250 * 1024
"""nginx's `/slow/`: 250 KiB/s for each connection, in pieces of 16 KiB."""

SLOW_TOLERANCE = 0.06
"""nginx waits in whole milliseconds after each piece, and its timer is late on a busy machine."""

CURL_TOLERANCE = 0.10
"""Of the mean rate of the same file, rate limited by the server."""

CURL_FIRST_BYTE = 0.05
"""Seconds by which times to first byte may differ on a busy machine."""


async def download(target: str, **params: Any) -> Recording:
    return await record(PROBE, target, params)


def value(recording: Recording, name: str) -> Any:
    """The one value recorded under a key."""
    (found,) = recording.only.values(f"{KEY}_{name}")
    return found


@pytest.mark.parametrize("connections", [1, 3])
async def test_whole_file_is_exact_to_the_byte(nginx: Nginx, connections: int) -> None:
    """Size, SHA-256 and volume of a file from nginx, on one and on several connections."""
    digest = hashlib.sha256((nginx.root / "1m").read_bytes()).hexdigest()
    made = await download(
        f"{nginx.url}/1m",
        whole=True,
        connections=connections,
        expect_size=1_000_000,
        expect_sha256=digest,
    )
    assert made.only.error is None
    assert value(made, "bytes_transferred") == 1_000_000 * connections
    assert value(made, "content_valid") is True
    assert value(made, "connections") == connections
    assert 1_000_000 * connections < value(made, "test_bytes") < 1_001_000 * connections
    assert made.only.method["stop_reason"] == "end_of_file"


async def test_header_bytes_are_what_the_server_sent(nginx: Nginx) -> None:
    """Test bytes are content and header, as curl counts them."""
    made = await download(f"{nginx.url}/1k", whole=True)
    seen = await curl(f"{nginx.url}/1k")
    assert value(made, "test_bytes") == seen["size_download"] + seen["size_header"]


async def test_caddy_gives_the_same(caddy: Caddy) -> None:
    """A second server, so that nothing is tuned to one."""
    made = await download(f"{caddy.url}/1m", whole=True, connections=2, expect_size=1_000_000)
    assert made.only.error is None
    assert value(made, "bytes_transferred") == 2_000_000


@pytest.mark.parametrize("peer", ["nginx", "caddy"])
async def test_tls_is_verified_against_the_authority_given(peer: str, request: pytest.FixtureRequest) -> None:
    """HTTPS with the right authority succeeds; handshake and version stand in the attempt."""
    server: Nginx | Caddy = request.getfixturevalue(peer)
    made = await download(
        f"{server.tls_url}/1m", whole=True, expect_size=1_000_000, ca_file=str(server.authority.root)
    )
    assert made.only.error is None
    triggers = made.only.triggers
    assert triggers["connected"] <= triggers["tls_start"] < triggers["tls_done"] <= triggers["request_sent"]
    assert made.only.method["tls"] is True
    assert str(made.only.method["tls_version"]).startswith("TLSv1.")


async def test_trigger_points_are_in_order(nginx: Nginx) -> None:
    """T0 … T6 ascend, and the times between them are the metrics."""
    made = await download(f"{nginx.url}/1m", whole=True)
    names = ["resolved", "connect_start", "connected", "request_sent", "first_content", "completed"]
    stamps = [made.only.triggers[name] for name in names]
    assert stamps == sorted(stamps)
    assert value(made, "transfer_seconds") == pytest.approx(
        made.only.triggers["completed"] - made.only.triggers["first_content"], abs=1e-6
    )


@pytest.mark.slow
async def test_rate_limited_by_the_server_is_the_rate_measured(nginx: Nginx) -> None:
    """What nginx lets through for each connection, times the connections, is what is measured."""
    made = await download(f"{nginx.url}/slow/big", duration=2.5, connections=2, warmup=0.5)
    assert made.only.error is None
    assert value(made, "throughput_bits_per_second") == pytest.approx(2 * SLOW_RATE, rel=SLOW_TOLERANCE)
    assert made.only.method["stop_reason"] == "duration"
    loaded = value(made, "full_loading_seconds")
    assert 2.0 < loaded < 2.8


@pytest.mark.slow
async def test_agrees_with_curl_on_a_rate_limited_file(nginx: Nginx) -> None:
    """Mean rate and time to first byte of the same file, within the tolerances above."""
    seen, made = await asyncio.gather(
        curl(f"{nginx.url}/slow/1m"), download(f"{nginx.url}/slow/1m", whole=True, warmup="none")
    )
    assert made.only.error is None
    assert value(made, "bytes_transferred") == seen["size_download"] == 1_000_000
    ours = 8 * 1_000_000 / (value(made, "transfer_seconds"))
    theirs = 8 * seen["size_download"] / (seen["time_total"] - seen["time_starttransfer"])
    assert ours == pytest.approx(theirs, rel=CURL_TOLERANCE)
    first = value(made, "time_to_first_byte_seconds")
    theirs_first = seen["time_starttransfer"] - seen["time_pretransfer"]
    assert first == pytest.approx(theirs_first, abs=CURL_FIRST_BYTE)


@pytest.mark.slow
async def test_time_to_first_byte_of_a_slow_server(nginx: Nginx) -> None:
    """A server that thinks for two seconds has a first byte after two seconds, and curl says so too."""
    seen, made = await asyncio.gather(curl(f"{nginx.url}/late"), download(f"{nginx.url}/late", whole=True))
    assert value(made, "time_to_first_byte_seconds") == pytest.approx(2.0, abs=0.2)
    assert seen["time_starttransfer"] == pytest.approx(2.0, abs=0.2)


async def test_body_that_ends_early_is_asked_for_again_on_the_same_connection(nginx: Nginx) -> None:
    """A time box longer than the file: one connection, many requests, and the result says so."""
    made = await download(f"{nginx.url}/1m", duration=0.5)
    assert made.only.error is None
    assert made.only.method["dials"] == 1
    requests = made.only.method["requests"]
    assert isinstance(requests, int) and requests > 1
    assert "connection_reused" in made.only.flags
    assert made.only.method["stop_reason"] == "duration"


async def test_size_box_ends_at_the_size(nginx: Nginx) -> None:
    """All connections together stop at the size; what the last read had beyond it doesn't count."""
    made = await download(f"{nginx.url}/big", size=20_000_000, connections=2)
    assert made.only.error is None
    assert made.only.method["stop_reason"] == "size"
    assert value(made, "bytes_transferred") == 20_000_000
    assert 20_000_000 < value(made, "test_bytes") < 20_010_000


async def test_a_stable_rate_ends_the_transfer_early(nginx: Nginx) -> None:
    """stop: stable, at a rate that nginx holds evenly: over after the rule's 1.5 s, with the rate."""
    made = await download(f"{nginx.url}/slow/1m", duration=20.0, stop="stable", stable_band=0.1)
    assert made.only.error is None
    assert made.only.method["stop_reason"] == "stable"
    assert 1.5 < value(made, "full_loading_seconds") < 4.0
    assert value(made, "throughput_bits_per_second") == pytest.approx(8 * 250 * 1024, rel=0.1)


async def test_a_data_budget_may_be_the_end_that_was_wanted(nginx: Nginx) -> None:
    """stop: budget: what ends a transfer as `resource` otherwise is its end here, with a result."""
    made = await record(PROBE, f"{nginx.url}/big", {"duration": 20.0, "stop": "budget"}, max_bytes=30_000_000)
    assert made.only.error is None
    assert made.only.outcome == "success"
    assert made.only.method["stop_reason"] == "data_budget"
    assert value(made, "bytes_transferred") == made.data.received_bytes >= 30_000_000
    assert value(made, "whole_bits_per_second") > 0


async def test_all_connections_are_cut_at_one_instant() -> None:
    """Time box of 0.6 s: it opens with the last connection's first byte and closes for all at once."""
    async with started() as peers:
        made = await download(f"{peers.url}/speed/down", duration=0.6, connections=4)
    assert made.only.error is None
    assert value(made, "full_loading_seconds") == pytest.approx(0.6, abs=0.1)
    assert value(made, "transfer_seconds") == pytest.approx(0.6, abs=0.2)
    assert made.only.method["warmup"] == "auto"
    series = made.only.samples(f"{KEY}_interval_throughput_bits_per_second")
    assert 4 <= len(series) <= 8
    moved = value(made, "bytes_transferred")
    assert sum(float(sample.value or 0) for sample in series) * 0.1 / 8 == pytest.approx(moved, rel=0.3)


async def test_own_limit_is_told_only_where_it_can_show(
    nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process at full load is named as the limit of a real window, not of a few reads or of a refusal."""
    monkeypatch.setattr(Watch, "cpu_ratio", 1.0)
    async with started() as peers:
        made = await download(f"{peers.url}/speed/down", duration=0.5, warmup="none")
    assert made.only.error is None
    assert "probe_limited" in made.only.flags
    for place, params in (("big", {"size": 1_000_000}), ("nope", {"duration": 0.5})):
        made = await download(f"{nginx.url}/{place}", **params)
        assert made.only.method["process_cpu_ratio"] == 1.0
        assert "probe_limited" not in made.only.flags


async def test_redirect_is_followed_and_recorded(nginx: Nginx) -> None:
    """One hop; bytes of the redirect's own body don't count."""
    made = await download(f"{nginx.url}/redirect", whole=True, expect_size=1_000)
    assert made.only.error is None
    assert made.only.method["redirects"] == 1
    assert value(made, "bytes_transferred") == 1_000


async def test_chunked_answer_counts_content_only(nginx: Nginx) -> None:
    """Framing is in the test bytes and not in the volume."""
    made = await download(f"{nginx.url}/no-length", whole=True)
    assert made.only.error is None
    assert value(made, "bytes_transferred") == 100_000
    assert value(made, "test_bytes") > 100_000


async def test_ipv6_and_source_address(nginx: Nginx) -> None:
    """The family and the local address asked for are those the server saw."""
    made = await record(
        PROBE,
        f"http://127.0.0.1:{nginx.port}/1k?source",
        {"whole": True, "source": "127.0.0.9", "family": "4"},
    )
    assert made.only.error is None
    assert nginx.access("/1k?source")[0]["from"] == "127.0.0.9"


async def test_request_forbids_caches_and_compression(nginx: Nginx) -> None:
    """What the server logged: our name, and with `unique` a query that nobody can have cached."""
    made = await download(f"{nginx.url}/1k?a=b", whole=True, unique=True, connections=2)
    assert made.only.error is None
    lines = (nginx.folder / "access.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if "/1k?a=b&ots=" in line]
    assert len({entry["uri"] for entry in entries}) == 2
    assert all(str(entry["agent"]).startswith("ots/") for entry in entries)


def test_unique_query_keeps_the_path_as_written() -> None:
    """Percent escapes, an empty query and an IPv6 host survive."""
    for text, start in (
        ("http://h.example/a%2Fb", "http://h.example/a%2Fb?ots="),
        ("http://h.example/a?x=%20y", "http://h.example/a?x=%20y&ots="),
        ("http://[::1]:81/", "http://[::1]:81/?ots="),
    ):
        target = PROBE.targets.parse(text)
        assert str(url_of(target)) == text
        assert re.fullmatch(re.escape(start) + "[0-9a-f]{16}", str(url_of(target, unique=True)))


async def curl(url: str) -> dict[str, float]:
    """What curl measured of one download."""
    binary = shutil.which("curl")
    if binary is None:
        pytest.skip("curl is missing")
    names = ["size_download", "size_header", "time_pretransfer", "time_starttransfer", "time_total"]
    process = await asyncio.create_subprocess_exec(
        binary,
        "--silent",
        "--noproxy",
        "*",
        "--output",
        str(Path("/dev/null")),
        "--header",
        "Cache-Control: no-store",
        "--write-out",
        " ".join(f"%{{{name}}}" for name in names),
        url,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return dict(zip(names, map(float, out.split()), strict=True))
