"""Small servers of foreign speed tests: LibreSpeed, Speedtest Mini, ndt7 and its locate service.

They speak as the protocols' documents say, and count what they received, so that a test can compare.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiohttp import web

NDT7 = "net.measurementlab.ndt.v7"
PAGE = os.urandom(1 << 20)


@dataclass
class Foreign:
    """What the server saw, and how it is to behave."""

    port: int = 0
    received: int = 0
    """Bytes of uploads, whole or cut off."""
    upload_status: int = 200
    ndt7_status: int = 101
    ndt7_seconds: float = 10.0
    early_close: bool = False
    after_a_megabyte: Literal["go on", "stall", "reset"] = "go on"
    second_picture: Literal["like the first", "says close", "no answer", "refused"] = "like the first"
    """What becomes of the request for a second picture on a connection; `refused`: on any."""
    pictures: int = 0
    picture_connections: int = 0
    silent: bool = False
    """An ndt7 server that says nothing of what it received."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextlib.asynccontextmanager
async def foreign(state: Foreign | None = None) -> AsyncIterator[Foreign]:
    """All of them on one port."""
    server = _Foreign(state or Foreign())
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.2, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.state.port = runner.addresses[0][1]
        yield server.state
    finally:
        await asyncio.shield(runner.cleanup())


class _Foreign:
    def __init__(self, state: Foreign) -> None:
        self.state = state
        self._pictured: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        self.app = web.Application(client_max_size=1 << 40)
        add = self.app.router.add_route
        add("GET", "/backend/garbage.php", self._garbage)
        add("*", "/backend/empty.php", self._empty)
        add("GET", "/backend/getIP.php", self._address)
        add("GET", "/mini/", self._front)
        add("GET", "/mini/speedtest/latency.txt", self._latency)
        add("GET", "/mini/speedtest/random{n}x{m}.jpg", self._picture)
        add("POST", "/mini/speedtest/upload.php", self._upload)
        add("GET", "/ndt/v7/download", self._ndt7_download)
        add("GET", "/ndt/v7/upload", self._ndt7_upload)
        add("GET", "/v2/nearest/ndt/ndt7", self._locate)

    async def _stream(
        self, request: web.Request, size: int, headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(size), **(headers or {})})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while size > 0:
                await response.write(PAGE[:size])
                size -= len(PAGE)
                if self.state.after_a_megabyte == "stall":
                    await asyncio.Event().wait()
                elif self.state.after_a_megabyte == "reset":
                    assert request.transport is not None
                    request.transport.abort()
        return response

    async def _swallow(self, request: web.Request) -> int:
        before = self.state.received
        with contextlib.suppress(ConnectionError):
            async for piece in request.content.iter_any():
                self.state.received += len(piece)
        return self.state.received - before

    async def _garbage(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, int(request.query["ckSize"]) << 20)

    async def _empty(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            if self.state.upload_status != 200:
                return web.Response(status=self.state.upload_status)
            await self._swallow(request)
        return web.Response(body=b"")

    async def _address(self, request: web.Request) -> web.Response:
        return web.json_response({"processedString": f"{request.remote} - Loopback", "rawIspInfo": ""})

    async def _front(self, request: web.Request) -> web.Response:
        return web.Response(text='upload_extension: "php"', content_type="text/html")

    async def _latency(self, request: web.Request) -> web.Response:
        return web.Response(text="test=test\n")

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        transport, state, headers = request.transport, self.state, {}
        assert transport is not None
        if state.second_picture == "refused" and state.pictures:
            return web.Response(status=403)
        if transport not in self._pictured:
            self._pictured.add(transport)
            state.picture_connections += 1
        elif state.second_picture == "no answer":
            transport.close()
        elif state.second_picture == "says close":
            headers = {"Connection": "close"}
        state.pictures += 1
        return await self._stream(request, 2 * int(request.match_info["n"]) ** 2, headers)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        if self.state.upload_status != 200:
            return web.Response(status=self.state.upload_status)
        return web.Response(text=f"size={await self._swallow(request)}")

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        if self.state.ndt7_status != 101:
            raise web.HTTPServiceUnavailable if self.state.ndt7_status == 503 else web.HTTPForbidden
        ws = web.WebSocketResponse(protocols=(NDT7,), compress=False, max_msg_size=16 << 20)
        await ws.prepare(request)
        return ws

    async def _ndt7_download(self, request: web.Request) -> web.StreamResponse:
        ws = await self._websocket(request)
        end, size = time.monotonic() + self.state.ndt7_seconds, 1 << 13
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                await ws.send_bytes(PAGE[:size])
                size = min(2 * size, 1 << 20)
            if self.state.early_close:
                assert request.transport is not None
                request.transport.abort()
            await ws.close()
        return ws

    async def _ndt7_upload(self, request: web.Request) -> web.StreamResponse:
        ws = await self._websocket(request)
        start = said = time.monotonic()
        mine = 0
        with contextlib.suppress(ConnectionError):
            async for message in ws:
                now = time.monotonic()
                if message.type is aiohttp.WSMsgType.BINARY:
                    mine += len(message.data)
                    self.state.received += len(message.data)
                if now - said > 0.1 and not self.state.silent:
                    said, micros = now, round(1e6 * (now - start))
                    await ws.send_json({"TCPInfo": {"BytesReceived": mine, "ElapsedTime": micros}})
                if now - start > self.state.ndt7_seconds:
                    break
            await ws.close()
        return ws

    async def _locate(self, request: web.Request) -> web.Response:
        dead, here = "ws://127.0.0.1:9", f"ws://127.0.0.1:{self.state.port}"
        results = [
            {
                "machine": "test",
                "urls": {
                    f"ws:///ndt/v7/{way}": f"{base}/ndt/v7/{way}?access_token=s3cret"
                    for way in ("download", "upload")
                },
            }
            for base in (dead, here)
        ]
        return web.json_response({"results": results})
