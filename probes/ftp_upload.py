"""Uploads over FTP and says how fast: n sessions side by side, random content, cut at one instant.

Bytes handed to the kernel are not uploaded: the rate is taken from what the server's TCP has acknowledged,
and the clock stops when the server says that the file is complete (226). Then its SIZE is compared, and what
was uploaded is deleted again, also after a failure or a cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.ftp import session_metrics
from ots.netio.ftp.params import FTPParams
from ots.netio.ftp.upload import Upload
from ots.netio.transfer.meter import Meter
from ots.netio.transfer.payload import RandomPage
from ots.netio.transfer.result import Delivery, record, record_sender
from ots.netio.transfer.watch import Watch, together
from ots.probe import AttemptData, Context, Estimate, Failed, Probe, Target, Targets
from ots.schema.quantity import Size
from ots.stats import transfer

PREFIX = "ftp_upload"


class FTPUploadParams(FTPParams):
    """Parameters of `ftp_upload`."""

    mode: Annotated[
        Literal["auto", "epsv", "pasv"],
        Field(description=N_("Data connection: auto (EPSV, else PASV), epsv or pasv.")),
    ] = "auto"
    check: Annotated[
        Literal["size", "content", "none"],
        Field(description=N_("Afterwards: compare SIZE, read back and compare SHA-256, or nothing.")),
    ] = "size"
    resume_at: Annotated[
        Size | None,
        Field(gt=0, description=N_("Break off after so many bytes, and resume (REST) with what is there.")),
    ] = None
    keep: Annotated[bool, Field(description=N_("Don't delete what was uploaded."))] = False

    @model_validator(mode="after")
    def _resume_fits(self) -> FTPUploadParams:
        if self.resume_at is not None and (
            self.size is None or self.resume_at * self.connections >= self.size
        ):
            raise ValueError("resume_at needs a size, and must lie inside each connection's share of it")
        return self


class FTPUpload(Probe):
    kind = PREFIX
    version = 1
    summary = N_("Uploads over FTP or FTPS, measures the throughput, and deletes what it uploaded.")
    example = "ftp://192.0.2.1/in/"
    targets = Targets(forms=("url",), schemes=("ftp", "ftps"), default_ports=(("ftp", 21), ("ftps", 990)))
    Params = FTPUploadParams
    metrics = (*transfer.definitions(PREFIX, "up"), *session_metrics.METRICS)
    exclusive = "link"
    direction = "up"

    def estimate(self, targets: Sequence[Target], params: FTPUploadParams) -> Estimate:
        back = params.size if params.check == "content" else 0
        return Estimate(params.expected, back, params.size, params.longest)

    async def run(self, ctx: Context, targets: Sequence[Target], params: FTPUploadParams) -> None:
        await _Attempt(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: FTPUploadParams) -> list[Metric]:
        return transfer.metrics(PREFIX, "up", attempts) + session_metrics.summarise(attempts)

    def warnings(self, targets: Sequence[Target], params: FTPUploadParams) -> list[str]:
        return session_metrics.warnings(targets, params)

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        if metric.endswith("_interval_throughput_bits_per_second"):
            return int(params.box.duration / transfer.REPORT_INTERVAL) if params.box.duration else None
        return None if metric.endswith(("_tcp_rtt_seconds", "_connect_seconds", "_login_seconds")) else 1


class _Attempt:
    def __init__(self, ctx: Context, target: Target, params: FTPUploadParams) -> None:
        self._ctx = ctx
        self._target = target
        self._params = params
        self._meter = Meter(params.connections, sampled=True)
        self._watch = Watch(ctx, self._meter, params.box, stall=params.stall_limit, sent=True)
        self._watch.look = self._look
        self._uploads: list[Upload] = []
        self._completed: float | None = None
        self._failure: Failed | None = None

    async def run(self) -> None:
        ctx, params = self._ctx, self._params
        try:
            ctx.method(tls=session_metrics.security(self._target, params), timeout=params.timeout)
            address = await ctx.net.resolve(self._target.host, params.route, timeout=params.timeout)
            ctx.method(address=address.ip, check=params.check)
            page = RandomPage()
            self._uploads = [
                Upload(
                    ctx,
                    self._target,
                    params,
                    address,
                    flow,
                    page,
                    lambda: self._watch.cut_at is not None,
                    self._share(flow.number),
                )
                for flow in self._meter.flows
            ]
            reason = await together(
                [upload.run(params.mode, params.resume_at) for upload in self._uploads],
                self._watch,
                drain=True,
            )
            self._watch.stop_reason = "size" if reason == "end_of_file" else reason
            self._completed = max(upload.completed for upload in self._uploads if upload.completed)
            ctx.mark("completed", t=self._completed)
            self._watch.finish()
            for upload in self._uploads:
                await upload.check(params.check)
        except Failed as failure:
            self._failure = failure
            self._completed = None if failure.error.phase != "verify" else self._completed
            raise
        finally:
            self._watch.finish()
            for upload in self._uploads:
                await upload.close(keep=params.keep)
            self._record()

    def _share(self, number: int) -> int | None:
        size, connections = self._params.size, self._params.connections
        if size is None:
            return None
        return size // connections + (number < size % connections)

    def _look(self, now: float) -> None:
        """Samples all connections at one instant."""
        counts = [flow.bytes for flow in self._meter.flows]
        for number, upload in enumerate(self._uploads):
            counts[number] = upload.delivered()
        if any(flow.begin is not None for flow in self._meter.flows):
            self._meter.delivered(now, counts)

    def _record(self) -> None:
        meter, ctx = self._meter, self._ctx
        begins = [flow.begin for flow in meter.flows if flow.begin is not None]
        if begins:
            ctx.mark("first_content", t=min(begins), source="socket")
        ctx.method(counted_at="tcp_acked")
        self._record_own()
        delivery = Delivery(
            curve=meter.curve,
            spans=[flow.span for flow in meter.flows if flow.span is not None and flow.span.seconds > 0],
            content_bytes=meter.bytes,
            test_bytes=meter.bytes,
            cut_at=self._watch.cut_at,
            eom=self._completed,
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
            tls=self._target.scheme == "ftps" or self._params.tls != "none",
        )

    def _record_own(self) -> None:
        ctx = self._ctx
        verdicts = [upload.valid for upload in self._uploads] or [None]
        known = None if None in verdicts else all(verdicts)
        reasons = [upload.unknown for upload in self._uploads] or ["not_reached"]
        ctx.record(f"{PREFIX}_content_valid", known, reason=None if known is not None else reasons[0])
        record_sender(ctx, PREFIX, self._meter, self._watch)
