"""web_page against nginx and Caddy: all that the page names, once each, with the phases that curl sees."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ots.probes.web_page import WebPage
from tests.comparison import PAGE_TOLERANCE_SECONDS, disagreement
from tests.faults.scripted_server import says, scripted
from tests.hostile import distant
from tests.peers.authority import Authority
from tests.peers.caddy import Caddy
from tests.peers.nginx import Nginx
from tests.peers.require import require
from tests.recording import Recording, record

PROBE = WebPage()
SCHEMA = json.loads((Path(__file__).parents[1] / "schemas" / "har-1.2.json").read_text())

PICTURES = 14
_HTML = """<!doctype html>
<html><head><meta charset="utf-8"><title>网页</title>
<link rel=stylesheet href="style.css"><link rel="icon" href="never-asked.ico">
<script src="script.js" defer></script>
</head><body>
<!-- <img src="never-commented.png"> --><noscript><img src="never-noscript.png"></noscript>
<p style="background: url(&quot;inline.png&quot;)">测试页面</p>
{pictures}<img src="data:image/png;base64,AAAA"><img src="0.png">
<script>document.write('<img src="never-written.png">')</script>
</body></html>
"""
_STYLE = """@import url("deeper/more.css");
/* url(never-commented.png) */
@font-face { font-family: x; src: url(font.woff2) format("woff2"), url(never-font.ttf) }
body { background: url('ground.png') }
"""
FILES = {
    "index.html": _HTML.format(pictures="".join(f'<img src="{n}.png">' for n in range(PICTURES))),
    "style.css": _STYLE,
    "deeper/more.css": "p { background: url(../below.png) } div { background: url(below.png) }",
    "script.js": "1;",
    **{
        name: "x" * 5000
        for name in ("inline.png", "ground.png", "below.png", "deeper/below.png", "font.woff2")
    },
    **{f"{n}.png": f"{n}" * 3000 for n in range(PICTURES)},
}


@pytest.fixture(scope="module", autouse=True)
def site(nginx: Nginx, caddy: Caddy) -> Iterator[None]:
    """The same page on both servers, under /site/."""
    for root in (nginx.root, caddy.root):
        for name, text in FILES.items():
            file = root / "site" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    yield


async def load(target: str, **params: Any) -> Recording:
    return await record(PROBE, target, params)


def value(made: Recording, key: str) -> Any:
    stats = made.metric(f"web_{key}").stats
    return stats.get("median", stats.get("value"))


def entries(made: Recording) -> list[dict[str, Any]]:
    """Those of the one archive, which is valid by the schema."""
    (data,) = made.artifacts.values()
    document = json.loads(data)
    jsonschema.validate(document, SCHEMA)
    found: list[dict[str, Any]] = document["log"]["entries"]
    return found


def failure(made: Recording) -> tuple[str, str, str]:
    error = made.only.error
    assert error is not None
    return error.class_, error.phase, error.code


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("peer", ["nginx", "caddy"])
async def test_everything_that_is_named_comes_once(
    peer: str, tls: bool, request: pytest.FixtureRequest, ca: Authority
) -> None:
    """Document, styles of styles, script, pictures, the first font: nothing twice, nothing else."""
    server: Nginx | Caddy = request.getfixturevalue(peer)
    base = server.tls_url if tls else server.url
    made = await load(f"{base}/site/", ca_file=str(ca.root))
    assert made.only.error is None
    asked = [entry["request"]["url"].removeprefix(f"{base}/site/") for entry in entries(made)]
    assert sorted(asked) == sorted(["", *(name for name in FILES if name != "index.html")])
    assert {entry["response"]["status"] for entry in entries(made)} == {200}
    assert value(made, "body_bytes") == sum(len(text.encode()) for text in FILES.values())
    assert value(made, "requests") == len(FILES)
    assert value(made, "resources_failed_ratio") == 0
    assert value(made, "status_code") == "200"
    assert value(made, "ttfb_seconds") < value(made, "html_seconds") < value(made, "page_seconds")
    assert made.only.method["mode"] == "light mode"
    assert value(made, "setup_time_seconds") == pytest.approx(value(made, "ttfb_seconds"), abs=0.005)
    triggers = made.only.triggers
    order = ["resolved", "connect_start", "connected", "request_sent", "first_byte", "completed"]
    assert [triggers[name] for name in order] == sorted(triggers[name] for name in order)
    assert ("tls_done" in triggers) == tls
    # TLS is counted once a connection, however many requests it carries.
    connects = made.metric("web_connect_seconds").n_valid
    assert connects == made.only.method["connections"]
    assert connects <= 6
    if tls:
        assert made.metric("web_tls_seconds").n_valid == connects


async def test_no_more_connections_than_a_browser_has(nginx: Nginx) -> None:
    """Six to one host, by nginx's own account; two if two are asked for."""
    for number, most in enumerate((6, 2)):
        made = await load(f"{nginx.url}/site/?{number}", connections=most)
        assert made.only.error is None
        ports = {entry["connection"] for entry in entries(made)}
        assert len(ports) == made.only.method["connections"] == most
    seen = nginx.access("/site/0.png", count=2)[-2:]
    assert seen[0]["agent"] == seen[1]["agent"] == PROBE.Params().user_agent


def test_phases_add_up_and_lie_where_they_were(tmp_path: Path, nginx: Nginx) -> None:
    """HAR's `time` is the sum of its phases, and the entry ends within the page; ssl lies within connect."""

    made = asyncio.run(load(f"{nginx.tls_url}/site/", ca_file=str(nginx.authority.root)))
    for entry in entries(made):
        timings = entry["timings"]
        parts = [timings[name] for name in ("blocked", "dns", "connect", "send", "wait", "receive")]
        assert entry["time"] == pytest.approx(sum(part for part in parts if part > 0), abs=0.01)
        assert timings["ssl"] <= max(0, timings["connect"])
    (data,) = made.artifacts.values()
    loads = json.loads(data)["log"]["pages"][0]["pageTimings"]
    assert loads["onLoad"] == pytest.approx(value(made, "page_seconds") * 1000, abs=0.01)
    assert loads["onContentLoad"] == pytest.approx(value(made, "html_seconds") * 1000, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["nginx", "caddy-tls", "nginx-tls-away"])
async def test_phases_agree_with_curl(where: str, nginx: Nginx, caddy: Caddy, ca: Authority) -> None:
    """Lookup, connect, TLS, first byte, total of a document: the shortest of tries taken in turn.

    curl answers `localhost` itself: of the lookup, what differs is the work of the system's resolver.
    """
    curl = require("curl")
    if where == "nginx-tls-away":
        async with distant(nginx.tls_port, 0.010) as port:
            await _compare(curl, f"https://localhost:{port}/1k", ca, 15)
    else:
        await _compare(curl, f"{nginx.url if where == 'nginx' else caddy.tls_url}/1k", ca, 21)


async def _compare(curl: str, url: str, ca: Authority, tries: int) -> None:

    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for _try in range(tries):
        made = await load(url, ca_file=str(ca.root), resources=False, family="4")
        assert made.only.error is None
        (entry,) = entries(made)
        timings = entry["timings"]
        tls = max(0.0, timings["ssl"]) / 1000
        for name, seconds in (
            ("dns", max(0.0, timings["dns"]) / 1000),
            ("connect", timings["connect"] / 1000 - tls),
            ("tls", tls),
            ("wait", timings["wait"] / 1000),
            ("first byte", value(made, "ttfb_seconds")),
            ("total", value(made, "page_seconds")),
        ):
            ours.setdefault(name, []).append(seconds)
        seen = await asyncio.to_thread(_curl, curl, url, ca)
        for name, seconds in seen.items():
            theirs.setdefault(name, []).append(seconds)
    for name, tolerance in PAGE_TOLERANCE_SECONDS.items():
        differ = disagreement([min(ours[name])], [min(theirs[name])], tolerance)
        assert not differ, f"{name}: {differ}"


def _curl(curl: str, url: str, ca: Authority) -> dict[str, float]:
    names = ("namelookup", "connect", "appconnect", "pretransfer", "starttransfer", "total")
    form = " ".join(f"%{{time_{name}}}" for name in names)
    argv = [curl, "-4", "-s", "-o", "/dev/null", "--http1.1", "--cacert", str(ca.root), "-w", form, url]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    t = dict(zip(names, map(float, output.split()), strict=True))
    return {
        "dns": t["namelookup"],
        "connect": t["connect"] - t["namelookup"],
        "tls": max(0.0, t["appconnect"] - t["connect"]),
        "wait": t["starttransfer"] - t["pretransfer"],
        "first byte": t["starttransfer"],
        "total": t["total"],
    }


async def test_a_server_that_thinks() -> None:
    """What it takes until the first byte is waiting, and in no other phase."""

    async def thinks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with scripted(thinks) as server:
        made = await load(server.url + "/")
    assert value(made, "wait_seconds") == pytest.approx(0.3, abs=0.1)
    assert 0.3 <= value(made, "ttfb_seconds") < 0.45
    assert value(made, "connect_seconds") < 0.1


async def test_redirects_are_counted_and_timed(nginx: Nginx) -> None:
    """One hop: two requests over one connection, and the status is the final one's."""
    made = await load(f"{nginx.url}/redirect")
    assert made.only.error is None
    assert value(made, "redirects") == 1
    assert 0 < value(made, "redirect_seconds") < value(made, "ttfb_seconds")
    assert value(made, "status_code") == "200"
    assert [entry["response"]["status"] for entry in entries(made)] == [302, 200]
    assert entries(made)[0]["response"]["redirectURL"] == f"{nginx.url}/1k"


async def test_content_rules(nginx: Nginx) -> None:
    """Keyword, pattern and hash: each is met, or is what the attempt fails with."""
    url = f"{nginx.url}/site/"
    digest = hashlib.sha256(FILES["index.html"].encode()).hexdigest()
    made = await load(url, expect_text="测试页面", expect_regex="<title>网.</title>", expect_sha256=digest)
    assert made.only.error is None
    assert value(made, "content_match") is True
    for params, code in (
        ({"expect_text": "其他"}, "KEYWORD"),
        ({"expect_regex": "^nowhere$"}, "REGEX"),
        ({"expect_sha256": "0" * 64}, "SHA256"),
    ):
        made = await load(url, resources=False, **params)
        assert failure(made) == ("content", "verify", code)
        assert value(made, "content_match") is False
        assert made.metric("web_page_seconds").n_lost == 1
        assert value(made, "session_failure_ratio") == 1.0


async def test_compressed_text_counts_on_the_wire_and_decoded(nginx: Nginx) -> None:
    """Transferred, content and body bytes are three figures, and the compression is what they say."""
    text = b"<html>" + b"OTS " * 5000
    packed = gzip.compress(text)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n"
    head += b'Server-Timing: cache;desc="hit, or so", db;dur=53.2\r\nContent-Length: %d\r\n\r\n' % len(packed)
    async with scripted(says(head + packed)) as server:
        made = await load(server.url + "/", expect_text="OTS OTS")
    assert made.only.error is None
    assert value(made, "body_bytes") == len(text)
    assert value(made, "content_bytes") == len(packed)
    assert value(made, "transfer_bytes") == len(head) + len(packed)
    assert value(made, "compression_ratio") == pytest.approx(len(packed) / len(text))
    (timing,) = [one for one in made.metrics() if one.key == "web_server_timing_seconds"]
    assert timing.labels["name"] == "db"
    assert timing.stats["value"] == pytest.approx(0.0532)


async def test_early_hints_are_not_the_answer() -> None:
    """103 comes first (RFC 8297): the first byte is the final answer's, the hint's stands beside it."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with scripted(says(hints, answer, pause=0.2)) as server:
        made = await load(server.url + "/")
    assert made.only.error is None
    first = made.only.method["first_interim"]
    assert isinstance(first, float) and first < 0.15 < value(made, "ttfb_seconds")


async def test_cookies_live_as_long_as_the_page_and_no_secret_is_kept() -> None:
    """A cookie set by a redirect reaches the page; neither it nor a token in an address is in the archive."""
    seen: list[bytes] = []

    async def script(reader: Any, writer: Any) -> None:
        while request := await reader.readuntil(b"\r\n\r\n"):
            seen.append(request)
            if b"GET /in" in request:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            else:
                writer.write(
                    b"HTTP/1.1 302 Found\r\nSet-Cookie: sid=geheim; Path=/\r\n"
                    b"Location: /in?token=geheim2&x=1\r\nContent-Length: 0\r\n\r\n"
                )

    async with scripted(script) as server:
        made = await load(server.url + "/?key=geheim3")
    assert made.only.error is None
    assert b"Cookie: sid=geheim" in seen[1]
    assert b"token=geheim2" in seen[1]
    (archive,) = made.artifacts.values()
    assert b"geheim" not in archive
    assert [one["name"] for one in entries(made)[1]["request"]["queryString"]] == ["token", "x"]


async def test_captive_portals(nginx: Nginx) -> None:
    """A redirect to somebody else, status 511, and a 204 that is none; what is allowed is none."""
    away = "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n"
    async with scripted(
        says(away.format(f"{nginx.url.replace('127.0.0.1', 'localhost')}/1k").encode())
    ) as host:
        made = await load(host.url + "/")
        assert failure(made) == ("content", "verify", "captive_portal")
        assert "captive_portal" in made.only.flags
        made = await load(host.url + "/", allow_hosts="localhost")
        assert made.only.error is None
    login = b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 5\r\n\r\nlogin"
    async with scripted(says(login)) as host:
        assert failure(await load(host.url + "/")) == ("content", "verify", "captive_portal")
    page = f"{nginx.url}/1k"
    assert (await load(page, portal_check=f"{nginx.url}/status/204")).only.error is None
    made = await load(page, portal_check=f"{nginx.url}/1k")
    assert failure(made) == ("content", "verify", "captive_portal")
    # What is broken proves nothing, and is said.
    made = await load(page, portal_check="http://127.0.0.1:1/")
    assert made.only.error is None
    assert any("portal_check" in line.text for line in made.log.lines)


async def test_a_redirect_over_verified_tls_is_the_sites_own(nginx: Nginx, ca: Authority) -> None:
    """Nobody on the way can have sent it, wherever it leads."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca.chain, ca.key)
    away = f"HTTP/1.1 302 Found\r\nLocation: {nginx.tls_url}/1k\r\nContent-Length: 0\r\n\r\n".encode()
    async with scripted(says(away), tls=context) as server:
        made = await load(server.url + "/", ca_file=str(ca.root))
        assert made.only.error is None
        made = await load(server.url + "/", verify=False)
        assert failure(made)[2] == "captive_portal"
