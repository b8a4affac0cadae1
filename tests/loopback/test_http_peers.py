"""The embedded peers: a process that comes, serves and goes without a trace."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aioftp
import aiohttp
import pytest

from ots.server.peers import http
from ots.server.peers.arrivals import SERIES_POINTS, Arrivals
from ots.server.peers.pages import PARTS
from ots.server.peers.process import Peers, PeersFailed, started


@pytest.fixture
async def peers() -> AsyncIterator[Peers]:
    """The peers' process, for one test."""
    async with started() as running:
        yield running


async def gone(pid: int) -> None:
    """Waits until a process of that id is no more."""
    async with asyncio.timeout(5):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await asyncio.sleep(0.01)


async def test_every_peer_answers_where_it_says(peers: Peers) -> None:
    """HTTP and HTTPS on the ports named, the certificate matching the authority handed out."""
    context = ssl.create_default_context(cafile=peers.ca_file)
    async with aiohttp.ClientSession() as session:
        for url, tls in ((peers.url, None), (peers.tls_url, context)):
            async with session.get(f"{url}/speed/empty", ssl=tls or False) as response:
                assert response.status == 200
                assert await response.read() == b""
    named = {"dns", "ftp", "smtp", "pop3", "udp_echo"}
    assert set(peers.variables()) == {"server", "host", "tcp", "tls", "ca", *named}
    assert set(peers.ports) == {"http", "https", *named}


async def test_download_of_a_size_is_exact_and_of_a_strange_size_refused(peers: Peers) -> None:
    """`?size=` is to the byte; what is no number of bytes gets 400."""
    async with aiohttp.ClientSession() as session:
        for size in (0, 1, 1_048_577):
            async with session.get(f"{peers.url}/speed/down?size={size}") as response:
                assert response.content_length == size
                assert len(await response.read()) == size
        for strange in ("-1", "x", "1e9", "9" * 40, "٣"):
            async with session.get(f"{peers.url}/speed/down", params={"size": strange}) as response:
                assert response.status == 400


async def test_upload_is_counted_with_its_times(peers: Peers) -> None:
    """The answer names every byte, and a cumulative series that ends with them."""
    async with aiohttp.ClientSession() as session:
        for method in ("POST", "PUT"):
            async with session.request(
                method, f"{peers.url}/speed/up", data=io.BytesIO(bytes(5_000_000))
            ) as response:
                said = await response.json()
            assert said["received_bytes"] == 5_000_000
            assert said["series"]["bytes"][-1] == 5_000_000
            assert said["series"]["t"] == sorted(said["series"]["t"])


async def test_page_and_all_its_parts_are_there(peers: Peers) -> None:
    """The page names its parts, each with its media type; anything else is 404."""
    async with aiohttp.ClientSession() as session:
        for name, (media_type, body) in PARTS.items():
            async with session.get(f"{peers.url}/pages/{name}") as response:
                assert response.content_type == media_type
                assert await response.read() == body
        async with session.get(f"{peers.url}/pages/../../etc/passwd") as response:
            assert response.status == 404
    page = PARTS["index.html"][1].decode()
    assert all(name in page for name in PARTS if name not in ("", "index.html"))


async def test_process_is_gone_when_the_context_closes() -> None:
    """No process, no listener, no file stays."""
    async with started() as running:
        pid, port, ca_file = running.pid, running.ports["http"], running.ca_file
        assert "BEGIN CERTIFICATE" in await asyncio.to_thread(Path(ca_file).read_text)
    await gone(pid)
    assert not await asyncio.to_thread(Path(ca_file).exists)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_process_ends_in_the_middle_of_a_transfer() -> None:
    """A client that is still downloading does not keep it."""
    async with started() as running:
        pid = running.pid
        _, writer = await asyncio.open_connection("127.0.0.1", running.ports["http"])
        writer.write(b"GET /speed/down HTTP/1.1\r\nHost: x\r\n\r\n")
        await writer.drain()
    await gone(pid)
    writer.close()


@pytest.mark.parametrize("how", ["stdin", "SIGTERM", "SIGINT"])
async def test_process_ends_by_itself(how: str) -> None:
    """Standard input closed (its parent died), SIGTERM and SIGINT end it with status 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ots.server.peers",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdin is not None
    async with asyncio.timeout(30):
        assert json.loads(await process.stdout.readline())["host"] == "127.0.0.1"
        if how == "stdin":
            process.stdin.close()
        else:
            process.send_signal(getattr(signal, how))
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert errors == b""


async def test_address_that_is_not_ours_is_said_in_a_sentence() -> None:
    """No traceback: the reason, as the caller shows it."""
    with pytest.raises(PeersFailed, match="can't listen on 192.0.2.1"):
        async with started("192.0.2.1"):
            pass


async def test_port_taken_raises_and_leaves_nothing() -> None:
    """A second peer on the same port is an OSError, and the first goes on."""
    first = await http.start("127.0.0.1")
    try:
        with pytest.raises(OSError):
            await http.start("127.0.0.1", first.port)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{first.port}/") as response,
        ):
            assert response.status == 200
    finally:
        await first.close()


def test_series_of_a_long_upload_stays_small() -> None:
    """However many reads, the series is thinned and still ends with the whole count."""
    arrivals = Arrivals()
    for k in range(200_000):
        arrivals.add(k * 0.01, 10)
    assert len(arrivals.t) <= SERIES_POINTS
    assert arrivals.total[-1] == 2_000_000
    assert arrivals.t == sorted(arrivals.t)
    assert (arrivals.t[0], arrivals.total[0]) == (0.0, 10)


def test_series_of_a_fast_upload_has_a_beginning_and_an_end() -> None:
    arrivals = Arrivals()
    for moment in (1.0, 1.001, 1.002):
        arrivals.add(moment, 10)
    assert (arrivals.t, arrivals.total) == ([1.0, 1.002], [10, 30])


async def test_an_upload_over_ftp_is_counted_and_not_given_back(peers: Peers) -> None:
    """SIZE says how much arrived; RETR is refused at once instead of leaving the client waiting."""
    async with aioftp.Client.context(peers.host, peers.ports["ftp"]) as client:
        async with client.upload_stream("/in/counted") as stream:
            await stream.write(b"x" * 70_000)
        _code, said = await client.command("SIZE /in/counted", "213")
        assert "70000" in said[-1]
        await client.command("RETR /in/counted", "550")
        await client.remove_file("/in/counted")
