"""Faults where threads and TLS read and write: the right class, what came is kept, no thread stays."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from ots.probe import Probe
from ots.probes.http_download import HTTPDownload
from ots.probes.http_upload import HTTPUpload
from tests.faults.scripted_server import Script, request, reset, resets_after, says, scripted
from tests.peers.authority import Authority
from tests.recording import Recording, record

DOWN, UP = HTTPDownload(), HTTPUpload()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PART = bytes(3_000_000)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Whatever happened to a connection, the thread beside it has ended with the attempt."""
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("transfer")]


@pytest.fixture
def server_side(ca: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca.chain, ca.key)
    return context


async def against(
    script: Script, probe: Probe, tls: ssl.SSLContext | None = None, **params: object
) -> Recording:
    async with scripted(script, tls) as server:
        made = await record(probe, server.url + "/x", {"timeout": 1.0, "stall_limit": 0.8, **params})
        await server.empty()
    return made


def failure(made: Recording) -> tuple[str, str]:
    assert made.only.error is not None
    return made.only.error.class_, made.only.error.code


BROKEN: dict[str, tuple[Script, tuple[str, str]]] = {
    "ends early": (says(OK, PART, close=True), ("cutoff", "EOF")),
    "is reset": (resets_after(OK, PART, pause=0.3), ("cutoff", "ECONNRESET")),
    "stops": (says(OK, PART), ("stalled", "STALLED")),
    "ends inside a chunk": (says(CHUNKED, b"fffffff\r\n" + PART, close=True), ("cutoff", "EOF")),
    "has garbage behind a chunk": (
        says(CHUNKED, b"%x\r\n" % len(PART) + PART + b"\r\nzz\r\n"),
        ("protocol", "BAD_CHUNK"),
    ),
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", BROKEN)
async def test_a_large_body_that(name: str, tls: bool, server_side: ssl.SSLContext, ca: Authority) -> None:
    """Three megabytes came, and are what the result holds."""
    script, expected = BROKEN[name]
    ca_file = str(ca.root) if tls else None
    made = await against(script, DOWN, server_side if tls else None, duration=5.0, ca_file=ca_file)
    error_class, code = failure(made)
    # Behind TLS a reset and an end that nobody announced may both be seen first.
    assert error_class == expected[0]
    assert code == expected[1] or (tls and {code, expected[1]} == {"EOF", "ECONNRESET"})
    assert made.only.values("http_download_bytes_transferred") == [len(PART)]
    assert made.metric("http_download_throughput_bits_per_second").stats["median"] is None


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_server_that_slows_down_is_measured(
    tls: bool, server_side: ssl.SSLContext, ca: Authority
) -> None:
    """Megabytes at once, then a trickle to the end of the time box: a result, and no failure."""

    async def slows(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK + PART)
        while not reader.at_eof():
            writer.write(bytes(2000))
            await writer.drain()
            await asyncio.sleep(0.02)

    ca_file = str(ca.root) if tls else None
    made = await against(slows, DOWN, server_side if tls else None, duration=1.0, ca_file=ca_file)
    assert made.only.error is None
    assert made.only.method["stop_reason"] == "duration"
    assert made.only.values("http_download_full_loading_seconds")[0] == pytest.approx(1.0, abs=0.1)
    (moved,) = made.only.values("http_download_bytes_transferred")
    assert isinstance(moved, int) and len(PART) < moved < len(PART) + 300_000


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("probe", [DOWN, UP], ids=["down", "up"])
async def test_one_of_four_connections_is_reset(
    probe: Probe, tls: bool, server_side: ssl.SSLContext, ca: Authority
) -> None:
    """The attempt is a cutoff, and holds what all four had moved."""
    turn = iter(range(4))

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        breaks = next(turn) == 2
        if probe is DOWN:
            writer.write(OK + PART)
            await writer.drain()
            await asyncio.sleep(0.3 if breaks else 0)
        else:
            async for count in pieces(reader):
                if breaks and count > 500_000:
                    break
        if breaks:
            reset(writer)

    params = {"duration": 5.0, "connections": 4, "stall_limit": 2.0, "ca_file": str(ca.root) if tls else None}
    made = await against(script, probe, server_side if tls else None, **params)
    assert failure(made)[0] == "cutoff", made.only.error
    (moved,) = made.only.values(f"{probe.kind}_bytes_transferred")
    assert isinstance(moved, int)
    assert moved == 4 * len(PART) if probe is DOWN else moved > 500_000
    assert made.metric(f"{probe.kind}_throughput_bits_per_second").stats["median"] is None


async def pieces(reader: asyncio.StreamReader) -> AsyncIterator[int]:
    """Reads, and says how many bytes that were in all."""
    total = 0
    while piece := await reader.read(1 << 16):
        total += len(piece)
        yield total


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("status", ["413 Content Too Large", "503 Service Unavailable"])
async def test_an_upload_that_is_declined_in_the_middle(
    status: str, tls: bool, server_side: ssl.SSLContext, ca: Authority
) -> None:
    """Said after two megabytes on one connection of three: nothing of the upload counts."""
    turn = iter(range(3))

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        declines = next(turn) == 1
        async for count in pieces(reader):
            if declines and count > 2_000_000:
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                declines = False

    params = {"duration": 5.0, "connections": 3, "stall_limit": 2.0, "ca_file": str(ca.root) if tls else None}
    made = await against(script, UP, server_side if tls else None, **params)
    assert failure(made) == ("rejected", status[:3])
    assert made.only.values("http_upload_bytes_transferred") == [None]
    assert made.data.sent_bytes > 1_000_000


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_upload_whose_server_stops_reading(
    tls: bool, server_side: ssl.SSLContext, ca: Authority
) -> None:
    """After a megabyte: stalled, with what had been acknowledged."""

    async def stops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        async for count in pieces(reader):
            if count > 1_000_000:
                break
        await asyncio.sleep(2)

    ca_file = str(ca.root) if tls else None
    made = await against(stops, UP, server_side if tls else None, duration=5.0, ca_file=ca_file)
    assert failure(made) == ("stalled", "STALLED")
    (moved,) = made.only.values("http_upload_bytes_transferred")
    assert isinstance(moved, int) and moved > 500_000


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("probe", [DOWN, UP], ids=["down", "up"])
async def test_cancelled_at_full_speed(
    probe: Probe, tls: bool, server_side: ssl.SSLContext, ca: Authority
) -> None:
    """Four connections in mid-transfer: an attempt that is cancelled, with its bytes, and nobody left."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        if probe is DOWN:
            writer.write(OK)
            while not writer.is_closing():
                writer.write(PART[:65536])
                await writer.drain()
                await asyncio.sleep(0.005)
        else:
            async for _count in pieces(reader):
                pass

    async with scripted(script, server_side if tls else None) as server:
        params = {"duration": 20.0, "connections": 4, "ca_file": str(ca.root) if tls else None}
        made = await record(probe, server.url + "/x", params, cancel_after=0.6)
        await server.empty()
    assert failure(made)[0] == "cancelled"
    (moved,) = made.only.values(f"{probe.kind}_bytes_transferred")
    assert isinstance(moved, int) and moved > 100_000
