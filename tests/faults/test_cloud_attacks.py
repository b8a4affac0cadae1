"""Attacks on the doors of the cloud server: guessing, a false address, huge headers, secrets in logs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from ots.server.api.operation import Rate
from ots.server.api.problems import Refused
from ots.server.api.rates import RateLimiter
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator, cloud_server
from tests.server_data import everything

pytestmark = pytest.mark.slow
_CANARY = "canary-4f1d-password"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(tmp_path) as started:
        yield started


def _kept(server: CloudServer) -> dict[str, bytes]:
    """All that the server wrote: each file of its folder, and the rows of each table wherever they are."""
    files = {str(path): path.read_bytes() for path in server.folder.rglob("*") if path.is_file()}
    return {**files, **everything(server.address)}


def _places(kept: dict[str, bytes], words: bytes) -> list[str]:
    return [name for name, content in kept.items() if words in content]


async def test_guessing_ends_at_the_limit_whatever_address_is_claimed(server: CloudServer) -> None:
    """No proxy is ours: X-Forwarded-For gives nobody a new bucket. Nothing that was tried is kept."""
    codes = []
    async with Visitor.at(server.url) as visitor:
        for number in range(14):
            claimed = {"X-Forwarded-For": f"192.0.2.{number}"}
            wish = {"name": "admin\r\nforged: line", "password": _CANARY}
            _, problem = await visitor.send("POST", "/api/v1/session", wish, claimed)
            codes.append(problem["code"])
    assert codes[:9] == ["login-failed"] * 9 and codes[-1] == "rate-limited"
    kept = _kept(server)
    assert "audit" in _places(kept, b"forged: line")
    assert not _places(kept, _CANARY.encode())
    # The audit trail keeps the name as a value; a line of the log it must not become.
    assert b"\nforged: line" not in (server.folder / "stderr.log").read_bytes()


async def test_a_limiter_forgets_rather_than_grows() -> None:
    limiter = RateLimiter()
    for number in range(60_000):
        limiter.spend(f"address {number}", Rate.ENTRY, 0.0)
    assert len(limiter._buckets) <= 50_000
    with pytest.raises(Refused, match="rate-limited"):
        for _ in range(20):
            limiter.spend("address 59999", Rate.ENTRY, 0.0)


async def test_a_token_is_nowhere_in_the_clear(server: CloudServer) -> None:
    token = server.token()
    async with aiohttp.ClientSession() as session:
        assert (await HandAgent(server.url).enrol(session, token))[0] == 201
        assert (await HandAgent(server.url).enrol(session, token))[1]["code"] == "token-exhausted"
    kept = _kept(server)
    assert "enrolment_token" in _places(kept, token.split("-")[2].encode())
    assert not _places(kept, token.rpartition("-")[2].encode())


async def test_a_session_of_the_attackers_choice_is_not_taken(server: CloudServer) -> None:
    async with administrator(server) as admin:
        before = admin.cookies()["ots-session"].value
    assert server.first is not None
    fixed = {"Cookie": "ots-session=chosen-by-somebody-else"}
    async with aiohttp.ClientSession() as session:
        wish = {"name": "admin", "password": "correct horse battery"}
        async with session.post(f"{server.url}/api/v1/session", json=wish, headers=fixed) as answer:
            given = answer.cookies["ots-session"].value
            assert answer.status == 200 and given not in (before, "chosen-by-somebody-else")
        async with session.get(f"{server.url}/api/v1/session", headers=fixed) as answer:
            assert answer.status == 401


@pytest.mark.parametrize("line", [b"X-Long: " + b"a" * 100_000, b"X" * 100_000 + b": a"])
async def test_a_huge_header_is_refused_and_the_server_goes_on(server: CloudServer, line: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /api/v1/session HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] in (b"400", b"431")
    writer.close()
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/readyz") as answer:
        assert answer.status == 200
