"""Downloads over FTP and says how fast: n sessions side by side, cut at one instant.

Content is counted where it arrives on the data connections; log-in and data connection are phases of their
own. A file is complete when the server says so (226) and its length is the one that SIZE promised. This is
the goodput of FTP over TCP, not the capacity of the link.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.errors import classify
from ots.netio.ftp import session_metrics
from ots.netio.ftp.control import Control
from ots.netio.ftp.data import DataChannel, Mode, Opened, abort
from ots.netio.ftp.params import FTPParams
from ots.netio.ftp.paths import path_of
from ots.netio.ftp.receive import receive
from ots.netio.transfer.meter import Flow, Meter
from ots.netio.transfer.params import SIZE_LIMIT
from ots.netio.transfer.result import Delivery, record
from ots.netio.transfer.watch import Box, StopReason, Watch, together
from ots.probe import Address, AttemptData, Context, Estimate, Failed, Probe, Target, Targets
from ots.schema.quantity import Size
from ots.stats import transfer

PREFIX = "ftp_download"


class FTPDownloadParams(FTPParams):
    """Parameters of `ftp_download`."""

    mode: Annotated[
        Mode, Field(description=N_("Data connection: auto (EPSV, else PASV), epsv, pasv or active."))
    ] = "auto"
    offset: Annotated[
        Size, Field(ge=0, description=N_("Resume at this byte of the file (REST); with whole."))
    ] = 0
    whole: Annotated[
        bool, Field(description=N_("Fetch the whole file once on each connection, however long it takes."))
    ] = False
    expect_size: Annotated[
        Size | None, Field(ge=0, description=N_("Length that the file must have (with whole)."))
    ] = None
    expect_sha256: Annotated[
        str | None,
        Field(
            pattern="^[0-9a-fA-F]{64}$",
            description=N_("SHA-256 that what is fetched must have (with whole)."),
        ),
    ] = None

    @model_validator(mode="after")
    def _whole_or_boxed(self) -> FTPDownloadParams:
        if self.whole and self.size is not None:
            raise ValueError("whole and size exclude each other")
        if self.whole and self.stop != "duration":
            raise ValueError("whole ends with the file: stop must be duration")
        if not self.whole and (self.expect_size is not None or self.expect_sha256 is not None):
            raise ValueError("expect_size and expect_sha256 need whole: yes")
        if self.offset and not self.whole:
            raise ValueError("offset needs whole: yes")
        return self

    @property
    def box(self) -> Box:
        if self.whole:
            return Box(limit=self.duration or SIZE_LIMIT)
        return super().box


class FTPDownload(Probe):
    kind = PREFIX
    version = 1
    summary = N_("Downloads over FTP or FTPS and measures the throughput.")
    example = "ftp://192.0.2.1/speed/down"
    targets = Targets(forms=("url",), schemes=("ftp", "ftps"), default_ports=(("ftp", 21), ("ftps", 990)))
    Params = FTPDownloadParams
    metrics = (*transfer.definitions(PREFIX, "down"), *session_metrics.METRICS)
    exclusive = "link"
    direction = "down"

    def estimate(self, targets: Sequence[Target], params: FTPDownloadParams) -> Estimate:
        received = params.size
        if params.whole and params.expect_size is not None:
            received = (params.expect_size - params.offset) * params.connections
        return Estimate(params.expected, received, 0, params.longest)

    async def run(self, ctx: Context, targets: Sequence[Target], params: FTPDownloadParams) -> None:
        await _Download(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: FTPDownloadParams) -> list[Metric]:
        return transfer.metrics(PREFIX, "down", attempts) + session_metrics.summarise(attempts)

    def warnings(self, targets: Sequence[Target], params: FTPDownloadParams) -> list[str]:
        return session_metrics.warnings(targets, params)

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        if metric.endswith("_interval_throughput_bits_per_second"):
            return int(params.box.duration / transfer.REPORT_INTERVAL) if params.box.duration else None
        return None if metric.endswith(("_tcp_rtt_seconds", "_connect_seconds", "_login_seconds")) else 1


class _Download:
    """One attempt."""

    def __init__(self, ctx: Context, target: Target, params: FTPDownloadParams) -> None:
        self._ctx = ctx
        self._target = target
        self._params = params
        self._path = path_of(target)
        self._meter = Meter(params.connections, size=params.size)
        self._watch = Watch(ctx, self._meter, params.box, stall=params.stall_limit, sent=False)
        self._completed: float | None = None
        self._failure: Failed | None = None
        self._valid: bool | None = None

    async def run(self) -> None:
        ctx, params = self._ctx, self._params
        try:
            ctx.method(tls=session_metrics.security(self._target, params), timeout=params.timeout)
            # One lookup for all connections: they are to measure one server.
            address = await ctx.net.resolve(self._target.host, params.route, timeout=params.timeout)
            ctx.method(address=address.ip)
            reason = await together(
                [self._session(address, flow) for flow in self._meter.flows], self._watch, drain=False
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
            self._valid = True

    async def _session(self, address: Address, flow: Flow) -> None:
        """One control connection, and as many files over it as the box takes."""
        ctx, params = self._ctx, self._params
        control = Control(ctx, self._target, params, address)
        try:
            await control.open()
            ctx.record(session_metrics.LOGIN.key, control.login_seconds)
            ctx.method(**control.tls_facts)
            promised = await control.size_of(self._path)
            channel = DataChannel(ctx, control, params.mode, params.route, params.timeout)
            while True:
                count = await self._file(control, channel, flow, promised)
                if params.whole:
                    flow.finished = True
                    return
                if not count:
                    raise Failed("content", "transfer", "EMPTY_FILE", "the file has no content to measure")
        finally:
            await control.quit()

    async def _file(self, control: Control, channel: DataChannel, flow: Flow, promised: int | None) -> int:
        params = self._params
        opened = await channel.transfer(f"RETR {self._path}", offset=params.offset)
        self._note(flow, channel, opened)
        digest = hashlib.sha256() if params.expect_sha256 else None
        try:
            count = await receive(
                opened.socket,
                flow,
                self._meter,
                self._ctx.clock,
                self._ctx.clock.monotonic() + params.timeout,
                digest.update if digest else None,
                self._watch.book,
            )
        except (OSError, EOFError) as error:
            raise await self._why(control, flow, error) from None
        finally:
            abort(opened.socket)
        await self._said_complete(control, flow)
        self._verify(count, promised, digest.hexdigest() if digest else None)
        return count

    def _note(self, flow: Flow, channel: DataChannel, opened: Opened) -> None:
        """Only the first data connection of each session is timed into the transfer's stamps."""
        ctx = self._ctx
        flow.requests += 1
        flow.dials += 1
        ctx.record(session_metrics.DATA_CONNECT.key, opened.seconds)
        if flow.requested is None:
            flow.connect_start, flow.connected = opened.connect_start, opened.connected
            flow.requested = opened.asked
            ctx.mark("request_sent", t=opened.asked)
            ctx.method(data_connection=channel.mode)

    async def _why(self, control: Control, flow: Flow, error: OSError | EOFError) -> Failed:
        """Why a data connection broke: what the server says of it, else what the socket says."""
        flow.finished = True
        late = isinstance(error, TimeoutError) and error.errno is None
        try:
            await control.ask("", "2xx", "transfer", name="RETR", timeout=_AT_ONCE if late else _WORD)
        except Failed as failure:
            if failure.error.code[:1] in ("4", "5"):
                return failure
        if late:
            return Failed(
                "timeout",
                "first_byte",
                "TIMEOUT",
                f"no content within {self._params.timeout:g} s",
                retryable=True,
            )
        return classify(error, "transfer")

    async def _said_complete(self, control: Control, flow: Flow) -> None:
        """Waits for 226: without it nobody knows whether the end of the data is the end of the file."""
        flow.finished = True
        try:
            await control.ask("", "2xx", "transfer", name="RETR")
        except Failed as failure:
            if failure.error.class_ in ("timeout", "cutoff") and failure.error.code[:1] not in ("4", "5"):
                raise Failed(
                    "cutoff",
                    "transfer",
                    "NO_TRANSFER_COMPLETE",
                    "the data connection ended, and the server never said that the file is complete (226)",
                    retryable=True,
                ) from None
            raise
        flow.finished = self._params.whole

    def _verify(self, count: int, promised: int | None, digest: str | None) -> None:
        total = count + self._params.offset
        for expected, who in ((promised, "SIZE"), (self._params.expect_size, "expect_size")):
            if expected is not None and total != expected:
                self._valid = False
                raise Failed(
                    "content",
                    "verify",
                    "SIZE",
                    f"the file has {total} bytes, {who} said {expected}",
                )
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
            test_bytes=meter.bytes,
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


_WORD = 1.0
"""Seconds that a server gets to say why it broke a data connection."""

_AT_ONCE = 0.05
"""Seconds for reading what it has said already."""
