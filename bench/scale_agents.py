"""Agents as a server sees them: a signed line that stays open, and an answer to each command. One program
plays thousands; it runs nothing and checks no signature."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.clock import rfc3339
from ots.remote import control_wire as wire
from ots.remote.channel import pause
from ots.signing.keys import decode64
from ots.signing.request import signed_headers

AT_ONCE = 100
"""Agents on their way onto a line at the same time, where the admission is lifted."""

_PATH = "/api/v1/agent/channel"


@dataclass
class Crowd:
    """Many agents. `opened`, `first` (opened for the first time) and `delivered` are moments (monotonic) by
    agent, `took` the seconds that each opening took; `turned_away` counts refusals. At most `at_once` are on
    their way onto the line at the same time, any number if it is None."""

    key: Ed25519PrivateKey
    ports: Sequence[int]
    agents: Sequence[str]
    at_once: int | None = None
    opened: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    delivered: dict[str, float] = field(default_factory=dict)
    noted: int = 0
    turned_away: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _way: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._way = asyncio.Semaphore(self.at_once or len(self.agents))

    async def open(self, spread: float) -> None:
        """All come within `spread` seconds at random, and come back by the agent's own rule when refused."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=60),
        )
        self._tasks = [
            asyncio.create_task(self._live(agent_id, self.ports[number % len(self.ports)], spread))
            for number, agent_id in enumerate(self.agents)
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def all_there(self, limit: float) -> None:
        """Raises TimeoutError if somebody isn't on the line within `limit` seconds."""
        await self.until(lambda: len(self.opened) == len(self.agents), limit)

    async def until(self, holds: Callable[[], bool], limit: float) -> None:
        """Waits, looking again whenever something happens to an agent. Raises TimeoutError."""
        async with asyncio.timeout(limit):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def _live(self, agent_id: str, port: int, spread: float) -> None:
        await asyncio.sleep(random.uniform(0, spread))
        failures = 0
        while True:
            asked = None
            try:
                await self._line(agent_id, port)
                failures = 0
            except aiohttp.WSServerHandshakeError as refused:
                self.turned_away += 1
                if refused.headers is not None and "Retry-After" in refused.headers:
                    asked = float(refused.headers["Retry-After"])
            except (aiohttp.ClientError, ConnectionError):
                failures += 1
            self.opened.pop(agent_id, None)
            await asyncio.sleep(pause(failures, asked, 30.0))

    async def _line(self, agent_id: str, port: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with self._way:
                socket = await self._open(stack, agent_id, port)
            async for frame in socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    continue
                message = msgspec.json.decode(frame.data, type=wire.FromServer)
                if isinstance(message, wire.Deliver):
                    await self._obey(socket, agent_id, message.command)
                elif isinstance(message, wire.Noted):
                    self.noted += 1
                    self._news.set()

    async def _open(
        self, stack: contextlib.AsyncExitStack, agent_id: str, port: int
    ) -> aiohttp.ClientWebSocketResponse:
        """A line on which the agent has been welcomed."""
        assert self._session is not None
        signed = signed_headers(
            "GET", _PATH, "", b"", key=self.key, key_id=agent_id, created=int(time.time())
        )
        begun = time.monotonic()
        socket = await stack.enter_async_context(
            self._session.ws_connect(
                f"http://127.0.0.1:{port}{_PATH}", headers=signed, compress=0, max_msg_size=wire.MAX_FRAME
            )
        )
        await _say(socket, wire.Hello(version="bench", boot_id=str(uuid.uuid4()), time=_now()))
        frame = await socket.receive()
        if frame.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError("the line ended before the welcome")
        if not isinstance(msgspec.json.decode(frame.data, type=wire.FromServer), wire.Welcome):
            raise ConnectionError(f"no welcome but {frame.data}")
        self.opened[agent_id] = time.monotonic()
        self.first.setdefault(agent_id, self.opened[agent_id])
        self.took.append(self.opened[agent_id] - begun)
        self._news.set()
        return socket

    async def _obey(self, socket: aiohttp.ClientWebSocketResponse, agent_id: str, text: str) -> None:
        command = msgspec.json.decode(decode64(text.split(".")[1]), type=wire.Command)
        self.delivered[agent_id] = time.monotonic()
        self._news.set()
        await _say(socket, wire.Ack(command_id=command.command_id, answer="accepted", state="recorded"))
        answer: dict[str, str] | None = None if command.kind == "run" else {}
        standing = wire.Standing(command_id=command.command_id, state="finished", answer=answer)
        await _say(socket, wire.Done(standing=standing))


async def _say(socket: aiohttp.ClientWebSocketResponse, message: wire.FromAgent) -> None:
    with contextlib.suppress(ConnectionError):
        await socket.send_str(msgspec.json.encode(message).decode())


def _now() -> str:
    return rfc3339(time.time())
