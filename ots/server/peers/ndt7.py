"""ndt7 (M-Lab's ndt7-protocol, 0.9): downloads and uploads of ten seconds over a WebSocket.

    GET /ndt/v7/download, /ndt/v7/upload      subprotocol net.measurementlab.ndt.v7, ws and wss

Messages are binary content, and every quarter of a second a text with what the server measured: the kernel's
TCP_INFO of this connection. M-Lab's access tokens are not asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from ots.server.peers.doorway import Doorway, doorway_of
from ots.server.peers.facility import FACILITY, Facility
from ots.server.peers.frames import BINARY, CLOSE, PONG, TEXT, Frames, accept_key, header
from ots.server.peers.ndt7_measurement import measurement

PROTOCOL = "net.measurementlab.ndt.v7"
SECONDS = 10.0
_INTERVAL = 0.25
_LEAST_MESSAGE, _MOST_MESSAGE = 1 << 13, 1 << 20
_MOST_FROM_CLIENT = 1 << 24
_SCALING = 16
"""A message is doubled as long as it is less than this part of what has been sent."""
_GOODBYE = 2.0
_NORMAL = (1000).to_bytes(2, "big")


def add_routes(app: web.Application) -> None:
    app.router.add_get("/ndt/v7/download", _download)
    app.router.add_get("/ndt/v7/upload", _upload)


async def _download(request: web.Request) -> web.StreamResponse:
    return await _run(request, "download", _send_content, SECONDS)


async def _upload(request: web.Request) -> web.StreamResponse:
    # The client ends it after ten seconds; what it has buffered by then still comes.
    return await _run(request, "upload", None, SECONDS + _GOODBYE)


class Session:
    """One direction of one client."""

    def __init__(self, request: web.Request, doorway: Doorway, test: str) -> None:
        self.doorway = doorway
        self.facility: Facility = request.app[FACILITY]
        self.sent = self.received = 0
        self._request = request
        self._test = test
        self._start = time.monotonic()
        self._uuid = str(uuid.uuid4())

    def count(self, size: int) -> None:
        self.received += size

    async def measure(self) -> None:
        """A text message four times a second, for ever."""
        while True:
            await asyncio.sleep(_INTERVAL)
            await self.say()

    async def say(self) -> None:
        counted = self.sent if self._test == "download" else self.received
        text = json.dumps(
            measurement(self._request, self._test, self._uuid, time.monotonic() - self._start, counted)
        ).encode()
        await self.doorway.write(header(TEXT, len(text)) + text)


async def _send_content(session: Session) -> None:
    """Binary messages, for ever."""
    page = session.facility.source.page
    size, next_say = _LEAST_MESSAGE, time.monotonic() + _INTERVAL
    while True:
        await session.doorway.write(header(BINARY, size), page[:size])
        session.sent += size
        if size < _MOST_MESSAGE and size * _SCALING <= session.sent:
            size *= 2
        if time.monotonic() >= next_say:
            # Said here and not beside: texts may not fall between a message's header and its content.
            next_say += _INTERVAL
            await session.say()


async def _run(
    request: web.Request,
    test: str,
    send: Callable[[Session], Coroutine[Any, Any, None]] | None,
    seconds: float,
) -> web.StreamResponse:
    doorway = doorway_of(request)
    if doorway is None or not doorway.holding or not _is_handshake(request):
        raise web.HTTPBadRequest(text=f"this is a WebSocket of the subprotocol {PROTOCOL}\n")
    with request.app[FACILITY].transfer(request) as granted:
        await doorway.write(_handshake(request))
        session = Session(request, doorway, test)
        pings: list[bytes] = []
        frames = Frames(_MOST_FROM_CLIENT, session.count, pings.append)
        listening = asyncio.create_task(doorway.lend(frames))
        speaking = asyncio.create_task(session.measure() if send is None else send(session))
        try:
            await asyncio.wait(
                [listening, speaking],
                timeout=min(seconds, granted),
                return_when=asyncio.FIRST_COMPLETED,
            )
            await _end(speaking)
            with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
                async with asyncio.timeout(_GOODBYE):
                    await session.say()
                    for content in pings[:1]:
                        await doorway.write(header(PONG, len(content)) + content)
                    await doorway.write(header(CLOSE, len(_NORMAL)) + _NORMAL)
                    await listening
        finally:
            await _end(speaking)
            await _end(listening)
            doorway.close()
    # The connection is closed: aiohttp writes no answer.
    return web.Response()


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, ConnectionError, ValueError):
        await task


def _is_handshake(request: web.Request) -> bool:
    offered = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    return (
        request.headers.get("Upgrade", "").lower() == "websocket"
        and request.headers.get("Sec-WebSocket-Version") == "13"
        and len(request.headers.get("Sec-WebSocket-Key", "")) == 24
        and PROTOCOL in offered
    )


def _handshake(request: web.Request) -> bytes:
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(request.headers['Sec-WebSocket-Key'])}\r\n"
        f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
    ).encode("latin-1")
