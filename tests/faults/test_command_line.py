"""The line to the server cut, frozen, taken over; the server killed or replaced: nothing runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from ots.clock import rfc3339
from ots.remote import control_wire as wire
from ots.signing.request import signed_headers
from tests.cloud_kit import CloudServer, HandAgent, Visitor, administrator, cloud_server
from tests.control_kit import ObedientAgent, enrolled, settled, until
from tests.cut_line import Wire
from tests.peers.process import end
from tests.server_data import ask
from tests.server_database import chosen

pytestmark = pytest.mark.slow
OPTIONS = ["--rates", "1000", "--agent-return", "0.5", "--agent-ping", "0.5"]


async def give(admin: Visitor, agent: ObedientAgent, **wish: Any) -> str:
    path = f"/api/v1/agents/{agent.agent_id}/commands"
    status, made = await admin.send("POST", path, {"kind": "run", "expires_in": 600, **wish})
    assert status == 201, made
    return f"/api/v1/commands/{made['command_id']}"


async def reaches(admin: Visitor, path: str, *states: str) -> None:
    async def there() -> bool:
        return (await admin.get(path))[1]["state"] in states

    await until(there)


async def online(admin: Visitor, agent: ObedientAgent) -> bool:
    return bool((await admin.get(f"/api/v1/agents/{agent.agent_id}"))[1]["online"])


async def test_a_cut_and_a_freeze_in_the_middle_of_a_run_lose_and_double_nothing(tmp_path: Path) -> None:
    with cloud_server(tmp_path / "server", options=OPTIONS) as server:
        async with Wire.to(server.port) as line, administrator(server) as admin:
            agent = await asyncio.to_thread(enrolled, server, tmp_path / "agent", line.url, quick=True)
            agent.start()
            try:
                first = await give(admin, agent, run={"case": "ping"})
                await reaches(admin, first, "started", "done")
                line.cut()
                second = await give(admin, agent, run={"case": "ping"})
                await asyncio.sleep(1.0)
                assert (await admin.get(second))[1]["state"] == "queued"
                line.heal()
                done = [await settled(admin, path) for path in (first, second)]
                assert [each["state"] for each in done] == ["done", "done"]

                third = await give(admin, agent, run={"case": "ping"})
                await reaches(admin, third, "started", "done")
                line.freeze()
                frozen = time.monotonic()

                async def noticed() -> bool:
                    return not await online(admin, agent)

                await until(noticed, within=6)
                assert time.monotonic() - frozen < 0.5 * 1.25 * 2.5 + 3
                line.heal()
                assert (await settled(admin, third))["state"] == "done"

                async def back() -> bool:
                    return await online(admin, agent)

                await until(back)
            finally:
                agent.stop()
    assert sorted(agent.ran()) == sorted(path.rsplit("/", 1)[1] for path in (first, second, third))


async def test_where_no_websocket_gets_through_the_agent_polls(tmp_path: Path) -> None:
    hides = (b"Upgrade: websocket", b"X-Lost: websocket")
    with cloud_server(tmp_path / "server", options=OPTIONS) as server:
        async with Wire.to(server.port, hides) as line, administrator(server) as admin:
            agent = await asyncio.to_thread(enrolled, server, tmp_path / "agent", line.url, quick=True)
            agent.start()
            try:
                paths = [await give(admin, agent, run={"case": "ping"}) for _ in range(3)]
                done = [await settled(admin, path) for path in paths]

                async def there() -> bool:  # who came is written every half second
                    return await online(admin, agent)

                await until(there)
            finally:
                agent.stop()
    assert [each["state"] for each in done] == ["done"] * 3
    assert sorted(agent.ran()) == sorted(path.rsplit("/", 1)[1] for path in paths)
    assert ask(server.address, "SELECT count(*) FROM command_event WHERE state = 'started'") == [(3,)]


async def test_a_server_that_is_killed_hears_of_the_end_after_its_start(tmp_path: Path) -> None:
    with cloud_server(tmp_path / "server", options=OPTIONS) as server:
        agent = await asyncio.to_thread(enrolled, server, tmp_path / "agent", quick=True)
        agent.start()
        async with administrator(server) as admin:
            path = await give(admin, agent, run={"case": "ping"})
            await reaches(admin, path, "started", "done")
        server.process.kill()
        port, first = server.port, server.first
    try:
        with cloud_server(tmp_path / "server", options=OPTIONS, port=port) as again:
            again.first = first
            async with administrator(again) as admin:
                assert (await settled(admin, path))["state"] == "done"
    finally:
        agent.stop()
    assert len(agent.ran()) == 1


async def test_another_server_with_other_keys_is_not_obeyed(tmp_path: Path) -> None:
    with cloud_server(tmp_path / "server", options=OPTIONS) as server:
        agent = await asyncio.to_thread(enrolled, server, tmp_path / "agent", quick=True)
        port, first = server.port, server.first
        async with administrator(server):
            end(server.process, grace=15)
    chosen.copy(tmp_path / "server", tmp_path / "thief")
    (tmp_path / "thief" / "command.key").unlink()
    with cloud_server(tmp_path / "thief", options=OPTIONS, port=port) as thief:
        thief.first = first
        agent.start()
        try:
            async with administrator(thief) as admin:
                ended = await settled(admin, await give(admin, agent, run={"case": "ping"}))
        finally:
            agent.stop()
    assert (ended["state"], ended["reason"]) == ("rejected", "unknown-key")
    assert agent.ran() == []


@contextlib.asynccontextmanager
async def raw_line(server: CloudServer, agent: HandAgent) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A line of an agent that says what it likes."""
    path = "/api/v1/agent/channel"
    signed = signed_headers(
        "GET", path, "", b"", key=agent.key, key_id=agent.agent_id, created=int(time.time())
    )
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}{path}", headers=signed) as socket,
    ):
        yield socket


def hello() -> str:
    return msgspec.json.encode(wire.Hello(version="0", boot_id="b", time=rfc3339(0.0))).decode()


async def test_a_hostile_agent_is_cut_off_and_the_others_are_not(tmp_path: Path) -> None:
    with cloud_server(tmp_path / "server", options=OPTIONS) as server:
        agent = HandAgent(server.url)
        async with aiohttp.ClientSession() as session:
            assert (await agent.enrol(session, server.open_token()))[0] == 201
            status, problem = await agent.send(session, "GET", "/api/v1/agent/channel")
            assert (status, problem["code"]) == (400, "invalid-request")
            status, problem = await agent.send(session, "GET", "/api/v1/agent/commands")
            assert (status, problem["code"]) == (409, "conflict")
        for frames in (["{}"], ["no json"], [hello(), hello()], [hello(), "x" * (wire.MAX_FRAME + 1)],
                       [hello(), *['{"is": "progress", "command_id": "c"}'] * 400]):  # fmt: skip
            async with raw_line(server, agent) as socket:
                with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                    for frame in frames:
                        await socket.send_str(frame)
                while not (await socket.receive(timeout=10)).type.name.startswith(("CLOS", "ERR")):
                    pass
        async with raw_line(server, agent) as older, raw_line(server, agent) as newer:
            for socket in (older, newer):
                await socket.send_str(hello())
                assert (await socket.receive_json(timeout=10))["is"] == "welcome"
            assert (await older.receive_json(timeout=10))["reason"] == "replaced"


async def test_a_flood_of_commands_and_of_agents_is_turned_away(tmp_path: Path) -> None:
    with cloud_server(tmp_path / "server", options=[*OPTIONS, "--rates", "10000"]) as server:
        agent = await asyncio.to_thread(enrolled, server, tmp_path / "agent")
        async with administrator(server) as admin:
            path = f"/api/v1/agents/{agent.agent_id}/commands"
            wish = {"kind": "ping", "expires_in": 600}
            codes = [(await admin.send("POST", path, wish))[0] for _ in range(40)]
        assert codes.count(201) == 16 and codes.count(429) == 24
        url = f"{server.url}/api/v1/agent/channel"
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        async with aiohttp.ClientSession() as session:

            async def knock() -> tuple[int, str | None]:
                async with session.get(url, headers=headers) as answer:
                    return answer.status, answer.headers.get("Retry-After")

            answers = await asyncio.gather(*(knock() for _ in range(60)))
    shed = [retry for status, retry in answers if status == 503]
    assert len(shed) >= 40 and all(shed), "before anything was looked at"
    assert ask(server.address, "SELECT count(*) FROM command") == [(16,)]
