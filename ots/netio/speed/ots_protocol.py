"""The OTS protocol: plain HTTP below /speed/, with places so that a server never measures its own queue.

    GET    /speed/info          who it is and what it has free; a server may not have it
    POST   /speed/slot          {"seconds": n} -> {"slot", "seconds", "expires_in"}; 503 busy; 404 no places
    GET    /speed/down          streams; POST /speed/up swallows; GET /speed/empty for round trips
    DELETE /speed/slot/TOKEN    gives the place back

The place's token stands in the header `OTS-Slot` of every request.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from yarl import URL

from ots.netio.speed.client import Reply, SpeedClient
from ots.netio.speed.http_load import HTTPDownload, HTTPUpload, round_trips
from ots.netio.speed.load import Load
from ots.netio.speed.server import base_of, below
from ots.netio.speed.service import Busy, Service, Visit
from ots.probe import Failed

SLOT_HEADER = "OTS-Slot"
DEFAULT_WAIT = 5.0
_SHORTEST_WAIT = 0.2
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,256}")
_GIVE_BACK = 1.0
"""Seconds that giving back a place may take: it also runs out by itself."""


class OTSService(Service):
    """A server of ours."""

    protocol = "ots"

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._base = base_of(visit.target)
        self._slot: str | None = None

    async def open(self) -> None:
        client = SpeedClient(self.visit.way)
        try:
            await self._ask_who(client)
            await self._take_place(client)
        finally:
            await client.close()

    async def round_trips(self, count: int, interval: float) -> AsyncIterator[float]:
        async for seconds in round_trips(
            self.visit, lambda: self._at("empty"), count, interval, self._headers
        ):
            yield seconds

    async def download(self, load: Load) -> None:
        url = self._at("down") if self._slot is None else self._at("down").with_query(seconds=self._seconds)
        await HTTPDownload(self.visit, load, lambda: url, self._headers).run()

    async def upload(self, load: Load) -> None:
        await HTTPUpload(self.visit, load, lambda: self._at("up"), self._headers).run()

    async def close(self) -> None:
        if self._slot is None:
            return
        slot, self._slot = self._slot, None
        client = SpeedClient(self.visit.way)
        try:
            async with asyncio.timeout(_GIVE_BACK):
                reply = await client.exchange("DELETE", self._at(f"slot/{quote(slot, safe='')}"))
            if not reply.accepted and reply.status != 404:
                self.visit.ctx.log.info(f"the server answered {reply.status} when its place was given back")
        except (Failed, TimeoutError) as failure:
            self.visit.ctx.log.info(f"the place could not be given back: {failure}")
        finally:
            await client.close()

    @property
    def _headers(self) -> dict[str, str]:
        return {} if self._slot is None else {SLOT_HEADER: self._slot}

    @property
    def _seconds(self) -> int:
        """How long a place is needed: both directions, with their start and the round trips between."""
        params = self.visit.params
        each = params.duration + params.growth_limit + 2.0
        return math.ceil(len(params.wanted) * each + params.count * params.interval + 3.0)

    def _at(self, path: str) -> URL:
        return below(self._base, f"speed/{path}")

    async def _ask_who(self, client: SpeedClient) -> None:
        reply = await client.exchange("GET", self._at("info"))
        if reply.status == 404:
            # An older server, or a small one: it must at least have the test itself.
            reply = await client.exchange("GET", self._at("empty"))
            if not reply.accepted:
                raise _no_server(reply)
            return
        if not reply.accepted:
            raise _no_server(reply)
        said = reply.document()
        names = ("name", "software", "version")
        self.visit.ctx.method(
            **{f"server_{name}": said[name][:100] for name in names if isinstance(said.get(name), str)}
        )
        load = said.get("load")
        if isinstance(load, int | float) and not isinstance(load, bool) and math.isfinite(load):
            self.visit.ctx.method(server_load=float(load))

    async def _take_place(self, client: SpeedClient) -> None:
        """Waits as long as the parameters allow where the server is busy."""
        ctx, params = self.visit.ctx, self.visit.params
        start = ctx.clock.monotonic()
        while True:
            reply = await client.exchange("POST", self._at("slot"), {"seconds": self._seconds})
            if reply.status in (404, 405, 501):
                ctx.method(slot=False)
                return
            if reply.accepted:
                self._slot = _token(reply)
                ctx.method(slot=True, slot_wait=round(ctx.clock.monotonic() - start, 3))
                return
            if reply.status != 503 and reply.status != 429:
                raise Failed(
                    "auth" if reply.status in (401, 403) else "rejected",
                    "request",
                    str(reply.status),
                    f"the server answered {reply.status} when asked for a place",
                )
            wait = _wait(reply)
            left = params.busy_wait - (ctx.clock.monotonic() - start)
            if wait > left:
                raise Busy(wait, f"the server is busy and asks to wait {wait:g} s")
            ctx.progress(None, f"busy, waiting {wait:g} s")
            await asyncio.sleep(max(_SHORTEST_WAIT, wait))


def _no_server(reply: Reply) -> Failed:
    return Failed(
        "rejected", "first_byte", str(reply.status), f"no OTS server here: it answered {reply.status}"
    )


def _token(reply: Reply) -> str:
    slot = reply.document().get("slot")
    if not isinstance(slot, str) or not _TOKEN.fullmatch(slot):
        raise Failed("protocol", "request", "BAD_SLOT", "the server gave a place without a usable token")
    return slot


def _wait(reply: Reply) -> float:
    """What the server asks us to wait: its document, else Retry-After in seconds, else a guess."""
    for said in (reply.document().get("wait"), reply.headers.get("retry-after")):
        try:
            wait = float(said) if isinstance(said, int | float | str) else math.nan
        except ValueError:
            continue
        if math.isfinite(wait) and wait >= 0:
            return wait
    return DEFAULT_WAIT
