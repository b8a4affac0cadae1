"""HTTP and HTTPS down and up: nginx sends a sparse file of a tmpfs, a sink in the kernel takes uploads."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.contest import OURS, Contender, Contest, Goal
from bench.transfers import GIB, curl_down, curl_up, ots, script
from tests.peers.authority import founded
from tests.peers.nginx import Nginx, nginx_server

_AIOHTTP = """
import asyncio, sys, time, aiohttp
async def main(url, connections):
    count = 0
    async def one():
        nonlocal count, start
        async with session.get(url) as answer:
            start = start or time.perf_counter()
            async for piece in answer.content.iter_any():
                count += len(piece)
    start = 0.0
    async with aiohttp.ClientSession() as session:
        cpu = time.process_time()
        await asyncio.gather(*(one() for _ in range(connections)))
        print(count, time.perf_counter() - start, time.process_time() - cpu)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""

_CPU = "s/GB"
_PHASE = "Timed is the transfer phase, each contender a process of its own."


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    """Everything lies on a tmpfs: no disk is measured."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        authority = founded(folder)
        (folder / "nginx").mkdir()
        with (
            nginx_server(folder / "nginx", authority) as nginx,
            _sink() as sink,
            _sink(authority.chain, authority.key) as tls_sink,
        ):
            for size in (1, 2):
                with (nginx.root / f"{size}g").open("wb") as file:
                    file.truncate(size * GIB)
            yield [
                _down(nginx, folder),
                _down_four(nginx, folder),
                _tls(nginx, folder, authority.root),
                _up(sink, nginx.root, folder, 1),
                _up(sink, nginx.root, folder, 4),
                _tls_up(tls_sink, nginx.root, folder, authority.root),
            ]


def _down(nginx: Nginx, data: Path) -> Contest:
    url, size = f"{nginx.url}/2g", 2 * GIB
    return Contest(
        area="HTTP download, 1 connection",
        work=f"2 GiB from nginx. {_PHASE}",
        unit="Gbit/s",
        contenders=[
            Contender("curl", lambda: curl_down(url, size)),
            Contender("aiohttp iter_any", lambda: script(_AIOHTTP, url, "1", expected=size)),
            Contender(OURS, lambda: ots("http-download", url, size, data, "--whole")),
        ],
        goals=[
            Goal(1.0, "at least", "curl"),
            Goal(1.0, "at most", "curl", of="cpu"),
            Goal(2.0, "at least", "aiohttp iter_any"),
        ],
        cpu_unit=_CPU,
    )


def _down_four(nginx: Nginx, data: Path) -> Contest:
    url, size = f"{nginx.url}/1g", 4 * GIB
    whole = ("--whole", "--connections", "4")
    return Contest(
        area="HTTP download, 4 connections",
        work=f"1 GiB from nginx on each connection. {_PHASE}",
        unit="Gbit/s",
        contenders=[
            Contender("curl -Z", lambda: curl_down(url, size, connections=4)),
            Contender("aiohttp iter_any", lambda: script(_AIOHTTP, url, "4", expected=size)),
            Contender(OURS, lambda: ots("http-download", url, size, data, *whole)),
        ],
        goals=[Goal(1.2, "at least", "curl -Z"), Goal(1.0, "at most", "curl -Z", of="cpu")],
        cpu_unit=_CPU,
    )


def _tls(nginx: Nginx, data: Path, root: Path) -> Contest:
    url = f"{nginx.tls_url}/1g"
    return Contest(
        area="HTTPS download, 1 connection",
        work=f"1 GiB from nginx over TLS. {_PHASE}",
        unit="Gbit/s",
        contenders=[
            Contender("curl", lambda: curl_down(url, GIB, "--cacert", str(root))),
            Contender(OURS, lambda: ots("http-download", url, GIB, data, "--whole", "--ca-file", str(root))),
        ],
        goals=[Goal(1.0, "at least", "curl")],
        cpu_unit=_CPU,
    )


def _up(sink: str, files: Path, data: Path, connections: int) -> Contest:
    size = 2 * GIB if connections == 1 else connections * GIB
    file = files / ("2g" if connections == 1 else "1g")
    options = ("--size", f"{size} B", "--connections", str(connections))
    return Contest(
        area=f"HTTP upload, {connections} connection" + "s" * (connections > 1),
        work=f"{size // GIB} GiB to a server that drops them in the kernel and answers at the end. {_PHASE}",
        unit="Gbit/s",
        contenders=[
            Contender("curl -T", lambda: curl_up(sink, [file] * connections, size)),
            Contender(OURS, lambda: ots("http-upload", sink, size, data, *options)),
        ],
        goals=[Goal(1.5, "at least", "curl -T")],
        cpu_unit=_CPU,
    )


def _tls_up(sink: str, files: Path, data: Path, root: Path) -> Contest:
    options = ("--size", f"{GIB} B", "--ca-file", str(root))
    return Contest(
        area="HTTPS upload, 1 connection",
        work=f"1 GiB to a server that decrypts them into one buffer and answers at the end. {_PHASE}",
        unit="Gbit/s",
        contenders=[
            Contender("curl -T", lambda: curl_up(sink, [files / "1g"], GIB, "--cacert", str(root))),
            Contender(OURS, lambda: ots("http-upload", sink, GIB, data, *options)),
        ],
        goals=[Goal(1.0, "at least", "curl -T")],
        cpu_unit=_CPU,
    )


@contextmanager
def _sink(*certificate: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.sink", *certificate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        scheme = "https" if certificate else "http"
        yield f"{scheme}://127.0.0.1:{process.stdout.readline().strip()}/upload"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
