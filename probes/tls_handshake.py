"""How long a TLS handshake takes, what is agreed in it, and what the server's certificate is worth.

Each sample is a fresh TCP connection and a full handshake over it, without session tickets. The time runs
from the ClientHello to the end of the handshake on our side; the TCP connection before it is
`tcp_connect_seconds`. This machine's own work is in it, too: making a key, checking the chain (measure a
server on loopback to know how much). `tls_handshake_rtts` counts the flights that were sent and answered:
1 with TLS 1.3, 2 with TLS 1.2 or when the server asked for another key share.

When the certificate doesn't pass, or `verify: false` says that it needn't, it is looked at over further
connections that are not timed, so that its facts stand in the report beside the failure.

Not measured, because Python's ssl doesn't tell: the key-exchange group (tls_group) and the stapled OCSP
response (tls_ocsp_status); nor QUIC.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ots.clock import rfc3339
from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.certificate import Certificates, certificates_of, days_left
from ots.netio.dial import connect_time
from ots.netio.errors import CERTIFICATE
from ots.netio.repetition import Samples, paced
from ots.netio.tls import client_context
from ots.probe import (
    Address,
    AttemptData,
    Context,
    Estimate,
    Failed,
    NetworkParams,
    Probe,
    Target,
    Targets,
    TLSStream,
)
from ots.probes import _tls_metrics as published
from ots.schema.quantity import Duration

Version = Literal["1.2", "1.3"]

_HANDSHAKE_BYTES = 10_000
"""What a handshake with a long chain receives at most, for the plan; half of it is sent."""


class TlsHandshakeParams(NetworkParams):
    count: Annotated[int, Field(ge=1, le=100_000, description=N_("Handshakes, one by one."))] = 5
    interval: Annotated[
        Duration, Field(ge=0.001, le=3600, description=N_("From one handshake's start to the next's."))
    ] = 0.2
    timeout: Annotated[
        Duration, Field(gt=0, le=300, description=N_("For each phase: resolve, connect, handshake."))
    ] = 5.0
    server_name: Annotated[
        str | None, Field(description=N_("Name to send (SNI) and to check. Default: the target's host."))
    ] = None
    verify: Annotated[bool, Field(description=N_("Fail if the certificate is not valid for this name."))] = (
        True
    )
    ca_file: Annotated[
        str | None, Field(description=N_("PEM file of the authorities to trust instead of the system's."))
    ] = None
    alpn: Annotated[
        tuple[str, ...],
        Field(description=N_("Application protocols to offer, the best first, as h2, http/1.1.")),
    ] = ()
    min_version: Annotated[Version | None, Field(description=N_("Oldest TLS version to accept."))] = None
    max_version: Annotated[Version | None, Field(description=N_("Newest TLS version to offer."))] = None

    @field_validator("alpn", mode="before")
    @classmethod
    def _one_or_many(cls, alpn: object) -> object:
        return [part.strip() for part in alpn.split(",")] if isinstance(alpn, str) else alpn

    @model_validator(mode="after")
    def _ordered(self) -> TlsHandshakeParams:
        if self.min_version and self.max_version and self.min_version > self.max_version:
            raise ValueError(f"min_version {self.min_version} is above max_version {self.max_version}")
        return self

    def context(self, *, verify: bool, check_name: bool = True) -> ssl.SSLContext:
        return client_context(
            verify=verify,
            check_name=check_name,
            ca_file=self.ca_file,
            alpn=self.alpn,
            min_version=self.min_version,
            max_version=self.max_version,
        )


class TlsHandshake(Probe):
    """Shakes hands with a TLS server, again and again."""

    kind = "tls_handshake"
    version = 1
    summary = N_("Times TLS handshakes and looks at what is agreed and at the certificate.")
    example = "www.example.org:443"
    targets = Targets(forms=("host:port",), default_port=443)
    Params = TlsHandshakeParams
    metrics = published.METRICS

    def estimate(self, targets: Sequence[Target], params: TlsHandshakeParams) -> Estimate:
        return Estimate(
            params.count * params.interval,
            received=(params.count + 2) * _HANDSHAKE_BYTES,
            sent=(params.count + 2) * _HANDSHAKE_BYTES // 2,
            longest=params.timeout + params.count * max(params.interval, 2 * params.timeout),
        )

    async def run(self, ctx: Context, targets: Sequence[Target], params: TlsHandshakeParams) -> None:
        target = targets[0]
        address = await ctx.net.resolve(target.host, params.route, timeout=params.timeout)
        server = _Server(ctx, address, target.port or 443, params.server_name or target.host, params)
        ctx.method(address=address.ip, family=address.family, server_name=server.name, verify=params.verify)
        samples = Samples()
        async for _sample in paced(ctx, params.count, params.interval):
            try:
                await server.sample()
                samples.success()
            except Failed as failure:
                samples.failure(failure)
        samples.conclude()

    def summarise(self, attempts: Sequence[AttemptData], params: TlsHandshakeParams) -> list[Metric]:
        return published.summarise(attempts)

    def samples_planned(
        self, metric: str, targets: Sequence[Target], params: TlsHandshakeParams
    ) -> int | None:
        return params.count


class _Server:
    """The server under test: handshakes that count, and looks at its certificate that don't."""

    def __init__(
        self, ctx: Context, address: Address, port: int, name: str, params: TlsHandshakeParams
    ) -> None:
        self.name = name
        self._ctx = ctx
        self._address = address
        self._port = port
        self._params = params
        self._context = params.context(verify=params.verify)
        self._known = False

    async def sample(self) -> None:
        """One connection and one handshake; the first one's certificate is recorded."""
        ctx = self._ctx
        start = ctx.clock.monotonic()
        try:
            with closing(await self._connect(start)) as connection:
                stream = await self._shake(connection, self._context)
        except Failed as failure:
            ctx.record("tls_handshake_seconds", None, t=start, reason=failure.error.class_)
            if failure.error.code.startswith(CERTIFICATE):
                await self._explain(None)
            raise
        with closing(stream.socket):
            _record(ctx, start, stream)
            await self._explain(stream)

    async def _connect(self, start: float) -> socket.socket:
        params = self._params
        connection = await self._ctx.net.dial(self._address, self._port, params.route, timeout=params.timeout)
        seconds, stamps = connect_time(connection, self._ctx.clock.monotonic() - start)
        self._ctx.record("tcp_connect_seconds", seconds, t=start)
        self._ctx.method(connect_stamps=stamps, stamps="user")
        return connection

    async def _shake(self, connection: socket.socket, context: ssl.SSLContext) -> TLSStream:
        return await self._ctx.net.tls(connection, self.name, context, timeout=self._params.timeout)

    async def _explain(self, stream: TLSStream | None) -> None:
        """Records what the certificate is worth, once. No stream: it made the handshake fail."""
        if self._known:
            return
        ctx = self._ctx
        passed = stream is not None and self._params.verify
        try:
            if stream is not None:
                certificates = certificates_of(stream.socket)
            else:
                certificates = await self._look(self._params.context(verify=False))
        except Failed as failure:
            ctx.log.warning(f"the certificate could not be read: {failure}")
            return
        self._known = True
        end = certificates.first_to_end
        ctx.method(issuer=certificates.issuer, chain_length=len(certificates.chain))
        ctx.record("tls_certificate_not_after_timestamp", rfc3339(end.timestamp()))
        ctx.record("tls_certificate_days_left", days_left(end, ctx.clock.wall()))
        ctx.record("tls_name_match", passed or certificates.names_host(self.name))
        chain_valid, reason = (True, None) if passed else await self._chain_valid()
        ctx.record("tls_chain_valid", chain_valid, reason=reason)

    async def _chain_valid(self) -> tuple[bool | None, str | None]:
        """Whether the chain leads to a trusted authority and is in date, whomever it names."""
        try:
            await self._look(self._params.context(verify=True, check_name=False))
        except Failed as failure:
            error = failure.error
            return (False, None) if error.code.startswith(CERTIFICATE) else (None, error.class_)
        return True, None

    async def _look(self, context: ssl.SSLContext) -> Certificates:
        """One more handshake that is not timed."""
        params = self._params
        with closing(
            await self._ctx.net.dial(self._address, self._port, params.route, timeout=params.timeout)
        ) as connection:
            stream = await self._shake(connection, context)
        with closing(stream.socket):
            return certificates_of(stream.socket)


def _record(ctx: Context, start: float, stream: TLSStream) -> None:
    ctx.record("tls_handshake_seconds", stream.seconds, t=start)
    ctx.record("tls_handshake_rtts", stream.facts["rtts"], t=start, reason="unsupported")
    ctx.record("tls_version", stream.version, t=start)
    ctx.record("tls_cipher", stream.cipher, t=start)
    ctx.record("tls_alpn", stream.alpn, t=start, reason="not_negotiated")
    ctx.record("tls_resumed", stream.facts["resumed"], t=start)
