"""Loads over HTTP: bodies that are read or sent on every connection until the load is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from yarl import URL

from ots.netio.http.client import Answer
from ots.netio.http.receive import receive
from ots.netio.http.send import MAX_ANSWER, Sending, peer_answer
from ots.netio.http.successive import Successive
from ots.netio.speed.client import SpeedClient
from ots.netio.speed.load import Load
from ots.netio.speed.service import Visit
from ots.netio.transfer.meter import Flow
from ots.netio.transfer.payload import RandomPage
from ots.probe import Failed
from ots.stats.throughput import Curve, Span, merge

_EARLY = 0.05
"""Seconds by which a peer's first byte may seem to have come before ours left: clocks are compared by half
a round trip."""


async def round_trips(
    visit: Visit, url: Callable[[], URL], count: int, interval: float, headers: Mapping[str, str]
) -> AsyncIterator[float]:
    """Small requests on one connection, one after the other; the first, which opens it, isn't counted."""
    client = SpeedClient(visit.way, headers)
    try:
        for number in range(count + 1):
            reply = await client.exchange("GET", url())
            if not reply.accepted:
                raise Failed(
                    "rejected", "first_byte", str(reply.status), f"a round trip was answered {reply.status}"
                )
            if number:
                yield reply.round_trip
            await asyncio.sleep(interval)
    finally:
        await client.close()


class HTTPDownload:
    """Reads bodies; one that ends is followed by the next on the same connection."""

    def __init__(self, visit: Visit, load: Load, url: Callable[[], URL], headers: Mapping[str, str]) -> None:
        self._visit, self._load, self._url, self._headers = visit, load, url, headers

    async def run(self) -> None:
        self._load.stop_reason = await self._load.run(self._connection, drain=False)
        self._load.complete = True

    def _successive(self, answer: Answer) -> Successive | None:
        """None where aiohttp is to make each request: by a proxy, behind a redirect, for chunks."""
        way = self._visit.way
        each = way.proxy is not None or answer.redirects or answer.length is None
        return None if each else Successive(answer, self._url, way.timeout)

    async def _connection(self, flow: Flow) -> None:
        client, load = SpeedClient(self._visit.way, self._headers), self._load
        try:
            while True:
                answer = await client.get(self._url())
                flow.requests += 1
                flow.dials, flow.connection = client.dialer.dials, client.connection
                if flow.requested is None:
                    flow.connect_start, flow.connected = client.dialer.connect_start, client.dialer.connected
                    flow.requested = client.request_sent
                    load.facts.update(client.dialer.tls_facts)
                count = await receive(
                    answer,
                    flow,
                    load.meter,
                    None,
                    load.watch.book,
                    successive=self._successive(answer),
                    polls=True,
                )
                if not count:
                    raise Failed("content", "transfer", "EMPTY_BODY", "the answer has no content to measure")
        finally:
            await client.close()


@dataclass(slots=True)
class _Lane:
    """One connection's part of an upload."""

    flow: Flow
    client: SpeedClient
    sending: Sending | None = None
    done: int = 0
    awaited: bool = False
    """All of the body has arrived, and the answer's timer runs."""
    answered: float | None = None
    curve: Curve | None = None

    @property
    def delivered(self) -> int:
        """What arrived of all bodies; where the kernel can't tell, only those that were answered."""
        info = self.flow.look() or self.flow.info
        if self.sending is None or not self.sending.handed or info is None or info.bytes_acked is None:
            return self.done
        return self.done + self.sending.delivered()


class HTTPUpload:
    """Sends random content. What counts is what the server says it received, else what its TCP acknowledged.

    With `piece` a connection sends bodies of that size, one after the other, for servers that take no endless
    one; the last is cut off.
    """

    def __init__(
        self,
        visit: Visit,
        load: Load,
        url: Callable[[], URL],
        headers: Mapping[str, str],
        *,
        piece: int | None = None,
    ) -> None:
        self._visit, self._load, self._url, self._headers = visit, load, url, headers
        self._piece = piece
        self._page = RandomPage()
        self._lanes: dict[int, _Lane] = {}
        load.watch.look = self._look

    async def run(self) -> None:
        load = self._load
        load.stop_reason = await load.run(self._connection, drain=self._piece is None)
        if self._piece is None:
            self._take_the_peers_word()
        load.complete = True

    async def _connection(self, flow: Flow) -> None:
        client = SpeedClient(self._visit.way, self._headers)
        lane = self._lanes[id(flow)] = _Lane(flow, client)
        try:
            await self._body(lane)
            while self._piece is not None:
                await self._body(lane)
            flow.finished = True
        finally:
            flow.look()
            await client.close()

    async def _body(self, lane: _Lane) -> None:
        load, client = self._load, lane.client
        lane.awaited = False
        sending = lane.sending = Sending(
            client,
            lane.flow,
            self._page,
            self._visit.ctx.clock,
            lambda: load.cut,
            share=self._piece,
            chunked=self._piece is None,
            tls=self._url().scheme == "https",
        )
        answer = await client.send("POST", self._url(), sending.body(), self._piece)
        if not sending.complete:
            raise Failed(
                "protocol", "transfer", "EARLY_ANSWER", f"answered {answer.status} before the body's end"
            )
        lane.flow.requests += 1
        lane.flow.dials = client.dialer.dials
        load.facts.update(client.dialer.tls_facts)
        lane.answered = answer.arrivals.first or self._visit.ctx.clock.monotonic()
        said = peer_answer(await self._answer(answer))
        if said is not None:
            if said.received_bytes != sending.handed:
                what = f"the server received {said.received_bytes} of {sending.handed} bytes"
                raise Failed("content", "verify", "SIZE", what)
            lane.curve = said.curve()
        lane.done, lane.sending = lane.done + sending.handed, None

    async def _answer(self, answer: Answer) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._visit.params.timeout):
                async for piece in answer.pieces():
                    body += piece
                    if len(body) > MAX_ANSWER:
                        break
        except TimeoutError:
            raise Failed("timeout", "verify", "TIMEOUT", "the answer to the upload did not end") from None
        return bytes(body)

    def _look(self, now: float) -> None:
        """Samples all connections at one instant; starts the answer's timer where all has arrived."""
        flows = self._load.meter.flows
        counts = []
        for flow in flows:
            lane = self._lanes.get(id(flow))
            counts.append(flow.bytes if lane is None else max(flow.bytes, lane.delivered))
            if lane is None or lane.sending is None or lane.awaited:
                continue
            if lane.sending.drained():
                lane.awaited = True
                flow.finished = self._piece is None
                lane.client.await_answer()
        if any(flow.begin is not None for flow in flows):
            self._load.meter.delivered(now, counts)

    def _take_the_peers_word(self) -> None:
        """Puts the peers' counts on our clock: an answer left when its last byte had come, and took half a
        round trip."""
        load, flows = self._load, self._load.meter.flows
        lanes = [self._lanes[id(flow)] for flow in flows]
        known = [
            (lane.curve, lane.answered)
            for lane in lanes
            if lane.curve is not None and lane.answered is not None
        ]
        if len(known) < len(flows):
            return
        rtts = [flow.info.rtt for flow in flows if flow.info is not None]
        offset = min(answered - curve.t[-1] for curve, answered in known) - min(rtts, default=0.0) / 2
        moved = [Curve(curve.grain, [t + offset for t in curve.t], curve.total) for curve, _ in known]
        spans = [Span(curve.t[0], curve.t[-1]) for curve in moved]
        begin = min(flow.begin for flow in flows if flow.begin is not None)
        if min(span.start for span in spans) < begin - _EARLY or any(span.seconds <= 0 for span in spans):
            load.ctx.log.warning("the server's clock can't be right: its own count of arrivals is not used")
            return
        load.delivered = merge(moved), spans
        load.counted_at = "peer"
