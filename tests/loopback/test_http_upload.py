"""http_upload: is it counted where it arrives, by our own peer, by nginx and by Caddy?"""

from __future__ import annotations

import asyncio
import socket
import zlib
from pathlib import Path
from typing import Any

import pytest

from ots.netio.transfer.payload import LARGEST, PAGE, SMALLEST, PieceSize, RandomPage
from ots.netio.transfer.segments import whole
from ots.probes.http_upload import HTTPUpload
from ots.server.peers.process import started
from ots.stats.validity import graded
from tests.faults.scripted_server import Script, request, scripted
from tests.peers.authority import Authority
from tests.peers.nginx import Nginx
from tests.peers.process import free_port, running
from tests.peers.require import require
from tests.recording import Recording, record

PROBE = HTTPUpload()
KEY = "http_upload"

RATE = 8_000_000.0
"""bit/s at which the slow sink of these tests reads."""

RATE_TOLERANCE = 0.08
"""The sink's own clock ticks late on a busy machine."""


async def upload(target: str, **params: Any) -> Recording:
    return await record(PROBE, target, params)


def value(recording: Recording, name: str) -> Any:
    (found,) = recording.only.values(f"{KEY}_{name}")
    return found


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_our_peer_counts_and_its_count_is_used(tls: bool) -> None:
    """Time box against the embedded peer: the rate comes from its own times, and its count is ours.

    On a busy machine the peer may take its time over what was sent: it gets three tries to be on time.
    """
    async with started() as peers:
        url = peers.tls_url if tls else peers.url
        ca_file = peers.ca_file if tls else None
        for _try in range(3):
            made = await upload(f"{url}/speed/up", duration=0.6, connections=2, ca_file=ca_file)
            if made.only.error is None and value(made, "full_loading_seconds") < 0.9:
                break
    assert made.only.error is None
    assert made.only.method["counted_at"] == "peer"
    assert made.only.method["stop_reason"] == "duration"
    assert value(made, "bytes_transferred") > 1_000_000
    assert value(made, "full_loading_seconds") == pytest.approx(0.6, abs=0.3)
    assert value(made, "throughput_bits_per_second") == pytest.approx(
        value(made, "whole_bits_per_second"), rel=0.7
    )
    assert value(made, "content_valid") is True


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("connections", [1, 3])
async def test_size_arrives_at_nginx_to_the_byte(nginx: Nginx, method: str, connections: int) -> None:
    """A size box divided among connections: what nginx received is what is reported, headers and all."""
    uri = f"/upload?{method}{connections}"
    made = await upload(nginx.url + uri, size=3_000_001, connections=connections, method=method)
    assert made.only.error is None
    assert value(made, "bytes_transferred") == 3_000_001
    assert value(made, "buffer_delay_ratio") >= 0
    entries = await asyncio.to_thread(nginx.access, uri, connections)
    received = sum(int(str(entry["received"])) for entry in entries)
    assert value(made, "test_bytes") == received
    assert {entry["method"] for entry in entries} == {method}
    assert made.only.method["counted_at"] == "tcp_acked"


async def test_time_box_against_nginx_is_counted_by_acknowledgements(nginx: Nginx) -> None:
    """A third party says nothing about times: TCP's acknowledgements do, and its log agrees on the volume."""
    made = await upload(f"{nginx.url}/upload?timed", duration=0.5, connections=2)
    assert made.only.error is None
    assert made.only.method["counted_at"] == "tcp_acked"
    entries = await asyncio.to_thread(nginx.access, "/upload?timed", 2)
    received = sum(int(str(entry["received"])) for entry in entries)
    assert value(made, "test_bytes") == pytest.approx(received, rel=1e-3)
    assert value(made, "bytes_transferred") <= received


@pytest.mark.parametrize("stop", ["stable", "budget"])
async def test_an_upload_ends_early_and_well(nginx: Nginx, stop: str) -> None:
    """By a rate that has settled within a wide band, or by the data budget: the body ends and is answered."""
    params = {"duration": 20.0, "connections": 2, "stop": stop, "stable_band": 0.5}
    most = 50_000_000 if stop == "budget" else None
    made = await record(PROBE, f"{nginx.url}/upload?{stop}", params, max_bytes=most)
    assert made.only.error is None
    assert made.only.method["stop_reason"] == ("data_budget" if most else "stable")
    entries = await asyncio.to_thread(nginx.access, f"/upload?{stop}", 2)
    assert value(made, "test_bytes") == pytest.approx(sum(int(str(e["received"])) for e in entries), rel=1e-3)


_REVERSE_PROXY = """\
{{
    admin off
    auto_https off
    persist_config off
    storage file_system {folder}/storage
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy {peer}
}}
https://:{tls_port} {{
    bind 127.0.0.1
    tls {chain} {key}
    reverse_proxy {peer}
}}
"""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_through_caddy_to_our_peer(tls: bool, ca: Authority, tmp_path: Path) -> None:
    """A third-party TLS end and proxy in front of the peer: the peer's count is still the one that counts."""
    port, tls_port = free_port(), free_port()
    argv = [require("caddy"), "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    env = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    async with started() as peers:
        config = _REVERSE_PROXY.format(
            folder=tmp_path,
            port=port,
            tls_port=tls_port,
            chain=ca.chain,
            key=ca.key,
            peer=peers.authority("http"),
        )
        await asyncio.to_thread((tmp_path / "Caddyfile").write_text, config)
        with running(argv, port=port, folder=tmp_path, env=env):
            url = f"https://localhost:{tls_port}" if tls else f"http://127.0.0.1:{port}"
            made = await upload(f"{url}/speed/up", size=40_000_000, connections=2, ca_file=str(ca.root))
    assert made.only.error is None
    assert value(made, "bytes_transferred") == 40_000_000
    assert made.only.method["counted_at"] == "peer"


def paced(rate: float, answer: bytes) -> Script:
    """Reads bodies at so many bit/s, until their end, and answers."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        loop = asyncio.get_running_loop()
        due, tail = loop.time(), b""
        while not tail.endswith(b"0\r\n\r\n"):
            piece = await reader.read(4096)
            if not piece:
                return
            tail = (tail + piece)[-16:]
            due += 8 * len(piece) / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
        writer.write(answer)
        await writer.drain()

    return script


@pytest.mark.slow
async def test_rate_of_a_slow_reader_is_measured_not_the_send_buffer() -> None:
    """8 Mbit/s read by the peer: acknowledged bytes say so, however much the kernel took at once."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with scripted(paced(RATE, answer)) as server:
        made = await upload(server.url, duration=4.0, warmup=2.5, stall_limit=10.0, timeout=20.0)
    assert made.only.error is None
    assert made.only.method["counted_at"] == "tcp_acked"
    transferred, seconds = value(made, "bytes_transferred"), value(made, "transfer_seconds")
    assert 8 * transferred / seconds == pytest.approx(RATE, rel=RATE_TOLERANCE)
    validity = graded([made.only])
    assert validity is not None
    assert "server_limited" in [finding.code for finding in validity.findings]
    assert validity.grade == "low"


async def test_trigger_points_of_an_upload(nginx: Nginx) -> None:
    """First content is sent after the request; complete is the server's answer."""
    made = await upload(f"{nginx.url}/post-slowly", size=100_000)
    names = ["resolved", "connect_start", "connected", "request_sent", "first_content", "completed"]
    stamps = [made.only.triggers[name] for name in names]
    assert stamps == sorted(stamps)
    assert made.only.triggers["completed"] - made.only.triggers["first_content"] > 0.9


async def test_error_status_after_the_whole_body_is_rejected(nginx: Nginx) -> None:
    """All bytes were acknowledged, and the server said no: nothing was uploaded."""
    made = await upload(f"{nginx.url}/status/403", size=100_000)
    assert made.only.error is not None
    assert (made.only.error.class_, made.only.error.code) == ("rejected", "403")
    assert value(made, "bytes_transferred") is None
    assert made.metric(f"{KEY}_throughput_bits_per_second").stats["median"] is None


def test_payload_can_not_be_compressed() -> None:
    """A whole page of pieces shrinks by nothing, wherever it begins."""
    page = RandomPage()
    pieces = [bytes(page.piece(SMALLEST)) for _ in range(PAGE // SMALLEST - 1)]
    assert len(set(pieces)) == len(pieces)
    assert len(zlib.compress(b"".join(pieces))) > len(pieces) * SMALLEST
    assert len(page.piece(LARGEST)) == LARGEST


def test_pieces_fill_whole_segments() -> None:
    """Of a large piece nothing is left over for a segment of its own; a small one stays as it is."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        segment = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        assert 0 < whole(sock, LARGEST) <= LARGEST < whole(sock, LARGEST) + segment
        assert whole(sock, LARGEST) % segment == 0
        assert whole(sock, segment - 1) == segment - 1


def test_piece_size_follows_the_path() -> None:
    """Grows to a mebibyte where pieces vanish at once, and back where they linger."""
    size = PieceSize()
    for _ in range(20):
        size.adapt(0.0)
    assert size.bytes == LARGEST
    for _ in range(20):
        size.adapt(1.0)
    assert size.bytes == SMALLEST
