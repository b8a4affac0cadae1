"""Clients that want to use up the test server: it bounds each of them, and goes on serving others."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator

import psutil
import pytest

from tests.peers.speed_server import served
from tests.waiting import until

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

LIMIT = 40
"""Connections that one address may have; each test attacks from one of its own, others are at 127.0.0.1."""

_attacker = [1]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[tuple[str, int], int]]:
    """Two workers; a transfer lasts three seconds at most. The address, and the parent's process id."""
    options = ("--workers", "2", "--connections-per-client", str(LIMIT), "--max-seconds", "3")
    with served(*options, "--max-bytes", "5000000", "--header-seconds", "2") as (url, process):
        host, port = url.removeprefix("http://").split(":")
        yield (host, int(port)), process.pid


@pytest.fixture(autouse=True)
def attacker() -> None:
    """An address without connections of the test before, whose end the server may not have noticed yet."""
    _attacker[0] += 1


def attack(address: tuple[str, int], timeout: float = 10.0) -> socket.socket:
    return socket.create_connection(address, timeout=timeout, source_address=(f"127.0.0.{_attacker[0]}", 0))


def still_served(address: tuple[str, int]) -> None:
    """Somebody else gets an answer, a download and an upload, all of it quickly."""
    url = f"http://{address[0]}:{address[1]}"
    start = time.monotonic()
    with _open(f"{url}/speed/info", timeout=5) as answer:
        assert json.loads(answer.read())["software"] == "ots"
    with _open(f"{url}/speed/down?bytes=1000000", timeout=5) as answer:
        assert len(answer.read()) == 1_000_000
    with _open(urllib.request.Request(f"{url}/speed/up", data=bytes(1_000_000)), timeout=5) as answer:
        assert json.loads(answer.read())["received_bytes"] == 1_000_000
    assert time.monotonic() - start < 3


def closed(client: socket.socket) -> bool:
    """Whether the server has ended it; waits for that as long as the socket's timeout."""
    try:
        while client.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def held(parent: int) -> int:
    """Connections of this test's address that the workers still have."""
    workers = psutil.Process(parent).children()
    peers = [connection.raddr for worker in workers for connection in worker.net_connections("tcp")]
    return sum(bool(peer) and peer.ip == f"127.0.0.{_attacker[0]}" for peer in peers)


def memory(parent: int) -> int:
    """Bytes that the workers hold for themselves."""
    return sum(child.memory_full_info().uss for child in psutil.Process(parent).children())


def test_thousands_of_connections_of_one_address_are_a_few(server: tuple[tuple[str, int], int]) -> None:
    """All above the limit are turned away at once, and those within it don't matter to others."""
    address, _ = server
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(attack(address)) for _ in range(LIMIT)]
        for _ in range(500):
            with attack(address) as client:
                assert closed(client)
        still_served(address)
        clients[0].sendall(b"GET /speed/empty HTTP/1.1\r\nHost: x\r\n\r\n")
        assert clients[0].recv(100).startswith(b"HTTP/1.1 200")


def test_slow_headers_end(server: tuple[tuple[str, int], int]) -> None:
    """A byte at a time, for ever: everybody is served meanwhile, and it ends after two seconds."""
    address, _ = server
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(attack(address, 20)) for _ in range(LIMIT)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        start, over = time.monotonic(), threading.Event()
        drip = threading.Thread(target=_drip, args=(clients, over))
        drip.start()
        try:
            still_served(address)
            assert all(closed(client) for client in clients)
        finally:
            over.set()
            drip.join()
    assert 1.5 < time.monotonic() - start < 6


def _drip(clients: list[socket.socket], over: threading.Event) -> None:
    """A byte to each of them, five times a second."""
    living = list(clients)
    while living and not over.wait(0.2):
        for client in list(living):
            try:
                client.sendall(b"X")
            except OSError:
                living.remove(client)


def test_huge_headers_are_refused_and_not_kept(server: tuple[tuple[str, int], int]) -> None:
    """One endless line, and endlessly many: 431, and hardly any memory."""
    address, parent = server
    before = memory(parent)
    for line in (b"x" * 70_000, b"A: b\r\n" * 20_000):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(attack(address)) for _ in range(LIMIT)]
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"GET / HTTP/1.1\r\n" + line * 4)
            still_served(address)
            assert all(closed(client) for client in clients)
    assert memory(parent) - before < 20_000_000


@pytest.mark.parametrize(
    "nonsense",
    [
        b"Z" + bytes(range(128, 256)) + os.urandom(5000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /speed/up HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /speed/up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 400,
    ],
)
def test_garbage_is_refused(server: tuple[tuple[str, int], int], nonsense: bytes) -> None:
    """What is no request ends its connection at once."""
    address, _ = server
    with attack(address, 4) as client:
        client.sendall(nonsense)
        assert closed(client)
    still_served(address)


def test_an_endless_upload_ends(server: tuple[tuple[str, int], int]) -> None:
    """After its bytes: what had come until then is answered, and the connection ends."""
    address, parent = server
    before = memory(parent)
    with attack(address) as client:
        client.sendall(b"POST /speed/up HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 200_000_000:
                sent += client.send(bytes(1 << 20))
        assert 5_000_000 <= sent < 200_000_000
    assert memory(parent) - before < 20_000_000
    still_served(address)


def test_a_body_that_nobody_wants_is_neither_read_nor_kept(server: tuple[tuple[str, int], int]) -> None:
    """Sent to a path that takes none: the answer, and a second later the end."""
    address, parent = server
    before = memory(parent)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(attack(address)) for _ in range(LIMIT // 2)]
        for client in clients:
            client.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            client.setblocking(False)
            with contextlib.suppress(OSError):
                while client.send(bytes(1 << 20)):
                    pass
            client.settimeout(5)
        still_served(address)
        assert memory(parent) - before < 20_000_000
        assert all(closed(client) for client in clients)


async def test_a_stalled_upload_and_an_unread_download_end(server: tuple[tuple[str, int], int]) -> None:
    """Both after the three seconds that a transfer may last; all of a client's visits are one place."""
    address, parent = server
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(attack(address)) for _ in range(LIMIT)]
        for number, client in enumerate(clients):
            if number % 2:
                client.sendall(b"GET /speed/down HTTP/1.1\r\nHost: x\r\n\r\n")
            else:
                client.sendall(b"POST /speed/up HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nabc")
        still_served(address)
        assert held(parent) == LIMIT
        await until(lambda: not held(parent))
        assert time.monotonic() - start > 2.9
        assert all(closed(client) for client in clients)


def test_pipelined_requests_are_not_hoarded(server: tuple[tuple[str, int], int]) -> None:
    """A hundred thousand at once behind a slow one: the server stops reading, and others are served."""
    address, parent = server
    before = memory(parent)
    with attack(address, 0.5) as client:
        client.sendall(b"GET /speed/down?seconds=2 HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(1000):
                client.sendall(b"GET /speed/empty HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        still_served(address)
        assert memory(parent) - before < 20_000_000
