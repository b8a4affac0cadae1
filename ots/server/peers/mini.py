"""Speedtest Mini, as its clients know it: `speedtest-cli --mini http://HOST:PORT/`.

GET   /                                 a page that names the kind of its upload script
GET   /speedtest/latency.txt            `test=test`
GET   /speedtest/random{N}x{N}.jpg      2 bytes for each of N x N pixels that no path can compress
POST  /speedtest/upload.php             swallows a body; answers `size=BYTES` (GET: `size=0`)
"""

from __future__ import annotations

from aiohttp import web

from ots.server.peers.arrivals import Arrivals
from ots.server.peers.facility import FACILITY, NO_CACHE
from ots.server.peers.sink import sink

FRONT = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>OTS test server</title></head>
<body>
<h1>OTS test server</h1>
<p>Speed tests: <code>ots speedtest</code>, LibreSpeed, ndt7, Speedtest Mini.</p>
<script>const mini = { upload_extension: "php" };</script>
</body>
</html>
"""
_BYTES_A_PIXEL = 2
_SIDES = {350, 500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000}


def add_routes(app: web.Application) -> None:
    app.router.add_get("/", _front)
    app.router.add_get("/speedtest/latency.txt", _latency)
    app.router.add_get(r"/speedtest/random{width:\d{1,4}}x{height:\d{1,4}}.jpg", _picture)
    for method in ("GET", "POST"):
        app.router.add_route(method, "/speedtest/upload.php", _upload)


async def _front(request: web.Request) -> web.Response:
    return web.Response(text=FRONT, content_type="text/html", headers=NO_CACHE)


async def _latency(request: web.Request) -> web.Response:
    return web.Response(text="test=test\n", headers=NO_CACHE)


async def _picture(request: web.Request) -> web.StreamResponse:
    side = int(request.match_info["width"])
    if side not in _SIDES or request.match_info["height"] != request.match_info["width"]:
        raise web.HTTPNotFound
    facility = request.app[FACILITY]
    headers = {**NO_CACHE, "Content-Type": "image/jpeg"}
    with facility.transfer(request) as seconds:
        return await facility.source.send(request, _BYTES_A_PIXEL * side * side, seconds, headers)


async def _upload(request: web.Request) -> web.StreamResponse:
    if not request.can_read_body:
        return web.Response(text="size=0", headers=NO_CACHE)
    facility = request.app[FACILITY]
    with facility.transfer(request) as seconds:
        return await sink(
            request, seconds=seconds, most=facility.limits.max_bytes, answer=_size, headers=NO_CACHE
        )


def _size(arrivals: Arrivals) -> tuple[str, bytes]:
    return "text/plain", b"size=%d" % arrivals.bytes
