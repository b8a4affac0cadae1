"""ndt7: one WebSocket for each direction (M-Lab's protocol, specification 0.9).

    GET /ndt/v7/download   the server sends for about ten seconds
    GET /ndt/v7/upload     we send; the server says in text messages how much its TCP received

A URL of the locate service (…/v2/nearest/…) names no server but who knows the near ones: they are asked one
after the other. A rate that text messages of the server give is the receiver's own: what this side hands to
the kernel is no upload.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from ots.model.outcome import ErrorClass
from ots.netio.http.client import http_failure
from ots.netio.speed.client import SpeedClient
from ots.netio.speed.load import Load
from ots.netio.speed.server import base_of, below
from ots.netio.speed.service import Busy, Service, Visit
from ots.netio.transfer.acknowledged import Acknowledged
from ots.netio.transfer.meter import Flow
from ots.netio.transfer.payload import RandomPage
from ots.probe import Failed
from ots.stats.throughput import Curve, Span

SUBPROTOCOL = "net.measurementlab.ndt.v7"
MAX_MESSAGE = 16 << 20
FIRST_MESSAGE, LARGEST_MESSAGE = 8 << 10, 1 << 20
_SHARE = 16
"""A message grows as long as it is at most a sixteenth of what has been sent."""

_GRAIN = 0.7
"""The longest that a server may take between two messages: 625 ms, and some way."""

_FEWEST_REPORTS = 4
_LOCATE = "/v2/nearest/"
_MAX_FOUND = 10


@dataclass(frozen=True, slots=True)
class _Place:
    """The URLs of one server's two directions."""

    host: str
    download: URL
    upload: URL


class NDT7Service(Service):
    """A server of ndt7, or the nearest one that the locate service knows."""

    protocol = "ndt7"
    round_trip_method = "tcp"

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._base = base_of(visit.target)
        self._place: _Place | None = None

    async def open(self) -> None:
        if _LOCATE in self._base.path:
            await self._locate()
        else:
            down, up = (below(self._base, f"ndt/v7/{way}") for way in ("download", "upload"))
            self._place = _Place(self._base.host or "", down, up)

    async def round_trips(self, count: int, interval: float) -> AsyncIterator[float]:
        """Handshakes of TCP: ndt7 has nothing to ask for. None through a proxy."""
        visit, url = self.visit, self._urls.download
        if visit.way.proxy is not None:
            return
        net, clock, params = visit.ctx.net, visit.ctx.clock, visit.params
        address = await visit.way.address(url.host or "")
        for _ in range(count):
            start = clock.monotonic()
            sock = await net.dial(address, url.port or 443, params.route, timeout=params.timeout)
            seconds = clock.monotonic() - start
            sock.close()
            yield seconds
            await asyncio.sleep(interval)

    async def download(self, load: Load) -> None:
        await _Download(self.visit, load, self._urls.download).run()

    async def upload(self, load: Load) -> None:
        await _Upload(self.visit, load, self._urls.upload).run()

    async def close(self) -> None:
        """There are no places to give back."""

    @property
    def _urls(self) -> _Place:
        assert self._place is not None
        return self._place

    async def _locate(self) -> None:
        client = SpeedClient(self.visit.way)
        try:
            reply = await client.exchange("GET", self._base)
        finally:
            await client.close()
        if reply.status in (204, 429, 503):
            raise Busy(60.0, f"the locate service answered {reply.status}: no server has room now")
        if not reply.accepted:
            raise Failed(
                "rejected", "request", str(reply.status), f"the locate service answered {reply.status}"
            )
        found = _places(reply.document())
        if not found:
            raise Failed("protocol", "request", "NO_SERVER", "the locate service named no server of ndt7")
        if self.visit.ctx.net.guard is not None:
            self.visit.ctx.net.guard.vouch(self._base.host or "", [place.host for place in found])
        self._place = await self._first_there(found)
        self.visit.ctx.method(located=self._place.host)

    async def _first_there(self, found: list[_Place]) -> _Place:
        """The first that answers at all; the locate service orders by distance."""
        visit, params = self.visit, self.visit.params
        for place in found:
            if visit.way.proxy is not None:
                return place
            try:
                address = await visit.way.address(place.host)
                port = place.download.port or 443
                (await visit.ctx.net.dial(address, port, params.route, timeout=params.timeout)).close()
                return place
            except Failed as failure:
                if failure.error.class_ == "permission":
                    raise
                visit.ctx.log.info(f"{place.host} can't be reached ({failure}); the next one is tried")
        raise Failed("unreachable", "connect", "NONE_REACHED", f"none of {len(found)} servers answers")


class _Test:
    """What both directions have in common: a WebSocket and the words of its failures."""

    def __init__(self, visit: Visit, load: Load, url: URL) -> None:
        self._visit, self._load, self._url = visit, load, url
        if load.adaptive:
            # ndt7 is a test of one connection unless somebody asks for more.
            load.fix(1)

    async def _open(self, client: SpeedClient, flow: Flow) -> aiohttp.ClientWebSocketResponse:
        timeout = self._visit.params.timeout
        try:
            async with asyncio.timeout(timeout):
                ws = await client.websocket(self._url, SUBPROTOCOL, MAX_MESSAGE)
        except TimeoutError:
            raise Failed(
                "timeout", "first_byte", "TIMEOUT", f"no WebSocket within {timeout:g} s", retryable=True
            ) from None
        except aiohttp.WSServerHandshakeError as error:
            raise _declined(error.status) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise http_failure(error, "request") from None
        if ws.protocol != SUBPROTOCOL:
            await ws.close()
            raise Failed("protocol", "first_byte", "NO_NDT7", "the server did not agree to speak ndt7")
        flow.requests, flow.dials = 1, client.dialer.dials
        flow.connect_start, flow.connected = client.dialer.connect_start, client.dialer.connected
        flow.requested, flow.connection = client.request_sent, client.connection
        self._load.facts.update(client.dialer.tls_facts)
        return ws


class _Download(_Test):
    async def run(self) -> None:
        reason = await self._load.run(self._connection, drain=False)
        self._load.stop_reason = "end_of_test" if reason == "end_of_file" else reason
        self._load.complete = True

    async def _connection(self, flow: Flow) -> None:
        client, load = SpeedClient(self._visit.way), self._load
        try:
            ws = await self._open(client, flow)
            flow.look()
            async for message in ws:
                if message.type is aiohttp.WSMsgType.BINARY:
                    flow.came += len(message.data)
                    flow.came_at = client.last_arrival
                    load.meter.collect(flow)
                    load.watch.book()
                elif message.type is aiohttp.WSMsgType.ERROR:
                    break
            self._ended(ws, client, flow)
        finally:
            await client.close()

    def _ended(self, ws: aiohttp.ClientWebSocketResponse, client: SpeedClient, flow: Flow) -> None:
        """A server says goodbye when its time is over; anything else is an end before the end."""
        if ws.close_code != aiohttp.WSCloseCode.OK:
            raise _ended_early(ws, client)
        if flow.begin is None:
            raise Failed("content", "transfer", "EMPTY_BODY", "the server sent nothing to measure")
        flow.finished = True


class _Upload(_Test):
    def __init__(self, visit: Visit, load: Load, url: URL) -> None:
        super().__init__(visit, load, url)
        self._page = RandomPage()
        self._lanes: dict[int, _Lane] = {}
        load.watch.look = self._look

    async def run(self) -> None:
        reason = await self._load.run(self._connection, drain=False)
        self._load.stop_reason = "end_of_test" if reason == "end_of_file" else reason
        self._take_the_servers_word()
        self._load.complete = True

    async def _connection(self, flow: Flow) -> None:
        client = SpeedClient(self._visit.way)
        clock = self._visit.ctx.clock
        try:
            ws = await self._open(client, flow)
            lane = self._lanes[id(flow)] = _Lane(flow, Acknowledged(flow, tls=self._url.scheme == "https"))
            lane.acknowledged.begin(client.connection)
            listening = asyncio.create_task(self._listen(ws, lane))
            try:
                while not (self._load.cut or listening.done()):
                    await ws.send_bytes(bytes(self._page.piece(lane.next_size())))
                    if flow.begin is None:
                        flow.begin = flow.end = clock.monotonic()
                    # A path that never says "wait" would otherwise keep the cut from happening.
                    await asyncio.sleep(0)
            except (aiohttp.ClientError, OSError):
                # What the server said last tells better why.
                await asyncio.wait({listening}, timeout=0.1)
                if ws.close_code != aiohttp.WSCloseCode.OK:
                    raise _ended_early(ws, client) from None
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            if not self._load.cut and ws.close_code != aiohttp.WSCloseCode.OK:
                raise _ended_early(ws, client)
            flow.finished = True
        finally:
            flow.look()
            await client.close()

    async def _listen(self, ws: aiohttp.ClientWebSocketResponse, lane: _Lane) -> None:
        """Collects what the server says it received, until it ends."""
        async for message in ws:
            if message.type is aiohttp.WSMsgType.TEXT:
                lane.heard(self._visit.ctx.clock.monotonic(), message.data)

    def _look(self, now: float) -> None:
        flows = self._load.meter.flows
        counts = []
        for flow in flows:
            lane = self._lanes.get(id(flow))
            counts.append(flow.bytes if lane is None else max(flow.bytes, lane.delivered()))
        if any(flow.begin is not None for flow in flows):
            self._load.meter.delivered(now, counts)

    def _take_the_servers_word(self) -> None:
        """The server's count of one connection, if it gave it often enough; several can't be put together."""
        load = self._load
        if len(load.meter.flows) != 1:
            return
        lane = self._lanes[id(load.meter.flows[0])]
        curve = lane.curve()
        if curve is not None:
            load.delivered = curve, [Span(curve.t[0], curve.t[-1])]
            load.counted_at = "peer"


@dataclass(slots=True)
class _Lane:
    """One upload: what was handed over, what is acknowledged, and what the server said."""

    flow: Flow
    acknowledged: Acknowledged
    handed: int = 0
    size: int = FIRST_MESSAGE
    reports: list[tuple[float, float, int]] | None = None
    """(arrival, the server's own elapsed seconds, bytes)."""

    def next_size(self) -> int:
        if self.size < LARGEST_MESSAGE and self.size * 2 <= self.handed // _SHARE:
            self.size *= 2
        self.handed += self.size
        return self.size

    def delivered(self) -> int:
        content = self.acknowledged.content(self.handed)
        return self.flow.bytes if content is None else content

    def heard(self, now: float, text: str) -> None:
        said = _report(text)
        if said is None:
            return
        elapsed, count = said
        self.reports = self.reports or []
        last = self.reports[-1] if self.reports else (0.0, 0.0, 0)
        # Its TCP counts the handshakes too, a little; more than was handed over can't have arrived.
        count = min(count, self.handed)
        if elapsed > last[1] and count >= last[2]:
            self.reports.append((now, elapsed, count))

    def curve(self) -> Curve | None:
        """On our clock: a report was no earlier here than it was made."""
        reports = self.reports or []
        if len(reports) < _FEWEST_REPORTS or reports[-1][2] <= reports[0][2]:
            return None
        offset = min(now - elapsed for now, elapsed, _ in reports)
        return Curve(
            _GRAIN,
            [elapsed + offset for _, elapsed, _ in reports],
            [count for _, _, count in reports],
        )


def _report(text: str) -> tuple[float, int] | None:
    """Seconds and bytes of a measurement message: of the server's TCP, else of its application."""
    try:
        said = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    if not isinstance(said, dict):
        return None
    for group, name in (("TCPInfo", "BytesReceived"), ("AppInfo", "NumBytes")):
        found = said.get(group)
        if isinstance(found, dict):
            elapsed, count = _number(found.get("ElapsedTime")), _number(found.get(name))
            if elapsed is not None and count is not None:
                return elapsed / 1e6, int(count)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value < 1e18 else None


def _places(document: dict[str, Any]) -> list[_Place]:
    """What the locate service found, those with TLS first as they come."""
    found = []
    results = document.get("results")
    for result in results[:_MAX_FOUND] if isinstance(results, list) else []:
        urls = result.get("urls") if isinstance(result, dict) else None
        place = _place(urls) if isinstance(urls, dict) else None
        if place is not None:
            found.append(place)
    return found


def _place(urls: dict[str, Any]) -> _Place | None:
    for scheme in ("wss", "ws"):
        down, up = (urls.get(f"{scheme}:///ndt/v7/{way}") for way in ("download", "upload"))
        if isinstance(down, str) and isinstance(up, str):
            try:
                pair = URL(down), URL(up)
            except ValueError:
                continue
            if all(url.scheme == scheme and url.host for url in pair):
                first, second = (url.with_scheme({"wss": "https", "ws": "http"}[scheme]) for url in pair)
                return _Place(first.host or "", first, second)
    return None


def _declined(status: int) -> Failed:
    if status in (429, 503):
        return Busy(60.0, f"the server answered {status}: it is busy")
    kind: ErrorClass = "auth" if status in (401, 403) else "rejected"
    return Failed(kind, "first_byte", str(status), f"the server answered {status} where ndt7 was asked for")


def _ended_early(ws: aiohttp.ClientWebSocketResponse, client: SpeedClient) -> Failed:
    if client.lost is not None:
        return http_failure(client.lost, "transfer")
    code = ws.close_code
    return Failed(
        "cutoff", "transfer", "EOF" if code is None else f"WS {code}", "the test ended before its end"
    )
