"""The test server's own routes with few places, in this process: a test can take one and look at them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from ots.server.peers import http
from ots.server.peers.facility import Facility
from ots.server.peers.limits import Limits
from ots.server.peers.slots import Slot


@dataclass(frozen=True)
class SlotServer:
    """Where it listens, and its places."""

    port: int
    facility: Facility

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def free(self) -> int:
        return self.facility.slots.free()

    def occupy(self, seconds: float) -> Slot:
        """Somebody else takes a place for so long."""
        return self.facility.slots.take(b"somebody else", seconds)


@contextlib.asynccontextmanager
async def slot_server(places: int = 1) -> AsyncIterator[SlotServer]:
    """With one place a transfer that does not name it is turned away."""
    facility = Facility.made(Limits(slots=places), "test")
    app = http.application(facility)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield SlotServer(runner.addresses[0][1], facility)
    finally:
        await asyncio.shield(runner.cleanup())
        facility.close()
