"""Downloads over HTTP and says how fast: n connections under full load, cut at one instant.

What is counted is content, where it arrives; bytes of an error page never count. The headline is the steady
part of the time that all connections share (the warm-up is named in the method); the whole transfer stands
beside it. This is the goodput of HTTP over TCP, not the capacity of the link: the headers of TCP, IP and the
link are not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.http.client import Answer, Client, url_of
from ots.netio.http.dialer import Way
from ots.netio.http.params import HTTPTransferParams, way_to
from ots.netio.http.receive import receive
from ots.netio.transfer.meter import Flow, Meter
from ots.netio.transfer.params import SIZE_LIMIT
from ots.netio.transfer.result import Delivery, record
from ots.netio.transfer.watch import Box, StopReason, Watch, together
from ots.probe import AttemptData, Context, Estimate, Failed, Probe, Target, Targets
from ots.schema.quantity import Size
from ots.stats import transfer

PREFIX = "http_download"


class HTTPDownloadParams(HTTPTransferParams):
    """Parameters of `http_download`."""

    whole: Annotated[
        bool, Field(description=N_("Fetch the whole file once on each connection, however long it takes."))
    ] = False
    expect_size: Annotated[
        Size | None, Field(ge=0, description=N_("Length that the file must have (with whole)."))
    ] = None
    expect_sha256: Annotated[
        str | None,
        Field(pattern="^[0-9a-fA-F]{64}$", description=N_("SHA-256 that the file must have (with whole).")),
    ] = None

    @model_validator(mode="after")
    def _whole_or_boxed(self) -> HTTPDownloadParams:
        if self.whole and self.size is not None:
            raise ValueError("whole and size exclude each other")
        if self.whole and self.stop != "duration":
            raise ValueError("whole ends with the file: stop must be duration")
        if not self.whole and (self.expect_size is not None or self.expect_sha256 is not None):
            raise ValueError("expect_size and expect_sha256 need whole: yes")
        return self

    @property
    def box(self) -> Box:
        if self.whole:
            return Box(limit=self.duration or SIZE_LIMIT)
        return super().box


class HTTPDownload(Probe):
    kind = PREFIX
    version = 1
    summary = N_("Downloads over HTTP or HTTPS and measures the throughput.")
    example = "http://192.0.2.1:8080/speed/down"
    targets = Targets(forms=("url",), schemes=("http", "https"), default_ports=(("http", 80), ("https", 443)))
    Params = HTTPDownloadParams
    metrics = transfer.definitions(PREFIX, "down")
    round_trip = f"{PREFIX}_time_to_first_byte_seconds"
    exclusive = "link"
    direction = "down"

    def estimate(self, targets: Sequence[Target], params: HTTPDownloadParams) -> Estimate:
        received = params.size
        if params.whole and params.expect_size is not None:
            received = params.expect_size * params.connections
        return Estimate(params.expected, received, 0, params.longest)

    async def run(self, ctx: Context, targets: Sequence[Target], params: HTTPDownloadParams) -> None:
        await _Download(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: HTTPDownloadParams) -> list[Metric]:
        return transfer.metrics(PREFIX, "down", attempts)

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        if metric.endswith("_interval_throughput_bits_per_second"):
            return int(params.box.duration / transfer.REPORT_INTERVAL) if params.box.duration else None
        return None if metric.endswith("_tcp_rtt_seconds") else 1


class _Download:
    """One attempt."""

    def __init__(self, ctx: Context, target: Target, params: HTTPDownloadParams) -> None:
        self._ctx = ctx
        self._target = target
        self._params = params
        self._meter = Meter(params.connections, size=params.size)
        self._watch = Watch(ctx, self._meter, params.box, stall=params.stall_limit, sent=False)
        self._completed: float | None = None
        self._failure: Failed | None = None
        self._valid: bool | None = None

    async def run(self) -> None:
        try:
            way = way_to(self._ctx, self._target, self._params)
            # One lookup for all connections: they are to measure one server.
            await way.address(self._target.host if way.proxy is None else way.proxy.host)
            reason = await together(
                [self._connection(way, flow) for flow in self._meter.flows], self._watch, drain=False
            )
            self._complete(reason)
        except Failed as failure:
            self._failure = failure
            raise
        finally:
            self._watch.finish()
            self._record()

    def _complete(self, reason: StopReason) -> None:
        self._watch.stop_reason = reason
        cut = self._watch.cut_at
        self._completed = max((flow.end for flow in self._meter.flows if flow.end is not None), default=cut)
        self._ctx.mark("completed", t=self._completed)
        if self._valid is None:
            # A body that is cut on purpose can't be checked; what was promised of it arrived.
            self._valid = True

    async def _connection(self, way: Way, flow: Flow) -> None:
        client = Client(way)
        try:
            while True:
                answer = await client.get(url_of(self._target, unique=self._params.unique))
                self._accept(client, flow, answer)
                digest = hashlib.sha256() if self._params.expect_sha256 and self._params.whole else None
                try:
                    count = await receive(
                        answer, flow, self._meter, digest.update if digest else None, self._watch.book
                    )
                finally:
                    flow.overhead += answer.overhead
                if self._params.whole:
                    self._verify(count, digest.hexdigest() if digest else None)
                    flow.finished = True
                    flow.look()
                    return
                if not count:
                    raise Failed("content", "transfer", "EMPTY_BODY", "the answer has no content to measure")
        finally:
            await client.close()

    def _accept(self, client: Client, flow: Flow, answer: Answer) -> None:
        """Notes what is known once an answer has begun; only the first one of a connection is timed."""
        flow.requests += 1
        flow.dials = client.dialer.dials
        flow.connection = client.connection
        self._ctx.mark("first_byte", t=answer.arrivals.first)
        if flow.requested is None:
            flow.connect_start, flow.connected = client.dialer.connect_start, client.dialer.connected
            flow.requested = client.request_sent
            self._ctx.method(**client.dialer.tls_facts, redirects=answer.redirects, status=answer.status)
            self._suspect(answer)

    def _suspect(self, answer: Answer) -> None:
        """Caches and proxies on the way that nobody asked for give themselves away in the header."""
        if self._params.proxy == "none" and answer.header("Via"):
            self._ctx.flag("proxy_suspected")
        age = answer.header("Age") or "0"
        if age.strip("0") or (answer.header("X-Cache") or "").upper().startswith("HIT"):
            self._ctx.flag("cache_hit")

    def _verify(self, count: int, digest: str | None) -> None:
        expected = self._params.expect_size
        if expected is not None and count != expected:
            self._valid = False
            raise Failed("content", "verify", "SIZE", f"{count} bytes came where {expected} were expected")
        wanted = self._params.expect_sha256
        if wanted is not None and digest != wanted.lower():
            self._valid = False
            raise Failed("content", "verify", "SHA256", "the content's SHA-256 is not the expected one")

    def _record(self) -> None:
        meter, ctx = self._meter, self._ctx
        begins = [flow for flow in meter.flows if flow.begin is not None]
        if begins:
            first = min(begins, key=lambda flow: flow.begin or 0.0)
            ctx.mark("first_content", t=first.begin, source="socket")
            if first.requested is not None and first.begin is not None:
                ctx.record(f"{PREFIX}_time_to_first_byte_seconds", first.begin - first.requested)
        ctx.method(counted_at="socket")
        ctx.record(
            f"{PREFIX}_content_valid",
            self._valid,
            reason=None if self._valid is not None else "not_reached",
        )
        delivery = Delivery(
            curve=meter.curve,
            spans=[flow.span for flow in meter.flows if flow.span is not None],
            content_bytes=meter.bytes,
            test_bytes=meter.bytes + sum(flow.overhead for flow in meter.flows),
        )
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
