"""Connections for aiohttp, made phase by phase: resolve, connect, tunnel, TLS handshake.

One address, no happy eyeballs, no second try; each phase with its trigger point, its timer and its `Failed`.
The one place that reaches into aiohttp is `Dialer._create_connection`; a test pins it.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from ots.clock import Clock
from ots.i18n import N_
from ots.netio.errors import classify
from ots.netio.http.proxy import Proxy, open_tunnel
from ots.netio.marks import Mark
from ots.probe import Address, Failed, Net, Route

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace


_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d ")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_FINAL = re.compile(rb"\r\n\r\nHTTP/1\.[01] [2-5]\d\d ")


@dataclass(slots=True)
class Arrivals:
    """Bytes of one answer as the socket gave them (after TLS), headers and framing included."""

    bytes: int = 0
    first: float | None = None
    last: float = 0.0
    interim: float | None = None
    """When an interim answer came before the final one (103 Early Hints, RFC 8297)."""


class CountingHandler(ResponseHandler):
    """aiohttp's protocol, counting and stamping what arrives before anything is done with it.

    With `hold` aiohttp gets an answer's header alone: what comes behind it waits in `held` and in the kernel
    until somebody reads it there or lets it go on to aiohttp.

    It also keeps why the connection ended, and ends a body whose framing turned out to be garbage: left to
    itself, aiohttp closes the connection then and lets the body's reader wait for ever.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        super().__init__(loop=loop)
        self.arrivals = Arrivals()
        self.body: aiohttp.StreamReader | None = None
        self.lost: BaseException | None = None
        self.garbled = False
        self.broken: OSError | None = None
        """What a thread heard of the connection: the kernel tells an error only once."""
        self.stamp = clock.monotonic
        self.room = asyncio.Event()
        """Nothing waits in this process for room in the kernel beyond the transport's limit."""
        self.room.set()
        self.hold = False
        self.held: bytes | None = None
        """The body's first bytes, once the header has been told apart from them."""
        self.head_bytes = 0
        self._head = b""
        # aiohttp forgets its transport when it closes it, which may be long before what waits there is sent.
        self.wire: asyncio.Transport | None = None
        self.raw: asyncio.Transport | None = None
        """The transport beneath TLS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire = cast(asyncio.Transport, transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        arrivals, now = self.arrivals, self.stamp()
        arrivals.bytes += len(data)
        if arrivals.first is None and _INTERIM.match(data) and not _FINAL.search(data):
            arrivals.interim = arrivals.interim or now
        elif arrivals.first is None:
            arrivals.first = now
        arrivals.last = now
        super().data_received(self._without_body(data) if self.hold else data)
        if isinstance(self.exception(), HttpProcessingError):
            self.garbled = True

    def expect(self, *, hold: bool) -> None:
        """A request goes out; `hold`: its answer's body is not for aiohttp."""
        self.arrivals = Arrivals()
        self.hold, self.held, self._head, self.head_bytes = hold, None, b"", 0

    def let_go(self) -> None:
        """Gives aiohttp the body after all."""
        held, self.hold, self.held = self.held, False, None
        if held is not None and self.wire is not None:
            self.wire.resume_reading()
            if held:
                super().data_received(held)

    def _without_body(self, data: bytes) -> bytes:
        """What of it belongs to the header; from its end on nothing more is read here."""
        known = len(self._head)
        self._head += data
        end = _end_of_header(self._head)
        if end is None:
            return data
        self.hold, self.held, self.head_bytes = False, self._head[end:], end
        self._head = b""
        if self.wire is not None:
            self.wire.pause_reading()
        return data[: end - known]

    @property
    def ended(self) -> OSError | None:
        """What the system says of the connection's end, whoever has heard it; None for a mere end."""
        if self.broken is not None:
            return self.broken
        return self.lost if isinstance(self.lost, OSError) and self.lost.errno is not None else None

    def pause_writing(self) -> None:
        self.room.clear()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.room.set()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = exc
        self.room.set()
        self.wire = None
        super().connection_lost(exc)
        if self.body is not None and not self.body.is_eof() and self.body.exception() is None:
            self.body.set_exception(aiohttp.ClientPayloadError("the connection ended"))


def _end_of_header(data: bytes) -> int | None:
    """Where the final answer's header ends, interim answers before it included; None if it still goes on."""
    start = 0
    while (found := _EMPTY_LINE.search(data, start)) is not None:
        if not _INTERIM.match(data, start):
            return found.end()
        start = found.end()
    return None


@dataclass(frozen=True, slots=True)
class Way:
    """How connections of one attempt are made: all of them go to the same address of a host."""

    net: Net
    clock: Clock
    mark: Mark
    route: Route
    timeout: float
    tls: ssl.SSLContext
    proxy: Proxy | None
    addresses: dict[str, Address]

    async def address(self, host: str) -> Address:
        if host not in self.addresses:
            self.addresses[host] = await self.net.resolve(host, self.route, timeout=self.timeout)
        return self.addresses[host]


class Dialer(aiohttp.BaseConnector):
    """Makes aiohttp's connections through `ots.probe.Net`."""

    def __init__(self, way: Way) -> None:
        super().__init__(limit=1, keepalive_timeout=60.0)
        self._way = way
        self.handler: CountingHandler | None = None
        self.hold = False
        """Bodies are not for aiohttp."""
        self.connect_start: float | None = None
        self.connected: float | None = None
        self.dials = 0
        self.tls_facts: dict[str, str] = {}

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        way, url = self._way, req.url
        host, port, secure = url.host or "", url.port or 80, url.scheme == "https"
        self.dials += 1
        handler = CountingHandler(self._loop, way.clock)
        handler.expect(hold=self.hold)
        sock = await (self._direct(host, port) if way.proxy is None else self._by_proxy(host, port, secure))
        # From here on the loop owns the socket and closes it, also if the handshake fails.
        if secure:
            await self._secure(handler, sock, host)
        else:
            await self._loop.create_connection(lambda: handler, sock=sock)
        self.handler = handler
        return handler

    async def _direct(self, host: str, port: int) -> socket.socket:
        way = self._way
        address = await way.address(host)
        self.connect_start = way.clock.monotonic()
        sock = await way.net.dial(address, port, way.route, timeout=way.timeout)
        self.connected = way.clock.monotonic()
        return sock

    async def _by_proxy(self, host: str, port: int, secure: bool) -> socket.socket:
        way, proxy = self._way, cast(Proxy, self._way.proxy)
        if way.net.guard is not None:
            way.net.guard.permit_by_proxy(host, port)
            if proxy.source == "environment":
                way.net.guard.choose(proxy.host, proxy.port)
        try:
            sock = await self._direct(proxy.host, proxy.port)
        except Failed as failure:
            known = failure.error
            raise Failed(
                known.class_,
                "proxy",
                known.code,
                f"proxy {proxy.url}: {known.message}",
                retryable=known.retryable,
                remedy=known.remedy,
            ) from None
        if not secure:
            return sock
        try:
            await open_tunnel(sock, proxy, host, port, way.timeout)
        except BaseException:
            sock.close()
            raise
        way.mark("tunnel_open")
        return sock

    async def _secure(self, handler: CountingHandler, sock: socket.socket, host: str) -> None:
        """The handshake, over asyncio's own TLS: aiohttp's protocol can't use an `ssl.SSLSocket`."""
        way = self._way
        way.mark("tls_start")
        try:
            async with asyncio.timeout(way.timeout):
                handler.raw, _ = await self._loop.create_connection(asyncio.Protocol, sock=sock)
                transport = await self._loop.start_tls(
                    handler.raw,
                    handler,
                    way.tls,
                    server_hostname=host,
                    # asyncio reports its own timer as an aborted connection; ours ends first.
                    ssl_handshake_timeout=way.timeout + 60,
                )
        except (OSError, ValueError) as error:
            raise _tls_failed(error, host, way.timeout) from None
        if transport is None or transport.is_closing():
            raise Failed("tls", "tls", "EOF", f"{host}: the connection was closed after the handshake")
        handler.connection_made(transport)
        way.mark("tls_done")
        session = transport.get_extra_info("ssl_object")
        cipher = session.cipher()
        self.tls_facts = {
            "tls_version": session.version() or "unknown",
            "tls_cipher": cipher[0] if cipher else "unknown",
        }


def _tls_failed(error: OSError | ValueError, host: str, timeout: float) -> Failed:
    if isinstance(error, TimeoutError):
        return Failed(
            "timeout", "tls", "TIMEOUT", f"{host}: no TLS handshake within {timeout:g} s", retryable=True
        )
    if not isinstance(error, OSError):
        return Failed("config", "tls", "EINVAL", f"{host!r} can't be a server name")
    known = classify(error, "tls").error
    unverified = isinstance(error, ssl.SSLCertVerificationError)
    remedy = N_("Name the authority with ca_file, or look without trust: verify: no.") if unverified else None
    return Failed(known.class_, "tls", known.code, f"{host}: {known.message}", remedy=known.remedy or remedy)
