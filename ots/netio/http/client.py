"""HTTP for measuring: aiohttp speaks the protocol, the phases are ours.

A `Client` is one connection at a time, dialled afresh and shared with nobody; no proxy, cookie, decompression
or redirect by accident. Every phase has a timer of its own, and every way in which it can go wrong becomes
one `Failed`. An answer whose status says no is a failure: nothing of its body is ever counted.
"""

from __future__ import annotations

import asyncio
import secrets
import select
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from yarl import URL

from ots import __version__
from ots.i18n import N_
from ots.model.outcome import Phase
from ots.netio.errors import classify
from ots.netio.http.dialer import Arrivals, CountingHandler, Dialer, Way
from ots.netio.http.framing import Framing, framing_of
from ots.netio.http.proxy import refused
from ots.netio.http.sealed import Sealer, sealed
from ots.netio.tcpinfo import Connection
from ots.netio.tls import Session
from ots.probe import Failed, Target

REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
MAX_FIELD = 16 << 10
_MOMENT = 0.001
_HANG_UP = getattr(select, "POLLRDHUP", 0)

HEADERS: Mapping[str, str] = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-store",
    "User-Agent": f"ots/{__version__}",
}
"""What every request says: no compression, nothing from a cache."""


def url_of(target: Target, *, unique: bool = False) -> URL:
    """The target's URL without its user; `unique` adds a query that no cache has seen."""
    url = URL(f"{target.scheme}://{target.authority}{target.path}", encoded=True)
    if not unique:
        return url
    query = f"{url.raw_query_string}&ots=" if url.raw_query_string else "ots="
    return (
        url.with_query(None)
        .with_path(url.raw_path, encoded=True)
        .join(URL(f"?{query}{secrets.token_hex(8)}", encoded=True))
    )


@dataclass(slots=True)
class Answer:
    """An accepted answer whose body is still to be read."""

    response: aiohttp.ClientResponse
    handler: CountingHandler
    redirects: int
    framing: Framing | None = None
    """How the body is framed, where it was taken off the connection beside aiohttp."""

    def take(self) -> tuple[Framing, memoryview]:
        """The body, to be read off the connection: its framing, and what of it has come already.

        From here on it is the reader's business, until `done`.
        """
        held, self.handler.held = self.handler.held, None
        length = 0 if self.status == 204 else self.length
        self.framing = framing_of(self.response.headers, length)
        return self.framing, memoryview(held or b"")

    def done(self) -> None:
        """All of the body has been read: gives the connection back for the next request."""
        wire = self.handler.wire
        assert self.framing is not None
        if self.framing.beyond or wire is None or wire.is_closing() or _left(wire):
            self.handler.force_close()
        if wire is not None and not wire.is_reading():
            wire.resume_reading()
        self.response.content.feed_eof()

    @property
    def arrivals(self) -> Arrivals:
        return self.handler.arrivals

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def length(self) -> int | None:
        """Content-Length, if the peer said one."""
        return self.response.content_length

    @property
    def request_bytes(self) -> int:
        """Bytes of the request's header."""
        info = self.response.request_info
        line = len(f"{info.method} {info.url.raw_path_qs} HTTP/1.1\r\n\r\n")
        return line + sum(len(name) + len(value) + 4 for name, value in info.headers.items())

    @property
    def content_waits(self) -> bool:
        """Whether content arrived together with the header."""
        return self.response.content.total_bytes > 0

    @property
    def ended(self) -> bool:
        """Whether all of the body has come and been read."""
        return self.response.content.at_eof()

    @property
    def arrived(self) -> bool:
        """Whether all of the body has come, read or not."""
        return self.response.content.is_eof()

    @property
    def overhead(self) -> int:
        """Bytes of header and framing that came so far."""
        if self.framing is not None:
            return self.handler.head_bytes + self.framing.overhead
        return max(0, self.arrivals.bytes - self.response.content.total_bytes)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes. `Failed` in phase `transfer`."""
        self.handler.let_go()
        try:
            async for piece in self.response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> Failed:
        if self.handler.garbled:
            return Failed("protocol", "transfer", "BAD_CHUNK", "the body's chunks are not valid HTTP")
        return http_failure(
            self.handler.lost if isinstance(self.handler.lost, OSError) else error, "transfer"
        )

    def header(self, name: str) -> str | None:
        return self.response.headers.get(name)


class Client:
    """One HTTP connection."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._timer: asyncio.Timeout | None = None
        self._first_byte_timer = False
        self._response: aiohttp.ClientResponse | None = None
        self.dialer = Dialer(way)
        self.request_sent: float | None = None
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(self._sent)
        self._session = aiohttp.ClientSession(
            connector=self.dialer,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            skip_auto_headers=("Content-Type",),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            trust_env=False,
            max_line_size=MAX_FIELD,
            max_field_size=MAX_FIELD,
            trace_configs=[trace],
        )

    async def get(self, url: URL) -> Answer:
        """An accepted answer. Follows up to five redirects; anything else is `Failed`.

        Its body waits on the connection until it is received or asked for in pieces.
        """
        for redirects in range(MAX_REDIRECTS + 1):
            self.dialer.hold = True
            try:
                response, handler = await self._request("GET", url, timed=True)
            finally:
                self.dialer.hold = False
            if response.status not in REDIRECTS:
                self._judge(response)
                return Answer(response, handler, redirects)
            url = _redirected(url, response)
            # The next hop is a request of its own; nothing of this one's body is waited for.
            response.close()
        raise Failed(
            "rejected",
            "first_byte",
            "TOO_MANY_REDIRECTS",
            f"more than {MAX_REDIRECTS} redirects, the last to {_shown(url)}",
        )

    async def ask(self, url: URL, headers: Mapping[str, str]) -> Answer:
        """The answer to one request, whatever its status says; no redirect is followed."""
        response, handler = await self._request("GET", url, timed=True, headers=headers)
        return Answer(response, handler, 0)

    async def send(
        self, method: str, url: URL, body: AsyncIterator[memoryview], length: int | None
    ) -> Answer:
        """Sends a body and returns the accepted answer, which may come before the body's end.

        No time limit: the caller watches the progress, and calls `await_answer` when all is sent.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if length is not None:
            headers["Content-Length"] = str(length)
        response, handler = await self._request(method, url, timed=False, body=body, headers=headers)
        if response.status in REDIRECTS:
            raise Failed(
                "rejected",
                "first_byte",
                str(response.status),
                f"the server redirects uploads to {_shown(_redirected(url, response))}",
                remedy=N_("Give that address as the target."),
            )
        self._judge(response)
        return Answer(response, handler, 0)

    def await_answer(self) -> None:
        """Starts the timer for the answer's first byte."""
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time() + self._way.timeout)

    @property
    def connection(self) -> Connection | None:
        """The socket beneath, to look at."""
        handler = self.dialer.handler
        if handler is None or handler.transport is None:
            return None
        found: Connection | None = handler.transport.get_extra_info("socket")
        return found

    @property
    def wire(self) -> int | None:
        """The file descriptor of the connection, None where there is none."""
        connection = self.connection
        return None if connection is None or connection.fileno() < 0 else connection.fileno()

    def broke(self, error: OSError) -> None:
        """A thread that writes has seen the connection end; aiohttp will, and not why."""
        if self.dialer.handler is not None:
            self.dialer.handler.broken = error

    async def flush(self) -> None:
        """Waits until all that was written is in the kernel, or the connection has ended."""
        handler = self.dialer.handler
        if handler is not None and handler.wire is not None:
            handler.wire.set_write_buffer_limits(high=0)
            await handler.room.wait()

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process for room in the kernel."""
        handler = self.dialer.handler
        if handler is None or handler.transport is None:
            return 0
        beneath = handler.raw.get_write_buffer_size() if handler.raw is not None else 0
        return handler.transport.get_write_buffer_size() + beneath

    async def seal(self, work: Callable[[Sealer], None]) -> None:
        """On a TLS connection whose peer has not answered yet: lets a thread encrypt and write (`sealed`)."""
        handler = self.dialer.handler
        if handler is None or handler.wire is None or handler.raw is None or handler.arrivals.bytes:
            return
        session = handler.wire.get_extra_info("ssl_object")
        assert isinstance(session, Session)
        while self.unsent:  # noqa: ASYNC110 (TLS alone is told when the transport beneath has written all)
            await asyncio.sleep(_MOMENT)
        if not handler.raw.is_closing():
            await sealed(handler.raw, session, work)

    async def close(self) -> None:
        """Ends the connection at once, whatever it was doing."""
        handler = self.dialer.handler
        idle = self._response is not None and self._response.content.at_eof()
        if handler is not None and handler.wire is not None and not idle:
            # With a plain close the kernel would go on sending what it has, long after the measurement.
            handler.wire.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            handler.wire.abort()
        if self._response is not None:
            self._response.close()
        await self._session.close()

    async def _request(
        self,
        method: str,
        url: URL,
        *,
        timed: bool,
        body: AsyncIterator[memoryview] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[aiohttp.ClientResponse, CountingHandler]:
        if self.dialer.handler is not None:
            self.dialer.handler.expect(hold=self.dialer.hold)
        self.request_sent, self._first_byte_timer = None, timed
        proxy = self._way.proxy
        # Only a plain request is addressed to the proxy; a TLS one speaks to the server through the tunnel.
        plain_proxy = URL(proxy.url) if proxy is not None and url.scheme == "http" else None
        own = dict(headers or {})
        if plain_proxy is not None and proxy is not None and proxy.authorization is not None:
            own["Proxy-Authorization"] = proxy.authorization
        try:
            async with asyncio.timeout(None) as self._timer:
                response = await self._session.request(
                    method, url, data=body, headers=own, allow_redirects=False, proxy=plain_proxy
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            ended = (
                self.dialer.handler.ended if self.dialer.handler is not None and body is not None else None
            )
            if ended is not None and isinstance(error, aiohttp.ClientConnectionError):
                raise classify(ended, "transfer") from None
            raise http_failure(error, "first_byte" if self.request_sent is not None else "request") from None
        finally:
            self._timer = None
        self._response = response
        handler = self.dialer.handler
        assert handler is not None
        handler.body = response.content
        return response, handler

    async def _sent(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        self.request_sent = self._way.clock.monotonic()
        self._way.mark("request_sent", t=self.request_sent)
        if self._first_byte_timer:
            self.await_answer()

    def _judge(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status < 300:
            return
        response.close()
        proxy = self._way.proxy
        if status == 407 and proxy is not None:
            raise refused(proxy, status)
        raise Failed(
            "auth" if status in (401, 407) else "rejected",
            "first_byte",
            str(status),
            f"{_shown(response.url)} answered {status} {response.reason or ''}".rstrip(),
            retryable=status in (408, 425, 429) or status >= 500,
        )


def http_failure(error: Exception, phase: Phase) -> Failed:
    """What an exception of aiohttp means: which side ended it, and whether it spoke HTTP at all."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failed("cutoff", "transfer", "EOF", "the connection ended before the body", retryable=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return Failed(
            "protocol", phase, "BAD_RESPONSE", f"no valid HTTP answer: {_first_line(error.message)}"
        )
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return classify(EOFError(), phase, "the server closed the connection without an answer")
    if isinstance(error, aiohttp.InvalidURL | ValueError) and not isinstance(error, OSError):
        return Failed("config", "config", "BAD_URL", _first_line(str(error)))
    if isinstance(error, aiohttp.ClientOSError) and error.errno is None:
        return classify(EOFError(), phase)
    if isinstance(error, aiohttp.ClientConnectionError) and not isinstance(error, OSError):
        return _of_connection(error, phase)
    return classify(error, phase)


def _left(wire: asyncio.Transport) -> bool:
    """Whether the peer has closed the connection, as far as the kernel has heard."""
    looking = select.poll()
    looking.register(wire.get_extra_info("socket").fileno(), _HANG_UP)
    return bool(looking.poll(0))


def _of_connection(error: aiohttp.ClientConnectionError, phase: Phase) -> Failed:
    cause = error.__cause__
    if isinstance(cause, OSError):
        return classify(cause, phase)
    return classify(ConnectionError(), phase, _first_line(str(error)) or "the connection ended")


def _redirected(url: URL, response: aiohttp.ClientResponse) -> URL:
    place = response.headers.get("Location", "")
    try:
        found = url.join(URL(place, encoded=True)) if place else URL()
        usable = found.scheme in ("http", "https") and bool(found.host) and found.user is None
    except ValueError:
        usable, found = False, url
    if not usable:
        raise Failed(
            "protocol", "first_byte", "BAD_REDIRECT", f"status {response.status} without a usable Location"
        )
    return found.with_fragment(None)


def _shown(url: URL) -> str:
    """A URL as it may stand in a report: no user, no query."""
    return str(url.with_user(None).with_query(None)) if url.host else str(url)


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return "".join(char if char.isprintable() else "?" for char in line)[:200]
