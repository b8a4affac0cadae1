"""The test server beside nginx as a generator and beside iperf3 as a sink; both sides of each on loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.contest import OURS, Contender, Contest, Goal, Reading
from bench.transfers import GIB
from tests.peers.authority import founded
from tests.peers.nginx import nginx_server
from tests.peers.process import free_port, running
from tests.peers.speed_server import served

_GULP = 4 << 20
_PIECE = 128 << 10


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    """One worker each: what is compared is the server, and not the number of processors."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        (folder / "nginx").mkdir()
        port = free_port()
        (folder / "iperf3").mkdir()
        iperf3 = running(
            ["iperf3", "-s", "-p", str(port), "-B", "127.0.0.1"], port=port, folder=folder / "iperf3"
        )
        options = ("--workers", "1", "--max-seconds", "600", "--slots-per-client", "8")
        with (
            nginx_server(folder / "nginx", founded(folder)) as nginx,
            served(*options) as (url, _),
            iperf3,
        ):
            with (nginx.root / "1g").open("wb") as file:
                file.truncate(GIB)
            ours = _authority(url)
            yield [
                *(_generate(_authority(nginx.url), ours, count) for count in (1, 4)),
                *(_sink(port, ours, count) for count in (1, 4)),
            ]


def _generate(nginx: tuple[str, int], ours: tuple[str, int], connections: int) -> Contest:
    return Contest(
        area=f"Test server as generator, {_named(connections)}",
        work="1 GiB on each connection to a client that lets the kernel drop it; nginx has a sparse file and "
        "sendfile.",
        unit="Gbit/s",
        contenders=[
            Contender("nginx", lambda: _timed(connections, lambda: _drop(nginx, "/1g"))),
            Contender(OURS, lambda: _timed(connections, lambda: _drop(ours, f"/speed/down?bytes={GIB}"))),
        ],
        goals=[Goal(0.9, "at least", "nginx")],
    )


def _sink(iperf3: int, ours: tuple[str, int], connections: int) -> Contest:
    return Contest(
        area=f"Test server as sink, {_named(connections)}",
        work="2 GiB on each connection from `iperf3 -c`, or a thread that sends as much at a time; "
        "until the server has said how much it got.",
        unit="Gbit/s",
        contenders=[
            Contender("iperf3 -s", lambda: _iperf3(iperf3, connections)),
            Contender(OURS, lambda: _timed(connections, lambda: _send(ours, 2 * GIB))),
        ],
        goals=[Goal(1.0, "at least", "iperf3 -s")],
    )


def _named(connections: int) -> str:
    return f"{connections} connection" + "s" * (connections > 1)


def _authority(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


def _timed(connections: int, once: Callable[[], int]) -> Reading:
    """The sum of what `once` moves, in as many threads, over the time until the last has ended."""
    moved: list[int] = []
    threads = [threading.Thread(target=lambda: moved.append(once())) for _ in range(connections)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if len(moved) != connections:
        raise RuntimeError(f"{connections - len(moved)} connections failed")
    return Reading(8 * sum(moved) / seconds / 1e9)


def _drop(server: tuple[str, int], path: str) -> int:
    """Asks for 1 GiB, and has the kernel drop it (MSG_TRUNC, tcp(7))."""
    room = memoryview(bytearray(_GULP))
    with socket.create_connection(server) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head!r}")
        moved = 0
        while got := client.recv_into(room, _GULP, socket.MSG_TRUNC):
            moved += got
    if moved != GIB:
        raise RuntimeError(f"{path}: {moved} bytes")
    return moved


def _send(server: tuple[str, int], size: int) -> int:
    """Uploads so many bytes; the server's own count."""
    piece = memoryview(bytes(_PIECE))
    with socket.create_connection(server) as client:
        head = f"POST /speed/up HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
        client.sendall(head.encode())
        for _ in range(size // _PIECE):
            client.sendall(piece)
        answer = b""
        while got := client.recv(1 << 16):
            answer += got
    received: int = json.loads(answer.partition(b"\r\n\r\n")[2])["received_bytes"]
    if received != size:
        raise RuntimeError(f"{received} of {size} bytes arrived")
    return received


def _iperf3(port: int, connections: int) -> Reading:
    """What iperf3's server says that it received."""
    size = ["-n", str(2 * GIB * connections), "-l", str(_PIECE)]
    command = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-J", "-P", str(connections), *size]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-500:])
    return Reading(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9)
