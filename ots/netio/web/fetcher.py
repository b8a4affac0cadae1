"""Fetches addresses as a browser does: few connections to each host, kept alive, every phase stamped.

Cookies live as long as the page load. What an answer may cost is bounded: its size, each wait, and where it
may lead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from yarl import URL

from ots.netio.http.client import REDIRECTS, Answer
from ots.netio.http.dialer import Way
from ots.netio.http.proxy import refused
from ots.netio.web.decoding import ACCEPTED, BadEncoding, Decoder
from ots.netio.web.exchange import Exchange, Kind
from ots.netio.web.lines import Line, Lines
from ots.netio.web.reach import Reach
from ots.probe import Budget, Failed

TOO_LARGE = "TOO_LARGE"

_ACCEPT: dict[Kind, str] = {
    "document": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "stylesheet": "text/css,*/*;q=0.1",
    "image": "image/avif,image/webp,image/*,*/*;q=0.8",
}


class Fetcher:
    """All requests of one page load, in `exchanges` once each has got its connection.

    `largest` bounds the bytes of all answers together, as they come and once more decompressed; `budget`
    those of the whole run.
    """

    def __init__(self, way: Way, *, per_host: int, user_agent: str, largest: int, budget: Budget) -> None:
        self.exchanges: list[Exchange] = []
        self.dials = 0
        self.received = 0
        self.decoded = 0
        self.lines = Lines(way, per_host)
        self._way = way
        self._user_agent = user_agent
        self._largest = largest
        self._budget = budget
        self._jar = aiohttp.CookieJar(unsafe=True)
        self._reach = Reach()
        self._lookups: dict[str, asyncio.Lock] = {}
        self._unknown: dict[str, Failed] = {}

    async def fetch(self, url: URL, kind: Kind) -> Exchange:
        """One request, to the end of its body. What goes wrong stands in `error`, never in a `Failed`."""
        clock = self._way.clock
        exchange = Exchange(url, kind, clock.monotonic())
        try:
            async with self.lines.to(url) as line:
                exchange.phases.blocked = clock.monotonic() - exchange.start
                self.exchanges.append(exchange)
                await self._exchange(line, exchange)
        except Failed as failure:
            exchange.error = failure.error
        except asyncio.CancelledError:
            exchange.error = Failed("cancelled", "transfer", "UNFINISHED", "the page load ended").error
            raise
        finally:
            if exchange.end is None:
                exchange.end = clock.monotonic()
        return exchange

    async def _exchange(self, line: Line, exchange: Exchange) -> None:
        url = exchange.url
        if self._way.proxy is None:
            await self._look_up(exchange)
        line.stamps.clear()
        asked = self._way.clock.monotonic()
        request = self._headers(exchange)
        exchange.request_headers = list(request.items())
        try:
            answer = await line.client.ask(url, request)
        finally:
            self._note_connection(line, exchange, asked)
        self._budget.spend(sent=answer.request_bytes)
        response = answer.response
        exchange.request_headers = list(response.request_info.headers.items())
        if response.status == 407 and self._way.proxy is not None:
            raise refused(self._way.proxy, 407)
        exchange.status, exchange.reason = response.status, _printable(response.reason or "")
        version = response.version or aiohttp.HttpVersion11
        exchange.version = f"HTTP/{version.major}.{version.minor}"
        exchange.headers = [(name, _printable(value)) for name, value in response.headers.items()]
        self._jar.update_cookies(response.cookies, url)
        exchange.interim = answer.arrivals.interim
        exchange.first_byte = answer.arrivals.first or self._way.clock.monotonic()
        if line.client.request_sent is not None:
            exchange.phases.wait = max(0.0, exchange.first_byte - line.client.request_sent)
        if exchange.status in REDIRECTS:
            exchange.redirect = _target(url, exchange.header("Location"))
        # Nobody waits for what else a redirect has to say.
        line.spoiled = exchange.redirect is not None and not answer.arrived
        if line.spoiled:
            self._note_end(answer, exchange)
        else:
            await self._body(answer, exchange)

    async def _look_up(self, exchange: Exchange) -> None:
        """One lookup for each name, however many requests wait for it; a name that failed fails at once."""
        clock, host = self._way.clock, exchange.url.host or ""
        begun, known = clock.monotonic(), host in self._way.addresses
        async with self._lookups.setdefault(host, asyncio.Lock()):
            if host in self._unknown:
                raise self._unknown[host]
            try:
                address = await self._way.address(host)
            except Failed as failure:
                self._unknown[host] = failure
                raise
            finally:
                if not known:
                    exchange.phases.dns = clock.monotonic() - begun
        if not address.lookup:
            exchange.phases.dns = None
        exchange.address = address.ip
        self._reach.check(host, address.ip)

    def _note_connection(self, line: Line, exchange: Exchange, asked: float) -> None:
        """What is known once the request is out, or has failed on the way."""
        phases, dialer, stamps = exchange.phases, line.client.dialer, line.stamps
        exchange.connection = line.number
        exchange.reused = dialer.dials == line.known_dials
        now, ready, failed = self._way.clock.monotonic(), asked, line.client.request_sent is None
        if not exchange.reused:
            self.dials += dialer.dials - line.known_dials
            line.known_dials = dialer.dials
            start = dialer.connect_start if dialer.connect_start is not None else asked
            ready = now if failed else max(start, dialer.connected or start)
            phases.blocked = (phases.blocked or 0.0) + max(0.0, start - asked)
            if "tls_start" in stamps:
                ready = stamps.get("tls_done", now)
                phases.ssl = ready - stamps["tls_start"]
            phases.connect = ready - start
        if line.client.request_sent is not None:
            phases.send = max(0.0, line.client.request_sent - ready)
            phases.wait = max(0.0, now - line.client.request_sent)

    async def _body(self, answer: Answer, exchange: Exchange) -> None:
        """Reads the body to its end; kept is that of documents and style sheets alone."""
        kept, arrivals = bytearray(), answer.arrivals
        keep = exchange.kind in ("document", "stylesheet")
        stamp = arrivals.first if answer.content_waits else None
        try:
            decoder = Decoder(exchange.header("Content-Encoding") or "")
            async with contextlib.aclosing(answer.pieces()) as pieces:
                while (piece := await self._next(pieces)) is not None:
                    if exchange.first_content is None:
                        exchange.first_content = arrivals.last if stamp is None else stamp
                    exchange.content += len(piece)
                    self._book(exchange, arrivals.bytes)
                    for part in decoder.decode(piece):
                        exchange.decoded += len(part)
                        self.decoded += len(part)
                        self._check_size()
                        if keep:
                            kept += part
            decoder.finish()
            exchange.body = bytes(kept)
        except BadEncoding as error:
            raise Failed("content", "transfer", "BAD_ENCODING", f"Content-Encoding: {error}") from None
        finally:
            self._note_end(answer, exchange)

    def _note_end(self, answer: Answer, exchange: Exchange) -> None:
        arrivals = answer.arrivals
        self.received += arrivals.bytes - exchange.transferred
        exchange.transferred = arrivals.bytes
        exchange.end = max(arrivals.last, exchange.first_byte or 0.0)
        exchange.phases.receive = exchange.end - (exchange.first_byte or exchange.end)

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        """The next piece, None at the end."""
        try:
            async with asyncio.timeout(self._way.timeout):
                return await anext(pieces, None)
        except TimeoutError:
            raise Failed(
                "stalled", "transfer", "STALLED", f"no byte for {self._way.timeout:g} s", retryable=True
            ) from None

    def _book(self, exchange: Exchange, arrived: int) -> None:
        new = arrived - exchange.transferred
        exchange.transferred = arrived
        self.received += new
        self._budget.spend(received=new)
        self._check_size()

    def _check_size(self) -> None:
        if max(self.received, self.decoded) > self._largest:
            raise Failed(
                "content", "transfer", TOO_LARGE, f"the page is larger than the {self._largest} B of max_size"
            )

    def _headers(self, exchange: Exchange) -> dict[str, str]:
        cookies = self._jar.filter_cookies(exchange.url)
        made = {
            "Accept": _ACCEPT.get(exchange.kind, "*/*"),
            "Accept-Encoding": ACCEPTED,
            "User-Agent": self._user_agent,
        }
        if cookies:
            made["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
        return made


def _target(url: URL, place: str | None) -> URL | None:
    """Where a redirect leads, None if nowhere."""
    try:
        found = url.join(URL(place or "")).with_fragment(None)
        if place and found.scheme in ("http", "https") and found.host and found.port:
            return found.with_user(None)
    except ValueError:
        pass
    return None


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:2000]
