"""Clients that take their time: silent ones, headers and bodies that drip, answers that nobody fetches."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.cloud_kit import CloudServer, HandAgent, cloud_server
from tests.peers.authority import Authority

pytestmark = pytest.mark.slow
_PATIENCE = 1.0
_SLACK = 8.0
"""Seconds beyond the patience within which every slow client is to be gone, one of 500 in one process."""

_EACH = 125
_HEAD = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(tmp_path, options=["--rates", "10000", "--patience", str(_PATIENCE)]) as started:
        yield started


async def _connected(server: CloudServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(sock=await _narrow(server), limit=1024)


async def _narrow(server: CloudServer) -> socket.socket:
    """A connection that takes in next to nothing unless it is read from."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", server.port))
    return plain


async def _drip(writer: asyncio.StreamWriter, text: bytes, first: bytes) -> None:
    """Sends something at once, then a byte ten times a second for as long as anybody takes it."""
    writer.write(first)
    with contextlib.suppress(ConnectionError):
        for byte in itertools.cycle(text):
            await asyncio.sleep(0.1)
            writer.write(bytes([byte]))
            await writer.drain()


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    """What the server said before it closed."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            said += part
    return said


async def _silent(server: CloudServer) -> bytes:
    reader, writer = await _connected(server)
    with contextlib.closing(writer):
        return await _until_closed(reader)


async def _dripping(server: CloudServer, first: bytes, text: bytes) -> bytes:
    reader, writer = await _connected(server)
    with contextlib.closing(writer):
        dripping = asyncio.create_task(_drip(writer, text, first))
        said = await _until_closed(reader)
        dripping.cancel()
        await asyncio.wait({dripping})
        return said


async def _header_drip(server: CloudServer) -> bytes:
    return await _dripping(server, b"GET /readyz HTTP/1.1\r\n", b"X-Slow: a\r\n")


async def _body_drip(server: CloudServer) -> bytes:
    return await _dripping(server, _HEAD + b"Content-Length: 60000\r\n\r\n", b'{"name": "a')


async def _unread(server: CloudServer) -> bytes:
    """Asks for far more than it fetches, 5 kB a second."""
    loop = asyncio.get_running_loop()
    with contextlib.closing(await _narrow(server)) as plain:
        await loop.sock_sendall(plain, b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                assert await loop.sock_recv(plain, 512), "an orderly end"
                await asyncio.sleep(0.1)
            pytest.fail("nobody minded")
    return b""


@contextlib.asynccontextmanager
async def _visited(server: CloudServer) -> AsyncIterator[list[float]]:
    """Other people's requests meanwhile; how long each took, seconds."""
    took: list[float] = []
    agent = HandAgent(server.url)
    token = server.open_token()

    async def visit() -> None:
        async with aiohttp.ClientSession() as session:
            assert (await agent.enrol(session, token))[0] == 201
            while True:
                start = time.monotonic()
                assert (await agent.upload(session, agent.report()))[0] == 201
                took.append(time.monotonic() - start)
                await asyncio.sleep(0.05)

    task = asyncio.create_task(visit())
    try:
        yield took
    finally:
        task.cancel()
        done, _ = await asyncio.wait({task})
        assert all(each.cancelled() for each in done), [each.exception() for each in done]


async def test_five_hundred_slow_clients_are_gone_in_time_and_hinder_nobody(server: CloudServer) -> None:
    kinds = (_silent, _header_drip, _body_drip, _unread)
    async with _visited(server) as took:
        start = time.monotonic()
        async with asyncio.timeout(30):
            ends = await asyncio.gather(
                *(_timed(kind, server, start) for kind in kinds for _ in range(_EACH))
            )
        said = {kind: {first for other, first, _ in ends if other is kind} for kind in kinds}
    assert max(seconds for _, _, seconds in ends) < _PATIENCE + _SLACK, ends
    assert said == {
        _silent: {b""},
        _header_drip: {b""},
        _body_drip: {b"HTTP/1.1 408 Request Timeout"},
        _unread: {b""},
    }
    assert len(took) >= 10 and max(took) < 1.0


async def _timed(
    kind: Callable[[CloudServer], object], server: CloudServer, start: float
) -> tuple[Callable[[CloudServer], object], bytes, float]:
    said = await kind(server)  # type: ignore[misc]
    return kind, said.partition(b"\r\n")[0], time.monotonic() - start


async def test_whoever_is_slow_but_goes_on_gets_all(server: CloudServer) -> None:
    """Longer than the patience, yet faster than the least rate: body and answer are let come to their end."""
    await asyncio.gather(_sent_slowly(server), _fetched_slowly(server))


async def _sent_slowly(server: CloudServer) -> None:
    reader, writer = await _connected(server)
    wish = b'{"name": "nobody", "password": "' + b"a" * 30_000 + b'"}'
    writer.write(_HEAD + b"Content-Length: %d\r\n\r\n" % len(wish))
    start = time.monotonic()
    for place in range(0, len(wish), 2000):
        writer.write(wish[place : place + 2000])
        await asyncio.sleep(0.15)
    assert (await reader.readline()).split()[1] in (b"401", b"422")
    assert time.monotonic() - start > 2 * _PATIENCE
    writer.close()


async def _fetched_slowly(server: CloudServer) -> None:
    reader, writer = await _connected(server)
    writer.write(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    start, taken = time.monotonic(), b""
    while part := await reader.read(4096):
        taken += part
        await asyncio.sleep(0.08)
    header, _, document = taken.partition(b"\r\n\r\n")
    length = int(header.lower().partition(b"content-length:")[2].split()[0])
    assert len(document) == length
    assert time.monotonic() - start > 2 * _PATIENCE
    writer.close()


async def test_a_handshake_that_never_comes_is_not_waited_for(tmp_path: Path, ca: Authority) -> None:
    options = ["--patience", str(_PATIENCE), "--cert", str(ca.chain), "--key", str(ca.key)]
    with cloud_server(tmp_path, options=options) as server:
        start = time.monotonic()
        assert await _silent(server) == b""
        assert time.monotonic() - start < _PATIENCE + _SLACK
        trusting: ssl.SSLContext = ca.trusting()
        url = f"https://localhost:{server.port}/readyz"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=trusting) as answer:
            assert answer.status == 200
