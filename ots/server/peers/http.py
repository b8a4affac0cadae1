"""The embedded HTTP peer: speed endpoints, and a small page with its parts.

    GET  /speed/down          random bytes until the client leaves; ?size=N sends exactly N bytes
    POST /speed/up            swallows the body; answers with what arrived and when (PUT too)
    GET  /speed/empty         an empty answer, for round trips over HTTP
    GET  /pages/              a page of HTML, style, script and pictures

Nothing is kept, nothing is cacheable. The peer stands on loopback for demo, samples and tests.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time

from aiohttp import web

from ots.server.peers.pages import PARTS
from ots.server.peers.peer import Peer

PAGE_BYTES = 1 << 20
MAX_SIZE = 1 << 40
SERIES_GRAIN = 0.01
SERIES_POINTS = 20_000

_NO_CACHE = {"Cache-Control": "no-store, no-transform", "Content-Encoding": "identity"}
_OCTETS = "application/octet-stream"
_PAGE = web.AppKey("page", bytes)


async def start(host: str, port: int = 0, *, tls: ssl.SSLContext | None = None) -> Peer:
    """Listens on host:port (0: any free one), with TLS if a context is given. OSError if it can't."""
    runner = web.AppRunner(application(), access_log=None, shutdown_timeout=0.5, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    return Peer("http" if tls is None else "https", host, runner.addresses[0][1], runner.cleanup)


def application() -> web.Application:
    """The routes, ready to be served."""
    # Without a memory limit on bodies: they are read as they come and dropped.
    app = web.Application(client_max_size=MAX_SIZE)
    app[_PAGE] = os.urandom(PAGE_BYTES)
    app.router.add_get("/", _front)
    app.router.add_get("/speed/down", _down)
    app.router.add_route("POST", "/speed/up", _up)
    app.router.add_route("PUT", "/speed/up", _up)
    app.router.add_get("/speed/empty", _empty)
    app.router.add_get("/pages/{name:.*}", _part)
    return app


async def _front(request: web.Request) -> web.Response:
    return web.Response(text="OTS test peer\n", headers=_NO_CACHE)


async def _empty(request: web.Request) -> web.Response:
    return web.Response(body=b"", headers=_NO_CACHE)


async def _down(request: web.Request) -> web.StreamResponse:
    size = _size(request)
    page = memoryview(request.app[_PAGE])
    response = web.StreamResponse(headers={**_NO_CACHE, "Content-Type": _OCTETS})
    if size is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = size
    await response.prepare(request)
    left = MAX_SIZE if size is None else size
    # A client that leaves is how a timed download ends.
    with contextlib.suppress(ConnectionError):
        while left > 0:
            piece = page if left >= len(page) else page[:left]
            await response.write(piece)
            left -= len(piece)
        await response.write_eof()
    return response


async def _up(request: web.Request) -> web.Response:
    """Answers `{"received_bytes", "first", "last", "grain", "series": {"t", "bytes"}}`.

    Instants are on this peer's monotonic clock; `bytes` are cumulative, one point for the last read of every
    `grain` seconds.
    """
    arrivals = Arrivals()
    # A client that leaves will not read the answer either.
    with contextlib.suppress(ConnectionError):
        async for piece in request.content.iter_any():
            arrivals.add(time.monotonic(), len(piece))
    return web.json_response(arrivals.document(), headers=_NO_CACHE)


class Arrivals:
    """When how much of a body arrived, thinned so that it stays small however long the body is."""

    def __init__(self) -> None:
        self.grain = SERIES_GRAIN
        self.first: float | None = None
        self.t: list[float] = []
        self.total: list[int] = []
        self._bucket_end = 0.0
        self._bytes = 0

    def add(self, t: float, count: int) -> None:
        self._bytes += count
        if self.first is None:
            self.first = t
        if self.t and t < self._bucket_end:
            self.t[-1], self.total[-1] = t, self._bytes
            return
        if len(self.t) >= SERIES_POINTS:
            self.t, self.total = self.t[1::2], self.total[1::2]
            self.grain *= 2
        self.t.append(t)
        self.total.append(self._bytes)
        self._bucket_end = t + self.grain

    def document(self) -> dict[str, object]:
        return {
            "received_bytes": self._bytes,
            "first": self.first,
            "last": self.t[-1] if self.t else None,
            "grain": self.grain,
            "series": {"t": self.t, "bytes": self.total},
        }


async def _part(request: web.Request) -> web.Response:
    part = PARTS.get(request.match_info["name"])
    if part is None:
        raise web.HTTPNotFound
    media_type, body = part
    return web.Response(body=body, content_type=media_type, headers={"Cache-Control": "no-store"})


def _size(request: web.Request) -> int | None:
    text = request.query.get("size")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) > MAX_SIZE:
        raise web.HTTPBadRequest(text="size is a number of bytes\n")
    return int(text)
