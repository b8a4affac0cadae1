"""The server's clock jumps: who stays logged in, which requests and tokens hold, what receipts say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from ots.clock import rfc3339
from ots.server.app import make_app
from ots.server.database.database import open_database
from ots.server.first_start import FirstAccount, prepare
from ots.server.identity.people import IDLE, LIFE
from ots.server.identity.tokens import TokenWish, create_token
from ots.server.services import Keys, Services, open_services
from ots.signing.request import WINDOW
from tests.cloud_kit import ADMIN_PASSWORD, HandAgent, Visitor
from tests.server_database import address

_YEAR = 365 * 86_400.0


@dataclass
class Clocked:
    """A server in this process, whose clock is off by `jump` seconds."""

    url: str
    services: Services
    first: FirstAccount
    jump: float = 0.0

    def now(self) -> float:
        return time.time() + self.jump

    async def token(self, **wish: float) -> str:
        made = TokenWish(max_uses=9, **wish)  # type: ignore[arg-type]
        return await create_token(self.services.database, made, actor="test", now=self.now())

    @contextlib.asynccontextmanager
    async def logged_in(self) -> AsyncIterator[Visitor]:
        async with Visitor.at(self.url) as visitor:
            await visitor.log_in(self.first.name, self.first.password)
            new = {"present": self.first.password, "new": ADMIN_PASSWORD}
            assert (await visitor.send("PUT", "/api/v1/session/password", new))[0] == 204
            yield visitor


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Clocked]:
    database = open_database(address(tmp_path))
    first = await prepare(database, "clocked", time.time())
    assert first is not None
    services = await open_services(database, Keys.of(tmp_path), rate_factor=1000)
    runner = web.AppRunner(make_app(services), auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    clocked = Clocked(f"http://{host}:{port}", services, first)
    services.wall = clocked.now
    yield clocked
    await runner.cleanup()


@pytest.mark.parametrize("jump", [IDLE - 60, -600, -_YEAR])
async def test_within_the_window_and_backwards_everybody_stays_logged_in(
    server: Clocked, jump: float
) -> None:
    async with server.logged_in() as visitor:
        server.jump = jump
        assert (await visitor.get("/api/v1/agents"))[0] == 200


@pytest.mark.parametrize("jump", [IDLE + 60, _YEAR])
async def test_beyond_it_a_log_in_is_asked_for_and_works(server: Clocked, jump: float) -> None:
    async with server.logged_in() as visitor:
        server.jump = jump
        status, problem = await visitor.get("/api/v1/agents")
        assert (status, problem["code"]) == (401, "login-required")
        assert (await visitor.log_in(server.first.name, ADMIN_PASSWORD))[0] == 200
        assert (await visitor.get("/api/v1/agents"))[0] == 200


async def test_a_clock_set_back_makes_no_log_in_last_longer(server: Clocked) -> None:
    async with server.logged_in() as visitor:
        server.jump = -_YEAR
        assert (await visitor.get("/api/v1/agents"))[0] == 200
        server.jump += IDLE + 60
        assert (await visitor.get("/api/v1/agents"))[0] == 401
        assert (await visitor.log_in(server.first.name, ADMIN_PASSWORD))[0] == 200
        step = IDLE - 60
        for _ in range(int(LIFE / step)):
            server.jump += step
            assert (await visitor.get("/api/v1/agents"))[0] == 200
        server.jump += step
        assert (await visitor.get("/api/v1/agents"))[0] == 401


@pytest.mark.parametrize("jump", [WINDOW + 10, -WINDOW - 10, _YEAR])
async def test_agents_are_told_keep_the_offset_and_lose_nothing(server: Clocked, jump: float) -> None:
    """A refusal names the cause; signed by the server's time all goes on, and nothing is kept twice."""
    agent = HandAgent(server.url)
    async with Visitor.at(server.url) as visitor:
        session = visitor.session
        assert (await agent.enrol(session, await server.token()))[0] == 201
        before, after = agent.report(1), agent.report(2)
        status, first = await agent.upload(session, before)
        assert status == 201
        server.jump = jump
        status, problem = await agent.upload(session, after)
        assert (status, problem["code"]) == (401, "clock-skew")
        agent.skew = int(jump)
        assert (await agent.upload(session, after))[0] == 201
        assert await agent.upload(session, before) == (200, first)
    async with server.logged_in() as visitor:
        reports = (await visitor.get("/api/v1/reports"))[1]["items"]
        times = {report["report_id"]: report["received"] for report in reports}
        assert times[after.report_id][:10] == rfc3339(server.now())[:10]
        assert (times[after.report_id] > times[before.report_id]) == (jump > 0)


async def test_a_token_ends_by_the_clock_and_a_clock_set_right_again_gives_it_back(server: Clocked) -> None:
    async with Visitor.at(server.url) as visitor:
        token = await server.token(seconds=3600.0)
        for jump, expected in ((7200.0, "token-expired"), (-7200.0, None)):
            server.jump = jump
            status, answer = await HandAgent(server.url, skew=int(jump)).enrol(visitor.session, token)
            assert (status, answer.get("code")) == ((403, expected) if expected else (201, None))
