"""How long a TCP connection takes to open, and whether the port is open at all.

Each sample is one fresh connection to one address: the name is resolved once, before the first, and the
address stands in `method`. The time is the kernel's own for the SYN's round trip (TCP_INFO), so neither this
program's event loop nor a busy processor is in it. Where the kernel doesn't tell, or a SYN had to be sent
again, it is the time from connect() to the moment the socket was reported connected; `method` says which.

What the number is not: the distance to the server's application. A proxy, a load balancer or a captive portal
may complete the handshake in its place; compare with ping and with the certificate of `tls_handshake`. Lost
SYNs add steps of 1, 3 and 7 seconds: read `tcp_syn_retransmits` beside the times.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ots.i18n import N_, _
from ots.model.metric import Metric, MetricDef
from ots.netio.connection_metrics import CONNECT_FAILURE_RATIO, TCP_CONNECT_SECONDS
from ots.netio.dial import DialFailed, connect_time
from ots.netio.pooling import by_target
from ots.netio.repetition import Samples, paced
from ots.netio.tcpinfo import tcp_info
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


class TcpConnect(Probe):
    """Opens TCP connections and times each."""

    kind = "tcp_connect"
    version = 1
    summary = N_("Opens TCP connections and times them: is the port open, how far is it?")
    example = "192.0.2.1:443"
    targets = Targets(forms=("host:port",))
    Params = TcpConnectParams
    metrics = (TCP_CONNECT_SECONDS, TCP_SYN_RETRANSMITS, PORT_STATE, CONNECT_FAILURE_RATIO)

    def estimate(self, targets: Sequence[Target], params: TcpConnectParams) -> Estimate:
        traffic = params.count * _HANDSHAKE_BYTES
        longest = params.timeout + params.count * max(params.interval, params.timeout)
        return Estimate(params.count * params.interval, traffic, traffic, longest)

    async def run(self, ctx: Context, targets: Sequence[Target], params: TcpConnectParams) -> None:
        target = targets[0]
        address = await ctx.net.resolve(target.host, params.route, timeout=params.timeout)
        ctx.method(address=address.ip, family=address.family)
        samples = Samples()
        async for _sample in paced(ctx, params.count, params.interval):
            try:
                await self._connect(ctx, address, target.port or 0, params)
                samples.success()
            except Failed as failure:
                samples.failure(failure)
        samples.conclude()

    async def _connect(self, ctx: Context, address: Address, port: int, params: TcpConnectParams) -> None:
        start = ctx.clock.monotonic()
        try:
            connection = await ctx.net.dial(address, port, params.route, timeout=params.timeout)
        except Failed as failure:
            _record_failure(ctx, start, failure)
            raise
        with connection:
            _record_success(ctx, start, connection)

    def summarise(self, attempts: Sequence[AttemptData], params: TcpConnectParams) -> list[Metric]:
        return [
            metric
            for pool in by_target(attempts)
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


def _record_success(ctx: Context, start: float, connection: socket.socket) -> None:
    seconds, stamps = connect_time(connection, ctx.clock.monotonic() - start)
    ctx.method(stamps=stamps)
    info = tcp_info(connection)
    if info is not None:
        ctx.record("tcp_syn_retransmits", info.retransmits, t=start)
    ctx.record("tcp_connect_seconds", seconds, t=start)
    ctx.record("port_state", "open", t=start)


def _record_failure(ctx: Context, start: float, failure: Failed) -> None:
    error = failure.error
    ctx.record("tcp_connect_seconds", None, t=start, reason=error.class_)
    if isinstance(failure, DialFailed) and failure.syn_retransmits is not None:
        ctx.record("tcp_syn_retransmits", failure.syn_retransmits, t=start)
    if error.class_ == "refused":
        ctx.record("port_state", "closed", t=start)
    elif error.class_ == "timeout" or error.code in _FILTERED:
        ctx.record("port_state", "filtered", t=start)
    else:
        ctx.record("port_state", None, t=start, reason=error.class_)
