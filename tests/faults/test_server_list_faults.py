"""Places that claim to have a list of speed test servers: bounded in size and time, and one `Failed` each."""

from __future__ import annotations

import asyncio
import time

import pytest

from ots.netio.speed import fetch as fetching
from ots.netio.speed.fetch import fetch
from ots.netio.speed.server_list import MAX_BYTES
from ots.probe import Failed, Target
from ots.schema.target import Targets
from tests.faults.scripted_server import Script, request, resets_after, says, scripted

LIST = b'ots-servers: 1\nservers: [{name: office, url: "http://192.0.2.1/"}]\n'
WEB = Targets(forms=("url",), schemes=("http", "https"), default_ports=(("http", 80), ("https", 443)))


def at(url: str) -> Target:
    return WEB.parse(url)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def moved(place: str) -> bytes:
    return answer(b"", f"Location: {place}", status="302 Found")


def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Script:
    """One answer that never ends."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return script


async def test_it_follows_a_redirect_to_the_list() -> None:
    async with scripted(says(answer(LIST))) as there, scripted(says(moved(f"{there.url}/list"))) as here:
        assert await fetch(at(here.url)) == LIST


@pytest.mark.parametrize(
    ("script", "class_"),
    [
        (endless(b"HTTP/1.1 200 OK\r\n\r\n", bytes(1 << 16)), "content"),
        (endless(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", bytes(1 << 16)), "content"),
        (
            endless(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"8000\r\n%b\r\n" % bytes(1 << 15)
            ),
            "content",
        ),
        (endless(b"HTTP/1.1 200 OK\r\n", b"X: " + bytes(60_000)), "protocol"),
        (says(b"SSH-2.0-server\r\n", close=True), "protocol"),
        (says(b"", close=True), "protocol"),
        (says(answer(LIST)[:-5], close=True), "cutoff"),
        (resets_after(answer(LIST)[:-5]), "cutoff"),
        (says(answer(LIST, status="404 Not Found")), "rejected"),
        (says(answer(LIST, status="503 Busy")), "rejected"),
        (says(answer(LIST, status="401 Who")), "auth"),
        (says(moved("file:///etc/passwd")), "protocol"),
        (says(moved("http://user:hunter2@127.0.0.1/")), "protocol"),
        (says(answer(b"", status="302 Found")), "protocol"),
        (says(moved("/"), again=True), "rejected"),
    ],
)
async def test_what_gives_no_list_fails(script: Script, class_: str) -> None:
    """Endless, cut off, refused, garbled, led astray: the right class, soon, and the connection is gone."""
    start = time.monotonic()
    async with scripted(script) as server:
        with pytest.raises(Failed) as failed:
            await fetch(at(server.url))
        assert failed.value.error.class_ == class_, failed.value
        await server.empty()
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "script", [endless(b"HTTP/1.1 200 OK\r\n\r\n", b"#", 0.02), endless(b"HTT", b"", 0.02)]
)
async def test_a_slow_one_ends_in_time(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte at a time keeps every timer of a phase from firing: the whole has one, too."""
    monkeypatch.setattr(fetching, "WHOLE_LIMIT", 0.5)
    async with scripted(script) as server:
        with pytest.raises(Failed) as failed:
            await fetch(at(server.url))
        assert failed.value.error.class_ == "timeout"
        await server.empty()


async def test_as_much_as_a_list_may_have_is_taken() -> None:
    """And one byte more is not."""
    async with scripted(says(answer(bytes(MAX_BYTES)))) as server:
        assert len(await fetch(at(server.url))) == MAX_BYTES
    async with scripted(says(answer(bytes(MAX_BYTES + 1)))) as server:
        with pytest.raises(Failed) as failed:
            await fetch(at(server.url))
        assert failed.value.error.code == "TOO_LONG"
