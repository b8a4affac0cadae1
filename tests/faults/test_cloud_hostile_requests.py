"""Requests that mean harm, sent to a running server: each has its own answer, and the server goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from ots.remote import wire
from ots.server.api.operation import JSON_LIMIT, Access, Operation, Raw
from ots.server.app import OPERATIONS
from ots.signing.request import signed_headers
from ots.store.document import encode
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator, cloud_server

pytestmark = pytest.mark.slow
_EVIL = "evil.example"
_ANY_ID = "0190b5a0-0000-7000-8000-000000000000"
_PATH = {
    **dict.fromkeys(("agent_id", "report_id", "gap_id", "licence_id", "assignment_id"), _ANY_ID),
    "revision": "1",
    "number": "1",
    "sha256": "0" * 64,
    "token_id": "abcd2345",
}
_DEEP = 30_000
_ENDLESS = ("lists", "objects", "closed", "within")
_BOMBS = {
    "lists": b"[" * _DEEP,
    "objects": b'{"a":' * (_DEEP // 3),
    "closed": b"[" * _DEEP + b"]" * _DEEP,
    "within": b'{"name":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    "number": b'{"name": 1' + b"0" * 60_000 + b"}",
    "surrogate": rb'{"name": "\ud800"}',
    "bytes": b'{"name": "\xff\xfe"}',
}


@pytest.fixture(scope="module")
def server(cloud: CloudServer) -> CloudServer:
    return cloud


@pytest.fixture
async def admin(server: CloudServer) -> AsyncIterator[Visitor]:
    async with administrator(server) as visitor:
        yield visitor


@pytest.fixture
async def agent(server: CloudServer, admin: Visitor) -> HandAgent:
    made = HandAgent(server.url)
    assert (await made.enrol(admin.session, server.open_token()))[0] == 201
    return made


@pytest.fixture(autouse=True)
def nothing_failed(server: CloudServer) -> Iterator[None]:
    """No request may end in a traceback of the server."""
    yield
    assert "Traceback" not in (server.folder / "stderr.log").read_text(errors="replace")


def _takers() -> list[Operation]:
    return [operation for operation in OPERATIONS if operation.takes is not None]


async def _offer(
    operation: Operation, admin: Visitor, agent: HandAgent, body: bytes, **headers: str
) -> tuple[int, Any]:
    """Sends a body to an operation by somebody who may call it."""
    path = re.sub(r"\{([a-z0-9_]+)\}", lambda found: _PATH[found[1]], operation.path)
    raw = operation.takes if isinstance(operation.takes, Raw) else None
    media = raw.media_types[0] if raw else "application/json"
    proof = {"X-CSRF-Token": admin.csrf}
    if operation.access in (Access.AGENT, Access.AGENT_IN_ANY_STATE):
        now = int(time.time())
        proof = signed_headers(
            operation.method, path, "", body, key=agent.key, key_id=agent.agent_id, created=now
        )
        proof[wire.SIGNATURE_HEADER] = agent.signature(agent.report(), body)
    async with admin.session.request(
        operation.method, f"{admin.url}{path}", data=body, headers={"Content-Type": media, **proof, **headers}
    ) as answer:
        text = await answer.read()
        return answer.status, json.loads(text) if text else None


async def test_no_operation_falls_to_a_json_bomb(admin: Visitor, agent: HandAgent) -> None:
    for operation in _takers():
        if isinstance(operation.takes, Raw) and "application/json" not in operation.takes.media_types:
            continue
        for name, bomb in _BOMBS.items():
            status, problem = await _offer(operation, admin, agent, bomb)
            assert status < 500, (operation.name, name, problem)
            # What stands under a name that an operation does not know may be passed over, but not endlessly.
            if name in _ENDLESS and not isinstance(operation.takes, Raw):
                assert problem["code"] == "invalid-body", (operation.name, name, problem)


@pytest.mark.parametrize("deep", [b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000])
async def test_a_signed_report_may_not_nest_without_end(
    admin: Visitor, agent: HandAgent, deep: bytes
) -> None:
    """Not even under a key that this version would only skip."""
    report = agent.report()
    document = encode(report)[:-1].rstrip() + b', "later": ' + deep + b"}"
    status, problem = await agent.send(
        admin.session,
        "PUT",
        f"/api/v1/agent/reports/{report.report_id}/1",
        gzip.compress(document),
        {wire.SIGNATURE_HEADER: agent.signature(report, document), "Content-Encoding": "gzip"},
    )
    assert (status, problem["code"]) == (422, "schema-unsupported")


async def test_no_operation_unpacks_more_than_it_takes(admin: Visitor, agent: HandAgent) -> None:
    twice = gzip.compress(b"{}") + gzip.compress(b"{}")
    for operation in _takers():
        limit = operation.takes.limit if isinstance(operation.takes, Raw) else JSON_LIMIT
        bomb = gzip.compress(bytes(limit + 1), 6)
        status, problem = await _offer(operation, admin, agent, bomb, **{"Content-Encoding": "gzip"})
        assert (status, problem["code"]) == (413, "expands-too-far"), operation.name
        for broken in (twice, twice[:-9], b"\x1f\x8b" + bytes(30), b"{}"):
            status, problem = await _offer(operation, admin, agent, broken, **{"Content-Encoding": "gzip"})
            assert (status, problem["code"]) == (422, "invalid-body"), operation.name
        status, problem = await _offer(operation, admin, agent, b"{}", **{"Content-Encoding": "br"})
        assert (status, problem["code"]) == (415, "unsupported-media"), operation.name


async def _said(server: CloudServer, request: bytes, *, end: bool = False) -> bytes:
    """What the server says to these bytes until it closes, or until it has said one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        if end:
            writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read(65_536)
    finally:
        writer.close()


_POST = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("framing", "status"),
    [
        (b"Content-Length: 99999999\r\n\r\n", b"413"),
        (b"Content-Length: -1\r\n\r\n", b"400"),
        (b"Content-Length: 2x\r\n\r\n{}", b"400"),
        (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"400"),
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", b"400"),
        (b"Transfer-Encoding: gzip\r\n\r\n{}", b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"a" * 16_384 + b"\r\n" * 5, b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"a" * 16_384 + b"\r\n") * 5, b"413"),
        (b"Content-Length: 1\r\n\r\n{}", b"400"),
    ],
)
async def test_a_body_of_another_length_than_stated(
    server: CloudServer, framing: bytes, status: bytes
) -> None:
    assert (await _said(server, _POST + framing)).split(b" ", 2)[1] == status
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/readyz") as answer:
        assert answer.status == 200


async def test_a_body_that_breaks_off_is_nobodys_log_in(server: CloudServer, admin: Visitor) -> None:
    wish = json.dumps({"name": "cut off", "password": "x"}).encode()
    said = await _said(server, _POST + b"Content-Length: %d\r\n\r\n" % (len(wish) + 1) + wish, end=True)
    assert said == b"" or said.split(b" ", 2)[1] == b"400"
    entries = (await admin.get("/api/v1/audit?limit=50"))[1]["items"]
    assert "cut off" not in repr(entries)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example:8443\r\nX-Forwarded-Host: evil.example\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nForwarded: host=evil.example;proto=https\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: evil.example\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: x\r\n",
        b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET /api/v1/nothing HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET /login HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: evil.example@x\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n",
    ],
)
async def test_no_answer_repeats_the_host_that_a_request_names(server: CloudServer, head: bytes) -> None:
    said = await _said(server, head + b"Connection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.") and _EVIL.encode() not in said
    location = re.search(rb"\r\nLocation: ([^\r]*)", said)
    assert location is None or location[1] == b"/login"


@pytest.mark.parametrize(
    "back", ["//evil.example", "/\\evil.example", "/\t/evil.example", "/\r\nX-Bad: 1", "https://evil.example"]
)
async def test_the_way_back_leads_nowhere_else(server: CloudServer, admin: Visitor, back: str) -> None:
    form = {"language": "zh", "back": back, "csrf": admin.csrf}
    async with admin.session.post(f"{server.url}/language", data=form, allow_redirects=False) as answer:
        assert answer.status == 303 and "X-Bad" not in answer.headers
        assert re.fullmatch(r"/(?![/\\\t]).*|/", answer.headers["Location"]), answer.headers["Location"]
        assert "\t" not in answer.headers["Location"]


_LINES = "van\r\nSet-Cookie: stolen=1\r\n\r\n<script>\x1b[2J\x85\u2028"


async def test_names_make_no_headers_and_no_lines_of_the_log(
    server: CloudServer, admin: Visitor, agent: HandAgent
) -> None:
    other = HandAgent(server.url)
    await other.enrol(admin.session, server.open_token(), name=_LINES)
    await admin.send("PUT", "/api/v1/departments", {"department": _LINES[:20], "name": _LINES})
    report = agent.report()
    report.case.id = report.job.id = report.run.run_id = _LINES
    assert (await agent.upload(admin.session, report))[0] == 201
    listed = (await admin.get(f"/api/v1/reports?agent_id={agent.agent_id}"))[1]["items"]
    number = listed[0]["number"]
    for format_name in ("html", "json", "csv", "markdown", "junit", "nagios"):
        path = f"{server.url}/api/v1/reports/{number}/export?format={format_name}"
        async with admin.session.get(path) as answer:
            assert answer.status == 200
            given = answer.headers["Content-Disposition"]
            assert re.fullmatch(rf'attachment; filename="report-{number}-1\.[a-z]+"', given)
            assert "Set-Cookie" not in answer.headers and len(answer.headers.getall("Content-Type")) == 1
    for path in ("/agents", "/reports", f"/reports/{number}", "/audit", "/metrics", "/%0d%0aSet-Cookie:a=b"):
        async with admin.session.get(f"{server.url}{path}") as answer:
            assert "Set-Cookie" not in answer.headers, path
            assert "<script>\x1b" not in await answer.text()
    log = (server.folder / "stderr.log").read_bytes()
    assert b"\nSet-Cookie" not in log and b"\x1b" not in log


_CURSORS = {
    "garbage": "%00%ff",
    "nothing": "",
    "null": "bnVsbA",
    "list": "WzFd",
    "negative": "LTE",
    "text": "IicgT1IgMT0xIC0tIg",
    "huge": "MTE4MDU5MTYyMDcxNzQxMTMwMzQyNA",
    "float": "MS41",
    "long": "a" * 5_000,
}


async def test_a_cursor_of_ones_own_making_opens_nothing(admin: Visitor, agent: HandAgent) -> None:
    tried = 0
    for operation in OPERATIONS:
        fields = () if operation.query is None else operation.query.__struct_fields__
        if "cursor" not in fields or operation.access is not Access.PERSON:
            continue
        path = re.sub(r"\{([a-z0-9_]+)\}", lambda found: _PATH[found[1]], operation.path)
        for name, cursor in _CURSORS.items():
            status, answer = await admin.get(f"{path}?cursor={cursor}")
            assert status in (200, 400, 404), (operation.name, name, answer)
            if name in ("garbage", "list", "null", "long"):
                assert status in (400, 404), (operation.name, name)
            tried += 1
    assert tried >= 9 * len(_CURSORS)


@pytest.mark.parametrize(
    "path", ["/", "/login", "/api/v1/session", "/api/v1/reports", "/healthz", "/metrics"]
)
async def test_an_upgrade_that_nobody_offers_is_an_ordinary_request(server: CloudServer, path: str) -> None:
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: {}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n"
    )
    for kind in ("websocket", "h2c", "x" * 500):
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\n" + upgrade.format(kind, "dGhlIHNhbXBsZSBub25jZQ==")
        said = await _said(server, head.encode() + b"\x81\x85" + bytes(4_000))
        assert said.split(b" ", 2)[1] in (b"200", b"303", b"401"), said[:80]
        assert b"upgrade" not in said.partition(b"\r\n\r\n")[0].lower()
    said = await _said(server, b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\nSSH-2.0-x\r\n")
    assert said.split(b" ", 2)[1] in (b"400", b"404", b"405")


async def test_a_forged_hop_before_our_proxy_opens_no_new_bucket(tmp_path_factory: Any) -> None:
    """The entry rate of log-in and of enrolment is one for each address that the proxy saw."""
    folder = tmp_path_factory.mktemp("proxied")
    with cloud_server(folder, options=["--proxy", "127.0.0.1"]) as server:
        async with Visitor.at(server.url) as visitor:
            codes: dict[str, list[str]] = {"in": [], "enrol": [], "other": []}
            for number in range(14):
                forged = {"X-Forwarded-For": f"198.51.100.{number}, 127.0.0.1, 192.0.2.7"}
                wish: dict[str, Any] = {"name": "admin", "password": "wrong"}
                codes["in"].append((await visitor.send("POST", "/api/v1/session", wish, forged))[1]["code"])
                forged = {"X-Forwarded-For": f"2001:db8::{number}, bogus, 192.0.2.8"}
                wish = {
                    "token": "ots-enrol-abcd2345-" + "x" * 43,
                    "agent_id": _ANY_ID,
                    "name": "x",
                    "public_key": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                    "version": "1",
                }
                codes["enrol"].append((await visitor.send("POST", "/api/v1/agents", wish, forged))[1]["code"])
            wish = {"name": "admin", "password": "wrong"}
            seen = {"X-Forwarded-For": "192.0.2.9"}
            codes["other"].append((await visitor.send("POST", "/api/v1/session", wish, seen))[1]["code"])
    assert codes["in"][:10] == ["login-failed"] * 10 and codes["in"][-1] == "rate-limited"
    assert "rate-limited" not in codes["enrol"][:10] and codes["enrol"][-1] == "rate-limited"
    assert codes["other"] == ["login-failed"]
