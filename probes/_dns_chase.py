"""One DNS lookup: as many queries as it takes to a usable answer, or to the reason why there is none."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import dns.ttl

from ots.netio.dns.query import Response, over_stream, over_udp
from ots.netio.tls import client_context
from ots.probe import Address, Context, Failed, Route

EDNS_PAYLOAD = 1232
"""Bytes that a datagram may have: no IPv6 link fragments it (RFC 6891; dnsflagday.net/2020)."""

_ALIASES = 8


@dataclass(frozen=True, slots=True)
class Server:
    """The server that is asked and how; `name` is what its certificate must bear (protocol tls)."""

    address: Address
    port: int
    protocol: Literal["udp", "tcp", "tls"]
    name: str
    verify: bool
    ca_file: str | None

    @property
    def text(self) -> str:
        return f"{self.address.ip} port {self.port}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what the answer must be (None: anything)."""

    type: str
    recursion: bool
    expect: tuple[str, ...] | None

    def query(self, name: dns.name.Name) -> dns.message.QueryMessage:
        # AD in a query asks for AD in the response (RFC 6840 §5.7).
        flags = dns.flags.AD | (dns.flags.RD if self.recursion else 0)
        return dns.message.make_query(name, self.type, use_edns=0, payload=EDNS_PAYLOAD, flags=flags)


class Lookup:
    """Records one lookup's samples. `timeout` holds for each query, `retries` for those left unanswered."""

    def __init__(
        self, ctx: Context, server: Server, question: Question, route: Route, timeout: float, retries: int
    ) -> None:
        self._ctx = ctx
        self._server = server
        self._question = question
        self._route = route
        self._timeout = timeout
        self._patience = retries
        self._start: float | None = None
        self._timeouts = self._retries = self._truncated = 0

    async def run(self, name: dns.name.Name) -> None:
        """Looks the name up; `Failed` says why there is no answer."""
        began = self._ctx.clock.monotonic()
        try:
            await self._follow(name)
        except Failed as failure:
            start = began if self._start is None else self._start
            self._ctx.record("dns_lookup_seconds", None, t=start, reason=failure.error.class_)
            raise
        finally:
            self._ctx.record("dns_timeouts", self._timeouts, t=began)
            self._ctx.record("dns_retries", self._retries, t=began)
            self._ctx.record("dns_truncated", self._truncated, t=began)

    async def _follow(self, name: dns.name.Name) -> None:
        """Asks for the name, then for what it is an alias of, until the records themselves are there."""
        shortest = dns.ttl.MAX_TTL
        for _hop in range(_ALIASES):
            response = await self._ask(name)
            rcode = response.message.rcode()
            self._ctx.record("dns_rcode", dns.rcode.to_text(rcode), t=response.stop)
            if rcode != dns.rcode.NOERROR:
                raise _no_answer(name, dns.rcode.to_text(rcode))
            found = _chain(response.message)
            shortest = min(shortest, found.minimum_ttl)
            if found.answer is not None:
                self._finish(response, found.answer, shortest)
                return
            if found.canonical_name == name or response.message.flags & dns.flags.RA:
                raise _no_answer(name, "NODATA")
            name = found.canonical_name
        raise Failed("protocol", "resolve", "CNAME_CHAIN", f"{name}: more than {_ALIASES} aliases")

    def _finish(self, response: Response, answer: dns.rrset.RRset, ttl: int) -> None:
        start = response.start if self._start is None else self._start
        records = sorted(_plain(record.to_text()) for record in answer)
        expected = self._question.expect
        if expected is not None and set(records) != {_plain(text) for text in expected}:
            text = f"the answer is {', '.join(records)}, not {', '.join(expected)}"
            raise Failed("content", "verify", "ANSWER", text)
        self._ctx.record("dns_lookup_seconds", response.stop - start, t=start)
        self._ctx.record("dns_answers", len(records), t=start)
        self._ctx.record("dns_ttl_seconds", ttl, t=start)
        self._ctx.record("dns_authenticated", bool(response.message.flags & dns.flags.AD), t=start)

    async def _ask(self, name: dns.name.Name) -> Response:
        """One question, repeated while no answer comes."""
        while True:
            began = self._ctx.clock.monotonic()
            try:
                return await self._exchange(self._question.query(name))
            except Failed as failure:
                if failure.error.class_ != "timeout":
                    raise
                self._start = began if self._start is None else self._start
                self._ctx.record("dns_query_seconds", None, t=began, reason="timeout")
                self._timeouts += 1
                if self._retries == self._patience:
                    raise
                self._retries += 1

    async def _exchange(self, query: dns.message.Message) -> Response:
        if self._server.protocol != "udp":
            return await self._by_stream(query)
        response = await over_udp(
            self._ctx.net,
            self._server.address,
            self._server.port,
            self._route,
            query,
            self._ctx.clock,
            self._timeout,
        )
        self._note(response)
        if response.message.flags & dns.flags.TC:
            self._truncated += 1
            return await self._by_stream(query)
        return response

    async def _by_stream(self, query: dns.message.Message) -> Response:
        ctx, server, timeout = self._ctx, self._server, self._timeout
        began = ctx.clock.monotonic()
        sock = await ctx.net.dial(server.address, server.port, self._route, timeout=timeout)
        with closing(sock):
            ctx.record("dns_connect_seconds", ctx.clock.monotonic() - began, t=began)
            if server.protocol != "tls":
                return self._note(await over_stream(sock, server.text, query, ctx.clock, timeout))
            context = client_context(verify=server.verify, ca_file=server.ca_file, alpn=("dot",))
            stream = await ctx.net.tls(sock, server.name, context, timeout=timeout)
        with closing(stream.socket):
            ctx.record("dns_tls_seconds", stream.seconds, t=began)
            return self._note(await over_stream(stream.socket, server.text, query, ctx.clock, timeout))

    def _note(self, response: Response) -> Response:
        if self._start is None:
            self._start = response.start
        self._ctx.budget.spend(received=response.received, sent=response.sent)
        self._ctx.method(stamps=response.stamp)
        self._ctx.record("dns_query_seconds", response.stop - response.start, t=response.start)
        self._ctx.record("dns_response_bytes", response.received, t=response.stop)
        return response


def _chain(message: dns.message.Message) -> dns.message.ChainingResult:
    """The records that the message holds for its question, through its aliases."""
    if not isinstance(message, dns.message.QueryMessage):
        raise Failed("protocol", "resolve", "MALFORMED", "the server's message is no response to a query")
    try:
        return message.resolve_chaining()
    except dns.message.ChainTooLong:
        raise Failed("protocol", "resolve", "CNAME_CHAIN", "the answer's aliases go in a circle") from None
    except (dns.exception.DNSException, ValueError):
        raise Failed("protocol", "resolve", "MALFORMED", "the answer contradicts itself") from None


def _no_answer(name: dns.name.Name, code: str) -> Failed:
    return Failed("dns", "resolve", code, f"{name.to_text(omit_final_dot=True)}: {code}")


def _plain(record: str) -> str:
    """A record's text so that equal records compare equal: case, final dot, quotes and cuts don't count."""
    return record.replace('" "', "").strip('"').removesuffix(".").lower()
