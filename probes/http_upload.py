"""Uploads over HTTP and says how fast: n connections under full load, random content, cut at one instant.

Bytes handed to the kernel are not uploaded. The rate is taken from what the peer's application says it
received and when, if it says so (`method.counted_at: peer`), else from what its TCP has acknowledged
(`tcp_acked`); the clock stops at the peer's final answer. A server that declines, early or late, makes the
attempt fail, however much had been sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.http.client import Answer, Client, url_of
from ots.netio.http.dialer import Way
from ots.netio.http.params import HTTPTransferParams, way_to
from ots.netio.http.send import MAX_ANSWER, Sending, peer_answer
from ots.netio.transfer.meter import Flow, Meter
from ots.netio.transfer.payload import RandomPage
from ots.netio.transfer.result import Delivery, record, record_sender
from ots.netio.transfer.watch import Watch, together
from ots.probe import AttemptData, Context, Estimate, Failed, Probe, Target, Targets
from ots.stats import transfer
from ots.stats.throughput import Curve, Span, merge

PREFIX = "http_upload"


class HTTPUploadParams(HTTPTransferParams):
    """Parameters of `http_upload`."""

    method: Annotated[Literal["POST", "PUT"], Field(description=N_("HTTP method of the upload."))] = "POST"


class HTTPUpload(Probe):
    kind = PREFIX
    version = 1
    summary = N_("Uploads over HTTP or HTTPS and measures the throughput where it arrives.")
    example = "http://192.0.2.1:8080/speed/up"
    targets = Targets(forms=("url",), schemes=("http", "https"), default_ports=(("http", 80), ("https", 443)))
    Params = HTTPUploadParams
    metrics = transfer.definitions(PREFIX, "up")
    exclusive = "link"
    direction = "up"

    def estimate(self, targets: Sequence[Target], params: HTTPUploadParams) -> Estimate:
        return Estimate(params.expected, 0, params.size, params.longest)

    async def run(self, ctx: Context, targets: Sequence[Target], params: HTTPUploadParams) -> None:
        await _Upload(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: HTTPUploadParams) -> list[Metric]:
        return transfer.metrics(PREFIX, "up", attempts)

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        if metric.endswith("_interval_throughput_bits_per_second"):
            return int(params.box.duration / transfer.REPORT_INTERVAL) if params.box.duration else None
        return None if metric.endswith("_tcp_rtt_seconds") else 1


class _Upload:
    """One attempt."""

    def __init__(self, ctx: Context, target: Target, params: HTTPUploadParams) -> None:
        self._ctx = ctx
        self._target = target
        self._params = params
        self._page = RandomPage()
        self._meter = Meter(params.connections, sampled=True)
        self._watch = Watch(ctx, self._meter, params.box, stall=params.stall_limit, sent=True)
        self._watch.look = self._look
        self._sendings: dict[int, Sending] = {}
        self._answered: dict[int, float] = {}
        self._peers: dict[int, Curve] = {}
        self._header_bytes = 0
        self._waiting: dict[int, Client] = {}
        self._completed: float | None = None
        self._failure: Failed | None = None

    async def run(self) -> None:
        try:
            way = way_to(self._ctx, self._target, self._params)
            await way.address(self._target.host if way.proxy is None else way.proxy.host)
            reason = await together(
                [self._connection(way, flow) for flow in self._meter.flows], self._watch, drain=True
            )
            self._watch.stop_reason = "size" if reason == "end_of_file" else reason
            self._completed = max(self._answered.values())
            self._ctx.mark("completed", t=self._completed)
        except Failed as failure:
            self._failure = failure
            raise
        finally:
            self._watch.finish()
            self._record()

    async def _connection(self, way: Way, flow: Flow) -> None:
        client = Client(way)
        params = self._params
        # A length promised can't be taken back at the cut of a time box.
        chunked = params.box.duration is not None
        sending = Sending(
            client,
            flow,
            self._page,
            self._ctx.clock,
            lambda: self._watch.cut_at is not None,
            share=self._share(flow),
            chunked=chunked,
            tls=self._target.scheme == "https",
        )
        self._sendings[flow.number] = sending
        self._waiting[flow.number] = client
        try:
            answer = await client.send(
                params.method,
                url_of(self._target, unique=params.unique),
                sending.body(),
                None if chunked else self._share(flow),
            )
            if not sending.complete:
                raise Failed(
                    "protocol", "transfer", "EARLY_ANSWER", f"answered {answer.status} before the body's end"
                )
            await self._conclude(flow, sending, client, answer)
        finally:
            # What went out before a refusal was paid for.
            flow.look()
            await client.close()

    async def _conclude(self, flow: Flow, sending: Sending, client: Client, answer: Answer) -> None:
        """The peer has answered: what it says counts."""
        flow.requests, flow.dials = 1, client.dialer.dials
        flow.finished = True
        flow.look()
        self._answered[flow.number] = answer.arrivals.first or self._ctx.clock.monotonic()
        self._ctx.method(**client.dialer.tls_facts, status=answer.status)
        said = peer_answer(await self._body(answer))
        if said is not None:
            if said.received_bytes != sending.handed:
                raise Failed(
                    "content",
                    "verify",
                    "SIZE",
                    f"the server received {said.received_bytes} of {sending.handed} bytes",
                )
            curve = said.curve()
            if curve is not None:
                self._peers[flow.number] = curve
        self._header_bytes += answer.request_bytes
        sending.confirm(sending.handed)

    async def _body(self, answer: Answer) -> bytes:
        """The answer's body, up to a limit; it is no part of the transfer."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._params.timeout):
                async for piece in answer.pieces():
                    body += piece
                    if len(body) > MAX_ANSWER:
                        break
        except TimeoutError:
            raise Failed("timeout", "verify", "TIMEOUT", "the answer to the upload did not end") from None
        return bytes(body)

    def _share(self, flow: Flow) -> int | None:
        size, connections = self._params.size, self._params.connections
        if size is None:
            return None
        return size // connections + (flow.number < size % connections)

    def _look(self, now: float) -> None:
        """Samples all connections at one instant; starts the answer's timer where all has arrived."""
        counts = [flow.bytes for flow in self._meter.flows]
        for number, sending in self._sendings.items():
            counts[number] = sending.delivered()
            if not sending.flow.finished and sending.drained():
                sending.flow.finished = True
                self._waiting[number].await_answer()
        if any(flow.begin is not None for flow in self._meter.flows):
            self._meter.delivered(now, counts)

    def _record(self) -> None:
        meter, ctx = self._meter, self._ctx
        begins = [flow.begin for flow in meter.flows if flow.begin is not None]
        if begins:
            ctx.mark("first_content", t=min(begins), source="socket")
        complete = self._completed is not None
        delivery = self._peers_delivery() if complete else None
        ctx.method(counted_at="tcp_acked" if delivery is None else "peer")
        if delivery is None:
            delivery = Delivery(
                curve=meter.curve,
                spans=[flow.span for flow in meter.flows if flow.span is not None and flow.span.seconds > 0],
                content_bytes=meter.bytes,
                test_bytes=self._test_bytes(),
                cut_at=self._watch.cut_at,
                eom=self._completed,
            )
        self._record_own(complete)
        record(
            ctx,
            PREFIX,
            meter,
            self._watch,
            delivery,
            self._params.warmup_rule,
            completed=self._completed,
            failure=self._failure,
            tls=self._target.scheme == "https",
        )

    def _record_own(self, complete: bool) -> None:
        ctx, flows = self._ctx, self._meter.flows
        ctx.record(f"{PREFIX}_content_valid", complete or None, reason=None if complete else "not_reached")
        record_sender(ctx, PREFIX, self._meter, self._watch)
        waits = [
            self._answered[flow.number] - flow.requested
            for flow in flows
            if flow.number in self._answered and flow.requested is not None
        ]
        if waits:
            ctx.method(answer_seconds=round(max(waits), 6))

    def _test_bytes(self) -> int:
        framing = sum(sending.framing for sending in self._sendings.values())
        return self._meter.bytes + framing + self._header_bytes

    def _peers_delivery(self) -> Delivery | None:
        """What the peer saw, on our clock, or None if it did not say.

        Its answer left when its last byte had come, and took half a round trip.
        """
        flows = self._meter.flows
        if len(self._peers) < len(flows):
            return None
        rtts = [flow.info.rtt for flow in flows if flow.info is not None]
        offset = min(self._answered[number] - curve.t[-1] for number, curve in self._peers.items())
        offset -= min(rtts, default=0.0) / 2
        moved = [
            Curve(curve.grain, [t + offset for t in curve.t], curve.total) for curve in self._peers.values()
        ]
        spans = [Span(curve.t[0], curve.t[-1]) for curve in moved]
        begin = min(flow.begin for flow in flows if flow.begin is not None)
        if min(span.start for span in spans) < begin - 0.05 or any(span.seconds <= 0 for span in spans):
            self._ctx.log.warning("the peer's clock can't be right: its own count of arrivals is not used")
            return None
        return Delivery(
            curve=merge(moved),
            spans=spans,
            content_bytes=self._meter.bytes,
            test_bytes=self._test_bytes(),
            eom=self._completed,
        )
