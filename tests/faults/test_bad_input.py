"""Bad input, seen from the command line: class, exit code, a valid report, no traceback, nothing left."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from tests.command_line import CommandLine
from tests.faults.scripted_server import Script, resets_after, says, scripted
from tests.hostile import datagrams
from tests.peers.authority import Authority

SCHEMA = json.loads(resources.files("ots.schema").joinpath("report-1.json").read_text("utf-8"))

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
PART = bytes(100_000)
LONGER = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(5000)

Served = AbstractAsyncContextManager[list[str]]
"""A server, and the command line that measures it."""


@pytest.fixture
def ots(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def get(url: str, *options: str) -> list[str]:
    return ["http-download", url, "--timeout", "400 ms", "--stall-limit", "300 ms", *options]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, and never says a word."""


def page(script: Script, *options: str) -> Callable[[Authority, Path], Served]:
    @asynccontextmanager
    async def served(_ca: Authority, _folder: Path) -> AsyncIterator[list[str]]:
        async with scripted(script) as server:
            yield ["web-page", f"{server.url}/", "--timeout", "400 ms", *options]
            await server.empty()

    return served


async def page_with_a_silent_picture(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the first request of a connection with a page, and never the second."""
    if b"GET / " in await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<img src=a.b>")


MOVED = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
HUGE = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"


def http(script: Script, *options: str) -> Callable[[Authority, Path], Served]:
    @asynccontextmanager
    async def served(_ca: Authority, _folder: Path) -> AsyncIterator[list[str]]:
        async with scripted(script) as server:
            yield get(f"{server.url}/file", *options)
            await server.empty()

    return served


@asynccontextmanager
async def wrong_certificate(ca: Authority, folder: Path) -> AsyncIterator[list[str]]:
    chain, key = ca.issue(folder, "other.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    async with scripted(silent, context) as server:
        yield get(server.url, "--ca-file", str(ca.root))


@asynccontextmanager
async def dns_garbage(_ca: Authority, _folder: Path) -> AsyncIterator[list[str]]:
    async with datagrams(lambda _query: [b"\xff" * 40]) as (server, _received):
        options = ["--count", "1", "--retries", "0", "--timeout", "300 ms"]
        yield ["dns-lookup", "www.ots.test", "--server", server, *options]


@asynccontextmanager
async def refused(_ca: Authority, _folder: Path) -> AsyncIterator[list[str]]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield get(f"http://127.0.0.1:{closed.getsockname()[1]}/")


@asynccontextmanager
async def unknown_host(_ca: Authority, _folder: Path) -> AsyncIterator[list[str]]:
    yield ["tcp-connect", "no-such-name.invalid:80", "--count", "1", "--timeout", "1 s"]


BAD: dict[str, tuple[Callable[[Authority, Path], Served], set[str]]] = {
    "unknown host": (unknown_host, {"dns", "timeout"}),
    "refused": (refused, {"refused"}),
    "silent": (http(silent), {"timeout"}),
    "reset mid-transfer": (http(resets_after(OK, PART)), {"cutoff"}),
    "short body": (http(says(OK, PART, close=True)), {"cutoff"}),
    "long body": (http(says(LONGER, close=True)), {"protocol"}),
    "wrong certificate": (wrong_certificate, {"tls"}),
    "error status": (http(says(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")), {"rejected"}),
    "DNS garbage": (dns_garbage, {"protocol"}),
    "page that redirects for ever": (page(says(MOVED, again=True)), {"rejected"}),
    "page of 10 GB": (page(says(HUGE, PART), "--max-size", "50 kB"), {"content"}),
    "page with a resource that never answers": (page(page_with_a_silent_picture), {"timeout"}),
}


def files(folder: Path) -> set[str]:
    """All files below a folder but those of the store and the certificates."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("data/") and not name.endswith((".pem", ".key"))}


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """No temporary file, no file beside the store, and no process outlives a test."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    assert files(tmp_path) == set()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("fault", BAD)
async def test_bad_input_is_a_result(fault: str, ots: CommandLine, ca: Authority, tmp_path: Path) -> None:
    """Exit 1, the class of error in a valid report that is also stored, and no traceback."""
    served, classes = BAD[fault]
    scratch = {"TMPDIR": str(tmp_path)}
    async with served(ca, tmp_path) as command:
        done = await asyncio.to_thread(ots.run, *command, "--json", env=scratch)
    assert done.returncode == 1, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    (step,) = document["steps"]
    assert (document["verdict"], step["outcome"]) == ("fail", "failure")
    assert step["error"]["class"] in classes, step["error"]
    assert (await asyncio.to_thread(ots.report))["report_id"] == document["report_id"]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_any_moment_of_a_transfer(number: signal.Signals, code: int, ots: CommandLine) -> None:
    """From the first connection on: the exit code, a valid stored report, nothing left over."""
    moments = random.Random(int(number))
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
            process = ots.begin("http-download", url, "--duration", "20 s", "--json")
            connection, _address = server.accept()
            with connection:
                connection.sendall(OK + PART)
                _send_until(connection, time.monotonic() + moments.uniform(0.0, 0.6))
                process.send_signal(number)
                out, err = _ended(process)
        assert process.returncode == code, err
        assert "Traceback" not in out + err
        document = json.loads(out)
        jsonschema.validate(document, SCHEMA)
        assert document["run"]["state"] == "aborted"
        assert ots.report()["report_id"] == document["report_id"]


def _send_until(connection: socket.socket, end: float) -> None:
    """Keeps a transfer going, slowly enough that the promised size is never reached."""
    while time.monotonic() < end:
        connection.sendall(b"\0" * 1000)
        time.sleep(0.01)


def _ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=20)
    finally:
        process.kill()
