"""The test server's HTTP side: speed tests of four protocols, and a small page with its parts.

    /speed/…        our own protocol (speed.py); LibreSpeed, ndt7 and Speedtest Mini in modules of their names
    GET  /pages/    a page of HTML, style, script and pictures

Nothing is kept, nothing is cacheable.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

from aiohttp import web

from ots.server.peers import librespeed, mini, ndt7, speed
from ots.server.peers.facility import FACILITY, Facility
from ots.server.peers.guests import Guests
from ots.server.peers.limits import LOOPBACK
from ots.server.peers.pages import PARTS
from ots.server.peers.peer import Peer
from ots.server.peers.reception import Reception

BACKLOG = 1024
_LINGER = 1.0
_SHUTDOWN = 0.5


async def start(
    host: str, port: int = 0, *, tls: ssl.SSLContext | None = None, facility: Facility | None = None
) -> Peer:
    """Listens on host:port (0: any free one), with TLS if a context is given. OSError if it can't.

    Two peers with one `facility` have their places in common.
    """
    listener = await _listen(host, port)
    own = facility or Facility.made(LOOPBACK)
    try:
        service = await serving([(listener, tls)], own, Guests())
    except BaseException:
        listener.close()
        raise

    async def close() -> None:
        await service.close()
        listener.close()
        if facility is None:
            own.close()

    return Peer("http" if tls is None else "https", host, listener.getsockname()[1], close)


async def _listen(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return socket.create_server((str(address[0]), port), family=family, backlog=BACKLOG)


class Service:
    """Receptions at some listening sockets before one application."""

    def __init__(self, runner: web.AppRunner, receptions: list[Reception]) -> None:
        self._runner = runner
        self._receptions = receptions

    async def close(self) -> None:
        """Ends all connections; the listening sockets stay open."""
        for reception in self._receptions:
            await reception.close()
        await self._runner.cleanup()


async def serving(
    listeners: list[tuple[socket.socket, ssl.SSLContext | None]],
    facility: Facility,
    guests: Guests,
    worker: int = 0,
) -> Service:
    """Serves sockets that listen already, each with TLS if it has a context."""
    limits = facility.limits
    runner = web.AppRunner(
        application(facility),
        access_log=None,
        shutdown_timeout=_SHUTDOWN,
        handle_signals=False,
        keepalive_timeout=limits.header_seconds,
        lingering_time=_LINGER,
    )
    await runner.setup()
    assert runner.server is not None
    receptions = [
        Reception(listener, runner.server, limits, guests, worker=worker, tls=tls)
        for listener, tls in listeners
    ]
    for reception in receptions:
        reception.open()
    return Service(runner, receptions)


def application(facility: Facility | None = None) -> web.Application:
    """The routes, ready to be served; without a facility only the transfers and the page."""
    # Bodies are read as they come and dropped: no limit in memory is needed.
    app = web.Application(client_max_size=0)
    app[FACILITY] = facility or Facility.made(LOOPBACK)
    speed.add_transfers(app)
    if facility is None:
        app.on_cleanup.append(_close_facility)
    else:
        speed.add_slots(app)
        librespeed.add_routes(app)
        mini.add_routes(app)
        ndt7.add_routes(app)
    app.router.add_get("/pages/{name:.*}", _part)
    return app


async def _close_facility(app: web.Application) -> None:
    app[FACILITY].close()


async def _part(request: web.Request) -> web.Response:
    part = PARTS.get(request.match_info["name"])
    if part is None:
        raise web.HTTPNotFound
    media_type, body = part
    return web.Response(body=body, content_type=media_type, headers={"Cache-Control": "no-store"})
