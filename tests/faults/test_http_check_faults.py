"""Servers that misbehave towards http_check: the right class and phase in time, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ots.netio.fanout.response import MAX_HEAD
from ots.probes.http_check import HttpCheck
from ots.probes.tcp_connect import TcpConnect
from tests.faults.scripted_server import Script, request, reset, resets_after, says, scripted
from tests.faults.test_http_faults import dribbles_header, failure, nothing_left, redirect_to, silent
from tests.hostile import deaf_port
from tests.peers.authority import Authority
from tests.peers.nginx import Nginx
from tests.peers.process import free_port
from tests.recording import Recording, record

__all__ = ["nothing_left"]

CHECK = HttpCheck()
HEAD = b"HTTP/1.1 200 OK\r\n"


async def against(script: Script, **params: object) -> Recording:
    """One check of a server that follows the script; afterwards it has no connection left."""
    async with scripted(script) as server:
        made = await record(CHECK, f"{server.url}/", {"timeout": 2.0, **params})
        await server.empty()
    return made


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    writer.write(HEAD)
    while True:
        writer.write(b"X-More: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def resets_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    reset(writer)


WRONG: dict[str, tuple[Script, tuple[str, str, str]]] = {
    "garbage": (says(b"SSH-2.0-OpenSSH_9.2\r\n"), ("protocol", "first_byte", "BAD_RESPONSE")),
    "no status": (says(b"HTTP/1.1 OK\r\n\r\n"), ("protocol", "first_byte", "BAD_RESPONSE")),
    "folded": (says(HEAD + b"A: b\r\n c\r\n\r\n"), ("protocol", "first_byte", "BAD_RESPONSE")),
    "header flood": (floods, ("protocol", "first_byte", "HEADER_TOO_LARGE")),
    "two lengths": (
        says(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        ("protocol", "first_byte", "BAD_LENGTH"),
    ),
    "bad chunk": (
        says(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ("protocol", "transfer", "BAD_CHUNK"),
    ),
    "unknown coding": (
        says(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
        ("protocol", "first_byte", "BAD_CODING"),
    ),
    "cut off": (
        says(HEAD + b"Content-Length: 10\r\n\r\nabc", close=True),
        ("cutoff", "transfer", "EOF"),
    ),
    "reset": (resets_at_once, ("cutoff", "first_byte", "ECONNRESET")),
    "reset in the body": (
        resets_after(HEAD + b"Content-Length: 10\r\n\r\nabc"),
        ("cutoff", "transfer", "ECONNRESET"),
    ),
    "too large": (
        says(HEAD + b"Content-Length: 2000000\r\n\r\n"),
        ("content", "transfer", "TOO_LARGE"),
    ),
    "refused": (says(b"HTTP/1.1 503 Busy\r\n\r\n", close=True), ("rejected", "first_byte", "503")),
    "nowhere": (says(redirect_to("gopher://x/")), ("protocol", "first_byte", "BAD_REDIRECT")),
}


@pytest.mark.parametrize("fault", WRONG)
async def test_a_wrong_answer_has_its_class(fault: str) -> None:
    """Class, phase and code as in the vocabulary; no check time out of a failure."""
    script, expected = WRONG[fault]
    made = await against(script)
    assert failure(made) == expected
    assert made.metric("http_check_seconds").stats["median"] is None
    assert made.metric("http_check_failure_ratio").stats["value"] == 1


@pytest.mark.parametrize(
    ("script", "phase"), [(silent, "first_byte"), (dribbles_header, "first_byte"), (drips, "transfer")]
)
async def test_a_slow_server_ends_at_the_time_limit(script: Script, phase: str) -> None:
    """One limit for the whole check, however steadily bytes drip; the timer is exact."""
    made = await against(script, timeout=0.3)
    assert failure(made) == ("timeout", phase, "TIMEOUT")
    assert 0.3 <= made.only.duration < 0.6


async def test_a_body_without_end_is_not_kept() -> None:
    """max_bytes ends it, also where no length was announced."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(b"z" * 65_536)
            await writer.drain()

    made = await against(endless, max_bytes=200_000)
    assert failure(made) == ("content", "transfer", "TOO_LARGE")
    assert made.data.received_bytes < 200_000 + 2 * 65_536 + MAX_HEAD


async def test_nobody_listens() -> None:
    """Refused at once; a port that never answers takes the time limit."""
    made = await record(CHECK, f"http://127.0.0.1:{free_port()}/")
    assert failure(made) == ("refused", "connect", "ECONNREFUSED")
    with deaf_port() as deaf:
        made = await record(CHECK, f"http://127.0.0.1:{deaf.number}/", {"timeout": 0.2})
    assert failure(made) == ("timeout", "connect", "TIMEOUT")


async def test_bad_tls(nginx: Nginx, ca: Authority) -> None:
    """An unknown authority, a name that is not the certificate's, and a server that speaks no TLS."""
    made = await record(CHECK, f"{nginx.tls_url}/")
    assert failure(made)[:2] == ("tls", "tls")
    assert "CERTIFICATE_VERIFY_FAILED" in failure(made)[2]
    made = await record(CHECK, f"https://127.0.0.1:{nginx.port}/", {"ca_file": str(ca.root)})
    assert failure(made)[:2] == ("tls", "tls")
    made = await record(CHECK, f"{nginx.tls_url}/", {"ca_file": "/nonexistent.pem"})
    assert failure(made)[0] == "config"


async def test_silence_within_tls(ca: Authority) -> None:
    """A server that takes the handshake and then says nothing, and one that never shakes hands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca.chain, ca.key)
    params = {"timeout": 0.3, "ca_file": str(ca.root)}
    async with scripted(silent, context) as server:
        made = await record(CHECK, f"{server.url}/", params)
        assert failure(made) == ("timeout", "first_byte", "TIMEOUT")
        await server.empty()
    async with scripted(silent) as server:
        made = await record(CHECK, server.url.replace("http:", "https:") + "/", params)
        assert failure(made) == ("timeout", "tls", "TIMEOUT")


async def test_a_cancel_keeps_what_was_measured(nginx: Nginx) -> None:
    """The answered ones have their figures; those that hang are cancelled, and nothing is left."""
    async with scripted(silent) as server:
        urls = [f"{nginx.url}/1k", f"{server.url}/", f"{nginx.url}/1k?2"]
        made = await record(CHECK, urls, cancel_after=0.4)
        await server.empty()
    assert [attempt.values("http_check_status_code") for attempt in made.attempts] == [["200"], [], ["200"]]
    assert made.of(urls[1]).error is not None
    assert made.of(urls[1]).error.class_ == "cancelled"  # type: ignore[union-attr]


@contextmanager
def files(limit: int) -> Iterator[None]:
    """This process may have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_few_file_handles_make_a_small_window(nginx: Nginx) -> None:
    """The limit of open files is obeyed: everything is measured all the same, a few at a time."""
    targets = [f"127.0.{n // 200}.{1 + n % 200}:{nginx.port}" for n in range(60)]
    with files(100):
        made = await record(TcpConnect(), [f"127.0.0.1:{nginx.port}", *targets[1:]], {"count": 1})
    window = made.attempts[0].method["window"]
    assert isinstance(window, int) and window < 100


async def test_timers_are_exact_with_hundreds_open() -> None:
    """Silent connections: 99 of 100 timers fire soon after their time (bench/fanout.py: 20 ms)."""
    async with scripted(silent) as server:
        urls = [f"{server.url}/{n}" for n in range(300)]
        made = await record(CHECK, urls, {"timeout": 1.0})
        await server.empty()
    method = made.attempts[0].method
    assert method["timers"] == 300
    assert float(str(method["timer_late_p99_seconds"])) < 0.1


async def test_hundreds_of_connections_leave_no_descriptor_and_no_thread() -> None:
    """They are closed beside the engine, in as little room as the limit of open files leaves."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen(2000)
        port = listener.getsockname()[1]
        targets = [f"127.0.{1 + n // 200}.{1 + n % 200}:{port}" for n in range(1200)]
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        with files(before[0] + 200):
            made = await record(TcpConnect(), targets, {"count": 1, "interval": 0.001})
        after = len(os.listdir("/proc/self/fd")), threading.active_count()
    window = made.attempts[0].method["window"]
    assert isinstance(window, int) and window <= 200
    assert [attempt.error for attempt in made.attempts if attempt.error] == []
    assert after == before
