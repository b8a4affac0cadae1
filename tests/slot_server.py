"""A small server of the OTS speed protocol that gives places; it counts who holds one.

It stands in until the embedded peer gives places itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict

from ots.server.peers import http

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class SlotServer:
    """What the server saw, and how it is to behave."""

    port: int = 0
    places: int = 1
    wait: float = 0.2
    busy_for: int = 0
    """So many requests for a place are told that it is busy."""
    held: set[str] = field(default_factory=set)
    given: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    without_place: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextlib.asynccontextmanager
async def slot_server(server: SlotServer | None = None) -> AsyncIterator[SlotServer]:
    """The peer's own routes behind a check of the place."""
    state = server or SlotServer()

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in ("/speed/down", "/speed/up") and request.headers.get("OTS-Slot") not in state.held:
            state.without_place += 1
            raise web.HTTPForbidden(text="no place\n")
        # The peer's own routes know nothing of these places.
        headers = [(name, value) for name, value in request.headers.items() if name.lower() != "ots-slot"]
        request = request.clone(headers=CIMultiDict(headers))
        return await handler(request)

    async def take(request: web.Request) -> web.Response:
        document = await request.json()
        if state.busy_for > 0 or len(state.held) >= state.places:
            state.busy_for -= 1
            return web.json_response(
                {"busy": True, "wait": state.wait}, status=503, headers={"Retry-After": "9"}
            )
        token = f"place-{len(state.given)}"
        state.held.add(token)
        state.given.append(token)
        return web.json_response({"slot": token, "seconds": document["seconds"], "expires_in": 60})

    async def give_back(request: web.Request) -> web.Response:
        token = request.match_info["token"]
        state.held.discard(token)
        state.returned.append(token)
        return web.Response(status=204)

    async def info(request: web.Request) -> web.Response:
        free = state.places - len(state.held)
        return web.json_response(
            {
                "name": "test",
                "software": "ots",
                "version": "1",
                "protocols": ["ots"],
                "slots": {"total": state.places, "free": free},
                "max_seconds": 60,
                "load": 0.25,
            }
        )

    app = http.application()
    app.middlewares.append(checked)
    app.router.add_post("/speed/slot", take)
    app.router.add_delete("/speed/slot/{token}", give_back)
    app.router.add_get("/speed/info", info)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        state.port = runner.addresses[0][1]
        yield state
    finally:
        await asyncio.shield(runner.cleanup())
