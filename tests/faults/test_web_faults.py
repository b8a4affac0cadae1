"""Pages that misbehave: the right class and phase, what was measured is kept, nothing is left."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from ots.netio.web.lines import CONNECTIONS
from ots.probes.web_page import WebPage
from tests.command_line import CommandLine
from tests.faults import web_child
from tests.faults.scripted_server import Script, request, resets_after, says, scripted
from tests.faults.test_http_faults import dribbles_header, nothing_left, redirect_to, silent
from tests.hostile import deaf_port
from tests.peers.nginx import Nginx
from tests.ping_lab import Lab, lab
from tests.recording import Recording, record

__all__ = ["nothing_left"]

PROBE = WebPage()
SCHEMA = json.loads((Path(__file__).parents[1] / "schemas" / "har-1.2.json").read_text())

GROWTH = 40 << 20
"""Bytes by which the process may grow while a page of 10 GB comes."""

HTML = "Content-Type: text/html\r\n"


def answer(body: bytes | str, kind: str = "text/html", status: str = "200 OK", more: str = "") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{more}\r\n"
    return head.encode() + data


Part = bytes | Script


def site(**parts: Part) -> Script:
    """A server of parts by the first word of their path (`/`: page): bytes, or a script that goes on."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await request(reader)
            except asyncio.IncompleteReadError:
                return
            name = head.split()[1].decode().strip("/").partition("/")[0].partition(".")[0] or "page"
            part = parts.get(name, answer("no", status="404 Not Found"))
            if not isinstance(part, bytes):
                await part(reader, writer)
                return
            writer.write(part)
            await writer.drain()

    return script


def failure(made: Recording) -> tuple[str, str, str]:
    error = made.only.error
    assert error is not None
    return error.class_, error.phase, error.code


def value(made: Recording, key: str) -> Any:
    stats = made.metric(f"web_{key}").stats
    return stats.get("median", stats.get("value"))


def archive(made: Recording) -> list[dict[str, Any]]:
    (data,) = made.artifacts.values()
    document = json.loads(data)
    jsonschema.validate(document, SCHEMA)
    found: list[dict[str, Any]] = document["log"]["entries"]
    return found


async def against(script: Script, path: str = "/", limit: float = 20.0, **params: Any) -> Recording:
    """One attempt at a server that follows the script; afterwards it has no connection left."""
    async with scripted(script) as server:
        made = await record(PROBE, server.url + path, {"timeout": 0.4, **params}, limit=limit)
        await server.empty()
    made.metrics()
    return made


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIPPED = "Content-Encoding: gzip\r\n"

DOCUMENTS: dict[str, tuple[Script, tuple[str, str, str]]] = {
    "closes without an answer": (says(close=True), ("protocol", "first_byte", "EOF")),
    "resets without an answer": (resets_after(), ("cutoff", "first_byte", "ECONNRESET")),
    "never answers": (silent, ("timeout", "first_byte", "TIMEOUT")),
    "slow headers": (dribbles_header, ("timeout", "first_byte", "TIMEOUT")),
    "garbage": (says(b"\x00\xff garbage\r\n\r\n", close=True), ("protocol", "first_byte", "BAD_RESPONSE")),
    "short body": (says(OK, b"<html>", close=True), ("cutoff", "transfer", "EOF")),
    "reset in the middle": (resets_after(OK, b"<html>"), ("cutoff", "transfer", "ECONNRESET")),
    "stall": (says(OK, b"<html>"), ("stalled", "transfer", "STALLED")),
    "garbage chunk": (
        says(CHUNKED, b"4\r\nabcd\r\n", b"zz\r\n", pause=0.1),
        ("protocol", "transfer", "BAD_CHUNK"),
    ),
    "headers without end": (
        says(b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 100_000),
        ("protocol", "first_byte", "BAD_RESPONSE"),
    ),
    "not found": (site(), ("rejected", "first_byte", "404")),
    "server error": (site(page=answer("no", status="503 No")), ("rejected", "first_byte", "503")),
    "unauthorised": (site(page=answer("no", status="401 No")), ("auth", "first_byte", "401")),
    "not modified": (says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), ("rejected", "first_byte", "304")),
    "empty": (site(page=answer("")), ("content", "transfer", "EMPTY_BODY")),
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), ("content", "transfer", "EMPTY_BODY")),
    "redirects for ever": (
        says(redirect_to("/"), again=True),
        ("rejected", "first_byte", "TOO_MANY_REDIRECTS"),
    ),
    "redirect to nowhere": (
        says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        ("protocol", "first_byte", "BAD_REDIRECT"),
    ),
    "redirect to a file": (
        says(redirect_to("file:///etc/passwd")),
        ("protocol", "first_byte", "BAD_REDIRECT"),
    ),
    "redirect to a bad address": (
        says(redirect_to("http://127.0.0.1:99999/")),
        ("protocol", "first_byte", "BAD_REDIRECT"),
    ),
    "not what its encoding says": (
        site(page=answer(b"plain text", more=GZIPPED)),
        ("content", "transfer", "BAD_ENCODING"),
    ),
    "compressed and cut off": (
        site(page=answer(gzip.compress(os.urandom(9000))[:5000], more=GZIPPED)),
        ("content", "transfer", "BAD_ENCODING"),
    ),
    "encodings upon encodings": (
        site(page=answer(b"x", more="Content-Encoding: gzip, gzip, gzip, gzip\r\n")),
        ("content", "transfer", "BAD_ENCODING"),
    ),
    "a bomb": (
        site(
            page=answer(
                zlib.compress(zlib.compress(bytes(2_000_000_000 // 40))),
                more="Content-Encoding: deflate, deflate\r\n",
            )
        ),
        ("content", "transfer", "TOO_LARGE"),
    ),
}


@pytest.mark.parametrize("fault", DOCUMENTS)
async def test_a_document_that_is_none(fault: str) -> None:
    """Each fault has its class, phase and code; there is no page time, and the archive is valid."""
    script, expected = DOCUMENTS[fault]
    made = await against(script, max_size=5_000_000)
    assert failure(made) == expected
    assert made.only.outcome == "failure"
    page = made.metric("web_page_seconds")
    assert page.stats["median"] is None and page.n_lost == 1
    assert value(made, "session_failure_ratio") == 1.0
    assert archive(made)


PAGE = '<html><img src="first.png"><img src="bad/x.png"><img src="last.png"></html>'


def page_with(part: Part) -> Script:
    picture = answer(b"picture", "image/png")
    return site(page=answer(PAGE), first=picture, last=picture, bad=part)


RESOURCES: dict[str, tuple[Part, tuple[str, str, str]]] = {
    "never answers": (silent, ("timeout", "first_byte", "TIMEOUT")),
    "stalls": (says(OK, b"x"), ("stalled", "transfer", "STALLED")),
    "is cut off": (says(OK, b"x", close=True), ("cutoff", "transfer", "EOF")),
    "redirects for ever": (redirect_to("/bad/x.png"), ("rejected", "first_byte", "TOO_MANY_REDIRECTS")),
    "leads to a refusal": (redirect_to("http://127.0.0.1:1/"), ("refused", "connect", "ECONNREFUSED")),
    "leads to nobody": (redirect_to("http://nobody.invalid/"), ("dns", "resolve", "NXDOMAIN")),
    "leads to a link-local address": (redirect_to("http://[fe80::1]/"), ("protocol", "resolve", "ZONE")),
}


def _raw(part: Part) -> Part:
    """Scripts of `says` read a request of their own; here it has been read already."""
    if isinstance(part, bytes):
        return part

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await part(_Again(reader), writer)

    return script


class _Again(asyncio.StreamReader):
    """A reader whose next request is the one that has been read."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._reader = reader

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        return b"GET / HTTP/1.1\r\n\r\n"

    async def read(self, n: int = -1) -> bytes:
        return await self._reader.read(n)


@pytest.mark.parametrize("fault", RESOURCES)
async def test_a_resource_that_does_not_come(fault: str) -> None:
    """The page did not come whole: its resource's class and phase, the others' figures kept; or tolerated."""
    part, expected = RESOURCES[fault]
    made = await against(page_with(_raw(part)))
    resolver_silent = expected[0] == "dns" and failure(made)[0] in ("dns", "timeout")
    assert failure(made) == expected or resolver_silent
    assert "1 of 3 resources did not come" in str(made.only.error)
    assert value(made, "resources_failed_ratio") == pytest.approx(1 / 3)
    assert value(made, "html_seconds") is not None
    assert value(made, "page_seconds") is None
    assert value(made, "data_transfer_cutoff_ratio") == 1.0
    assert sum("_error" in entry["response"] for entry in archive(made)) == 1


async def test_a_share_of_the_resources_may_be_tolerated() -> None:
    """A third of them may stay away: the page time runs to the end of the last one, as a browser's would."""
    made = await against(page_with(_raw(silent)), tolerate=0.34)
    assert made.only.error is None
    assert value(made, "page_seconds") >= 0.4
    made = await against(page_with(_raw(silent)), tolerate=0.3)
    assert failure(made) == ("timeout", "first_byte", "TIMEOUT")


async def test_a_resource_that_is_missing_is_counted_and_no_more() -> None:
    """An error status is an answer: the page is complete, the ratio says what is wrong with it."""
    made = await against(page_with(answer("no", status="404 Not Found")))
    assert made.only.error is None
    assert value(made, "resources_failed_ratio") == pytest.approx(1 / 3)
    assert value(made, "page_seconds") is not None


async def test_a_page_of_10_gb_does_not_fill_the_memory() -> None:
    """It is cut at max_size, on the wire or unpacked, and the process does not grow."""
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 10000000000\r\n\r\n")
        piece = bytes(1 << 16)
        while not writer.transport.is_closing():
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    before = psutil.Process().memory_info().rss
    document = await against(_until_closed(endless), max_size=3_000_000)
    assert failure(document) == ("content", "transfer", "TOO_LARGE")
    resource = await against(
        site(page=answer('<img src="big">'), big=_until_closed(_raw(endless))), max_size=30_000_000
    )
    assert failure(resource) == ("content", "transfer", "TOO_LARGE")
    assert psutil.Process().memory_info().rss - before < GROWTH
    assert sent < 60_000_000
    assert value(resource, "transfer_bytes") < 31_000_000


def _until_closed(script: Part) -> Script:
    """A peer that leaves is how it ends."""
    assert not isinstance(script, bytes)
    told = script

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await told(reader, writer)
        except ConnectionError:
            return

    return run


@pytest.mark.slow
async def test_5000_resources(nginx: Nginx) -> None:
    """All of them, if they are asked for; else as many as are allowed, and the page is not complete."""
    root = nginx.root / "many"
    root.mkdir(exist_ok=True)
    (root / "index.html").write_text("".join(f'<img src="x.png?{n}">' for n in range(5000)))
    (root / "x.png").write_bytes(b"x" * 100)
    made = await record(PROBE, f"{nginx.url}/many/", {"max_resources": 5000})
    assert made.only.error is None
    assert value(made, "requests") == 5001
    assert made.only.method["connections"] == 6
    assert value(made, "resources_failed_ratio") == 0
    (data,) = made.artifacts.values()
    assert len(json.loads(data)["log"]["entries"]) == 5001
    made = await record(PROBE, f"{nginx.url}/many/", {"max_resources": 50})
    assert failure(made) == ("content", "transfer", "TOO_MANY_RESOURCES")
    assert value(made, "requests") == 51


async def test_style_sheets_that_import_each_other_for_ever() -> None:
    """Each names the next one; the chain is followed so far and no farther."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while not reader.at_eof():
            try:
                head = await request(reader)
            except asyncio.IncompleteReadError:
                return
            number += 1
            if b"GET / " in head:
                writer.write(answer("<link rel=stylesheet href=s>"))
            else:
                writer.write(answer(f"@import 's{number}';@import 't{number}';", "text/css"))

    made = await against(script)
    assert made.only.error is None
    assert 6 < value(made, "requests") <= 2**7


async def test_many_hosts_do_not_use_up_the_sockets() -> None:
    """A page that names 252 origins: a few connections at any time, the idle ones closed for others."""
    pages = "".join(f'<img src="http://127.0.0.{n}:%d/x">' for n in range(2, 254))
    open_now = most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        try:
            while True:
                await request(reader)
                writer.write(answer("x", "image/png"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            open_now -= 1
            writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        made = await against(site(page=answer(pages.replace("%d", str(port)))))
    finally:
        server.close()
    assert made.only.error is None
    assert value(made, "requests") == 253
    # The server sees the end of a connection later than we do.
    assert most <= 2 * CONNECTIONS


BROKEN = {
    "nothing closed": '<html><body><div><img src=a.png <img src="b.png"><p',
    "an open comment": "<img src=a.png><img src=b.png><!-- <img src=c.png>",
    "an open script": "<img src=a.png><img src=b.png><script>x = '<img src=c.png>'",
    "strange addresses": "<img src=a.png><img src=b.png><img src='http://[::1'><img src='http://x:99999/'>"
    "<img src='javascript:1'><img src='ftp://h/x'><img src='//'><img src='http://'><img src=''>",
    "control characters": "<img src='\x00\x01'><img\x00src=c><img src=a.png><img src=b.png>",
    "attributes upon attributes": "<img " + "a=1 " * 20_000 + "src=a.png><img src=b.png>",
    "an open quote": "<img src=a.png><img src=b.png><img src='" + "x" * 100_000,
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_broken_html(kind: str) -> None:
    """What can be found is fetched; nothing takes long, nothing breaks."""
    picture = answer(b"x", "image/png")
    start = time.monotonic()
    made = await against(site(page=answer(BROKEN[kind]), a=picture, b=picture), timeout=2.0)
    assert time.monotonic() - start < 2
    assert made.only.error is None
    asked = {entry["request"]["url"].rpartition("/")[2] for entry in archive(made)}
    assert {"a.png", "b.png"} <= asked or kind == "nothing closed"


@pytest.mark.parametrize(
    "charset", ["klingon", "utf-16", "punycode", "unicode_escape", "rot13", "zip", "ascii"]
)
async def test_wrong_charset(charset: str) -> None:
    """A name that is wrong, unknown or no encoding of text: the page is measured, its words are found."""
    page = answer("<p>plain words 网页</p>", f"text/html; charset={charset}")
    made = await against(site(page=page))
    assert made.only.error is None
    if charset != "utf-16":
        made = await against(site(page=page), expect_text="plain words")
        assert made.only.error is None
    else:
        made = await against(site(page=page), expect_text="plain words")
        assert failure(made) == ("content", "verify", "KEYWORD")


async def test_a_pattern_that_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended, with its process, and it is the case's fault."""
    monkeypatch.setattr("ots.probes._web_rules.PATIENCE", 0.3)
    before = psutil.Process().children()
    made = await against(site(page=answer("a" * 60 + "!")), expect_regex="(a+)+$")
    assert failure(made) == ("config", "verify", "SLOW_REGEX")
    assert psutil.Process().children() == before


async def test_the_page_has_a_time_of_its_own() -> None:
    """A page that drips on for ever ends in PAGE_TIME, in the phase in which it was."""

    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK)
        while not writer.transport.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.05)

    made = await against(_until_closed(drips), page_timeout=0.5)
    assert failure(made) == ("timeout", "transfer", "PAGE_TIME")
    assert value(made, "ttfb_seconds") is None or made.only.triggers
    made = await against(silent, page_timeout=0.2, timeout=2.0)
    assert failure(made) == ("timeout", "first_byte", "PAGE_TIME")
    with deaf_port() as port:
        made = await record(PROBE, f"http://127.0.0.1:{port.number}/", {"page_timeout": 0.2, "timeout": 2.0})
    assert failure(made) == ("timeout", "connect", "PAGE_TIME")


async def test_cancelled_in_the_middle_keeps_what_there_is() -> None:
    """The document's figures and an archive in which the open requests are marked."""
    async with scripted(page_with(_raw(silent))) as server:
        made = await record(PROBE, server.url + "/", {"timeout": 5.0}, cancel_after=0.3)
        await server.empty()
    assert failure(made)[0] == "cancelled"
    assert made.only.outcome == "invalid"
    assert made.metric("web_html_seconds").stats["median"] is not None
    assert made.metric("web_page_seconds").stats["median"] is None
    unfinished = [entry for entry in archive(made) if "_error" in entry["response"]]
    assert [entry["request"]["url"].rpartition("/")[2] for entry in unfinished] == ["x.png"]


async def test_the_data_budget_ends_a_page() -> None:
    """What the run may move is over in the middle of it: no verdict about the page."""
    parts = {"page": answer('<img src="big">'), "big": answer(bytes(500_000), "image/png")}
    async with scripted(site(**parts)) as server:
        made = await record(PROBE, server.url + "/", max_bytes=100_000)
        await server.empty()
    assert failure(made)[0] == "resource"
    assert made.only.outcome == "invalid"


async def test_a_redirect_whose_body_never_ends() -> None:
    """Where it leads is known: nobody waits for its body, and its connection is not used again."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            head = await request(reader)
            if b"GET / " in head:
                writer.write(
                    b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 10000000000\r\n\r\nx"
                )
                return
            writer.write(answer("here"))

    made = await against(script)
    assert made.only.error is None
    assert made.only.method["connections"] == 2
    assert value(made, "page_seconds") < 0.3


async def test_a_server_that_closes_after_every_answer() -> None:
    """No connection is used twice, and each is counted with its phases."""
    more = "Connection: close\r\n"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request(reader)
        writer.write(answer("<img src=a><img src=b>" if b"GET / " in head else "x", more=more))
        writer.close()

    made = await against(script, connections=1)
    assert made.only.error is None
    assert made.only.method["connections"] == 3
    assert made.metric("web_connect_seconds").n_valid == 3


HOSTILE_HEADERS = (
    "Server-Timing: " + ", ".join(f"n{n};dur={n}" for n in range(500)) + ", bad;dur=nan, neg;dur=-5\r\n"
    "Set-Cookie: a\x01b=c\r\nX-Odd: caf\xe9\r\nLocation: http://[\r\n"
)


async def test_hostile_headers_make_a_valid_archive() -> None:
    """Odd characters, odd cookies, 500 timings: twenty are kept, nothing breaks."""
    head = answer("<p>x</p>", more=HOSTILE_HEADERS)
    made = await against(site(page=head))
    assert made.only.error is None
    timings = [one for one in made.metrics() if one.key == "web_server_timing_seconds"]
    assert len(timings) == 20
    assert archive(made)


@pytest.fixture(scope="module")
def internet() -> Iterator[Lab]:
    """A host that has a public address and a private one, and serves pages on both."""
    with lab() as made:
        made.host("web")
        for address in (web_child.PUBLIC, web_child.PRIVATE):
            made.run("web", "ip", "address", "add", f"{address}/32", "dev", "lo")
        yield made


@pytest.mark.netns
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("rejected", "resolve", "PRIVATE_ADDRESS")),
        ("/away", ("content", "verify", "captive_portal")),
        ("/mapped", ("rejected", "resolve", "PRIVATE_ADDRESS")),
    ],
)
def test_a_public_page_can_not_make_us_ask_private_addresses(
    internet: Lab, path: str, expected: tuple[str, str, str]
) -> None:
    """Neither by a picture nor by a redirect: nobody knocks at the private address."""
    spec = json.dumps({"path": path})
    printed = json.loads(internet.run("web", sys.executable, "-m", "tests.faults.web_child", spec))
    assert tuple(printed["error"]) == expected
    assert printed["knocks"] == 0
    assert printed["from_private"] is None


def test_interrupted_from_the_keyboard(tmp_path: Path) -> None:
    """Exit 130, a stored report that is valid and aborted, and its archive can be exported."""
    ots = CommandLine(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = ots.begin("web-page", f"http://127.0.0.1:{server.getsockname()[1]}/", "--json")
        connection, _address = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer('<img src="never">'))
            connection.recv(4096)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    document = json.loads(out)
    assert document["run"]["state"] == "aborted"
    (step,) = document["steps"]
    assert step["attempts"][0]["error"]["class"] == "cancelled"
    times = {metric["key"]: metric["stats"] for metric in step["metrics"]}
    assert times["web_html_seconds"]["median"] > 0
    har = tmp_path / "page.har"
    done = ots.run("report", "export", "last", "--format", "har", "--output", str(har))
    assert done.returncode == 0, done.stderr
    archived = json.loads(har.read_text())
    jsonschema.validate(archived, SCHEMA)
    assert len(archived["log"]["entries"]) == 2
