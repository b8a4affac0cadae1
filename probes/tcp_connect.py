"""How long a TCP connection takes to open, and whether the port is open at all.

Each sample is one fresh connection to one address: the name is resolved once, before the first, and the
address stands in `method`. Many targets are connected to side by side, their starts spread over the interval
(docs/design/013-fanout.md). The time is the kernel's own for the SYN's round trip (TCP_INFO), so neither this
program's event loop nor a busy processor is in it. Where the kernel doesn't tell, or a SYN had to be sent
again, it is the time from connect() to the moment the socket was reported connected; `method` says which.

What the number is not: the distance to the server's application. A proxy, a load balancer or a captive portal
may complete the handshake in its place; compare with ping and with the certificate of `tls_handshake`. Lost
SYNs add steps of 1, 3 and 7 seconds: read `tcp_syn_retransmits` beside the times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ots.i18n import N_, _
from ots.model.metric import Metric, MetricDef
from ots.model.outcome import outcome_of
from ots.netio.connection_metrics import CONNECT_FAILURE_RATIO, TCP_CONNECT_SECONDS
from ots.netio.fanout.job import Job
from ots.netio.fanout.sweep import POOL_ABOVE, Sweep
from ots.netio.pooling import by_target
from ots.netio.repetition import Samples, is_late
from ots.probe import Address, AttemptData, Context, Estimate, Failed, NetworkParams, Probe, Target, Targets
from ots.schema.quantity import Duration

TCP_SYN_RETRANSMITS = MetricDef(
    key="tcp_syn_retransmits",
    unit="{packet}",
    type="sample",
    title=N_("SYNs sent again"),
    definition=N_("SYN segments that the kernel sent again before the connection came about or was given up"),
    stats=("sum", "max"),
    better="lower",
    source="RFC 9293",
)
PORT_STATE = MetricDef(
    key="port_state",
    unit="1",
    type="state",
    title=N_("Port"),
    definition=N_(
        "open: accepted; closed: refused by a reset; filtered: no answer, or prohibited on the way"
    ),
    stats=("value", "histogram"),
)

_FILTERED = ("EHOSTUNREACH", "EACCES")
_HANDSHAKE_BYTES = 240
"""SYN, SYN-ACK, ACK and two FINs with their headers, each way at most."""


class TcpConnectParams(NetworkParams):
    count: Annotated[int, Field(ge=1, le=100_000, description=N_("Connections to open, one by one."))] = 5
    interval: Annotated[
        Duration, Field(ge=0.001, le=3600, description=N_("From one connection's start to the next's."))
    ] = 0.2
    timeout: Annotated[
        Duration,
        Field(
            gt=0,
            le=300,
            description=N_("For resolving, and for each connection. SYNs repeat after 1 and 3 s."),
        ),
    ] = 5.0
    concurrency: Annotated[
        int, Field(ge=1, le=50_000, description=N_("Connections open at the same time, at most."))
    ] = 1000


class TcpConnect(Probe):
    """Opens TCP connections and times each."""

    kind = "tcp_connect"
    version = 1
    summary = N_("Opens TCP connections and times them: is the port open, how far is it?")
    example = "192.0.2.1:443"
    targets = Targets(forms=("host:port",), many=True, pool_above=POOL_ABOVE)
    Params = TcpConnectParams
    metrics = (TCP_CONNECT_SECONDS, TCP_SYN_RETRANSMITS, PORT_STATE, CONNECT_FAILURE_RATIO)
    round_trip = TCP_CONNECT_SECONDS.key

    def estimate(self, targets: Sequence[Target], params: TcpConnectParams) -> Estimate:
        traffic = len(targets) * params.count * _HANDSHAKE_BYTES
        waves = -(-len(targets) // params.concurrency)
        longest = params.timeout + waves * params.count * max(params.interval, params.timeout)
        return Estimate(params.count * params.interval, traffic, traffic, longest)

    async def run(self, ctx: Context, targets: Sequence[Target], params: TcpConnectParams) -> None:
        asker = _Connections(ctx, targets, params)
        sweep = Sweep(
            ctx,
            asker,
            len(targets),
            route=params.route,
            timeout=params.timeout,
            concurrency=params.concurrency,
            each=params.count,
        )
        try:
            await sweep.run()
        finally:
            if self.targets.pools(len(targets)):
                ctx.method(target=targets[0].text, **sweep.facts())
        asker.conclude()

    def summarise(self, attempts: Sequence[AttemptData], params: TcpConnectParams) -> list[Metric]:
        return [
            metric
            for pool in by_target(attempts, POOL_ABOVE)
            for metric in (
                pool.statistics(TCP_CONNECT_SECONDS),
                pool.statistics(TCP_SYN_RETRANSMITS),
                pool.statistics(PORT_STATE),
                pool.lost(CONNECT_FAILURE_RATIO, TCP_CONNECT_SECONDS.key),
            )
        ]

    def samples_planned(self, metric: str, targets: Sequence[Target], params: TcpConnectParams) -> int | None:
        return params.count

    def warnings(self, targets: Sequence[Target], params: TcpConnectParams) -> list[str]:
        if params.timeout <= 1:
            return [_("timeout is not above 1 s: a connection whose first SYN is lost counts as failed")]
        return []


class _Connections:
    """Which connection follows which, and what is recorded of each (`ots.netio.fanout.sweep.Asker`)."""

    def __init__(self, ctx: Context, targets: Sequence[Target], params: TcpConnectParams) -> None:
        self._ctx = ctx
        self._targets = targets
        self._params = params
        self._many = TcpConnect.targets.pools(len(targets))
        self._left = [params.count] * len(targets)
        self._samples: dict[int, Samples] = {}

    def host(self, owner: int) -> str:
        return self._targets[owner].host

    def due(self, owner: int) -> float:
        return owner * self._params.interval / len(self._targets)

    def first(self, owner: int, address: Address, due: float) -> Job:
        return Job(owner, address, self._targets[owner].port or 0, due, self._params.timeout)

    def follow(self, job: Job) -> Job | None:
        """The next connection, on an absolute schedule; none after a failure of ours."""
        self._left[job.owner] -= 1
        if not self._left[job.owner] or job.start is None or (job.failure and not _evidence(job.failure)):
            return None
        interval = self._params.interval
        begun = job.start if is_late(job.due, job.start, interval) else job.due
        return Job(job.owner, job.address, job.port, begun + interval, job.timeout)

    def record(self, job: Job) -> None:
        if job.start is None or job.end is None:
            return
        ctx, text = self._ctx, self._targets[job.owner].text
        samples = self._samples.get(job.owner)
        if samples is None:
            samples = self._samples[job.owner] = Samples()
            ctx.method(target=text, address=job.address.ip, family=job.address.family)
        if is_late(job.due, job.start, self._params.interval):
            ctx.flag("schedule_slip", target=text)
        if not self._many:
            ctx.mark("connect_start", t=job.start, target=text)
        if job.failure is not None:
            _record_failure(ctx, text, job, job.failure)
            self._count_failure(text, samples, job.failure)
            return
        if not self._many:
            ctx.mark("connected", t=job.connected, source="socket", target=text)
        _record_success(ctx, text, job)
        samples.success()

    def _count_failure(self, text: str, samples: Samples, failure: Failed) -> None:
        try:
            samples.failure(failure)
        except Failed as ours:
            self._ctx.failed(text, ours)

    def failed(self, owner: int, failure: Failed) -> None:
        self._ctx.failed(self._targets[owner].text, failure)

    def conclude(self) -> None:
        """Ends the attempts that failed."""
        for owner, samples in self._samples.items():
            try:
                samples.conclude()
            except Failed as failure:
                self._ctx.failed(self._targets[owner].text, failure)


def _evidence(failure: Failed) -> bool:
    """Whether it says something of the network: the next connection may succeed."""
    return outcome_of(failure.error.class_) == "failure"


def _record_success(ctx: Context, text: str, job: Job) -> None:
    ctx.method(target=text, stamps=job.stamps)
    if job.syn_retransmits is not None:
        ctx.record("tcp_syn_retransmits", job.syn_retransmits, t=job.start, target=text)
    ctx.record("tcp_connect_seconds", job.connect_seconds, t=job.start, target=text)
    ctx.record("port_state", "open", t=job.start, target=text)


def _record_failure(ctx: Context, text: str, job: Job, failure: Failed) -> None:
    error = failure.error
    ctx.record("tcp_connect_seconds", None, t=job.start, reason=error.class_, target=text)
    if job.syn_retransmits is not None:
        ctx.record("tcp_syn_retransmits", job.syn_retransmits, t=job.start, target=text)
    if error.class_ == "refused":
        ctx.record("port_state", "closed", t=job.start, target=text)
    elif error.class_ == "timeout" or error.code in _FILTERED:
        ctx.record("port_state", "filtered", t=job.start, target=text)
    else:
        ctx.record("port_state", None, t=job.start, reason=error.class_, target=text)
