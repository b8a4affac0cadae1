"""LibreSpeed's backend, by its documented URLs, for LibreSpeed's clients (also below /backend/).

    GET       garbage.php?ckSize=N    N times 1 MiB (default 4, at most 1024) that no path can compress
    GET,POST  empty.php               swallows a body; answers with nothing
    GET       getIP.php               {"processedString": the client's address, "rawIspInfo": ""}

`?cors=1` lets scripts of other sites use it, as LibreSpeed has it.
"""

from __future__ import annotations

from aiohttp import web

from ots.server.peers.arrivals import Arrivals
from ots.server.peers.facility import FACILITY, NO_CACHE, OCTETS, address_of
from ots.server.peers.sink import sink

_MEBI = 1 << 20
_DEFAULT, _MOST = 4, 1024


def add_routes(app: web.Application) -> None:
    for folder in ("", "/backend"):
        app.router.add_get(f"{folder}/garbage.php", _garbage)
        app.router.add_get(f"{folder}/getIP.php", _get_ip)
        for method in ("GET", "POST"):
            app.router.add_route(method, f"{folder}/empty.php", _empty)
        for name in ("garbage", "getIP", "empty"):
            app.router.add_options(f"{folder}/{name}.php", _options)


async def _garbage(request: web.Request) -> web.StreamResponse:
    facility = request.app[FACILITY]
    text = request.query.get("ckSize", "")
    # What is no number means the default, and too much the most there is: that is what clients rely on.
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else _DEFAULT
    count = min(max(1, size), _MOST) * _MEBI
    headers = {**NO_CACHE, **_cors(request), "Content-Type": OCTETS}
    with facility.transfer(request) as seconds:
        return await facility.source.send(request, count, seconds, headers)


async def _empty(request: web.Request) -> web.StreamResponse:
    headers = {**NO_CACHE, **_cors(request)}
    if not request.can_read_body:
        return web.Response(body=b"", headers=headers)
    facility = request.app[FACILITY]
    with facility.transfer(request) as seconds:
        return await sink(
            request, seconds=seconds, most=facility.limits.max_bytes, answer=_nothing, headers=headers
        )


def _nothing(arrivals: Arrivals) -> tuple[str, bytes]:
    return "text/plain", b""


async def _get_ip(request: web.Request) -> web.Response:
    return web.json_response(
        {"processedString": address_of(request), "rawIspInfo": ""}, headers={**NO_CACHE, **_cors(request)}
    )


async def _options(request: web.Request) -> web.Response:
    return web.Response(status=204, headers=_cors(request))


def _cors(request: web.Request) -> dict[str, str]:
    if "cors" not in request.query:
        return {}
    return {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Content-Encoding, Content-Type",
    }
