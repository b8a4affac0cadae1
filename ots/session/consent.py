"""Has a host agreed to be loaded? Asked at the very address that is to be loaded, and remembered for a while.

Two ways to say so, both of them in the hands of whoever runs that address:

    GET /.well-known/ots-consent                 a text with a line `project: NAME`, or `project: *`
    TXT _ots-consent.1.2.0.192.in-addr.arpa      "project=NAME" or "project=*"

A record under the host's name would prove nothing: anybody may let a name of his own point at others.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.name
import dns.rdatatype
import dns.reversename
from yarl import URL

from ots.clock import SystemClock
from ots.netio.dns.query import over_udp
from ots.netio.dns.servers import name_servers
from ots.netio.http.client import Client
from ots.netio.http.dialer import Way
from ots.netio.net import SystemNet
from ots.netio.resolve import literal, resolve_all
from ots.netio.tls import client_context
from ots.probe import Address, Failed, Guard, Route
from ots.session.usage import Usage

PATH = "/.well-known/ots-consent"
LABEL = "_ots-consent"
GIVEN_LASTS, REFUSED_LASTS = 3600.0, 300.0
"""Seconds that an answer is believed."""

_PHASE_LIMIT = 3.0
_WHOLE_LIMIT = 15.0
_LARGEST = 4096
_MOST_ADDRESSES = 4
_LINE = re.compile(r"project\s*[:=]\s*(\S{1,100})")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to ask: a host that is to be loaded, and by which scheme and port it speaks HTTP."""

    host: str
    scheme: str = "http"
    port: int = 80

    @property
    def url(self) -> URL:
        return URL.build(scheme=self.scheme, host=self.host.partition("%")[0], port=self.port, path=PATH)


async def consenting(
    asked: Asked, project: str | None, guard: Guard, usage: Usage, wall: Callable[[], float]
) -> frozenset[str]:
    """The host's addresses that agree to loads for this project. Whatever goes wrong is no consent."""
    clock, found = SystemClock(), set()
    try:
        async with asyncio.timeout(_WHOLE_LIMIT):
            for address in (await resolve_all(asked.host, Route(), clock, _nothing, _PHASE_LIMIT))[
                :_MOST_ADDRESSES
            ]:
                place = f"{asked.scheme} {address.ip} {asked.port} {project or '*'}"
                given = usage.consent(place, wall())
                if given is None:
                    guard.permit(address)
                    given = await _by_file(asked, address, project, guard)
                    given = given or await _by_record(address, project, guard)
                    usage.keep_consent(place, given, wall(), GIVEN_LASTS if given else REFUSED_LASTS)
                if given:
                    found.add(address.ip)
    except (Failed, TimeoutError):
        return frozenset(found)
    return frozenset(found)


def agrees(text: str, project: str | None) -> bool:
    """Whether a text names the project, or all of them."""
    named = {match[1] for line in text.splitlines() if (match := _LINE.fullmatch(line.strip()))}
    return "*" in named or (project is not None and project in named)


async def _by_file(asked: Asked, address: Address, project: str | None, guard: Guard) -> bool:
    clock = SystemClock()
    way = Way(
        net=SystemNet(clock, _nothing, guard),
        clock=clock,
        mark=_nothing,
        route=Route(),
        timeout=_PHASE_LIMIT,
        tls=client_context(alpn=("http/1.1",)),
        proxy=None,
        addresses={asked.host: address, asked.url.host or asked.host: address},
    )
    client = Client(way)
    try:
        answer = await client.ask(asked.url, {})
        if answer.status != 200:
            return False
        body = bytearray()
        async for piece in answer.pieces():
            body += piece
            if len(body) > _LARGEST:
                return False
        return agrees(body.decode("utf-8", "replace"), project)
    except Failed:
        return False
    finally:
        await client.close()


async def _by_record(address: Address, project: str | None, guard: Guard) -> bool:
    clock = SystemClock()
    servers = name_servers()
    if not servers:
        return False
    server = literal(servers[0], Route())
    if server is None:
        return False
    guard.choose(server.name, 53)
    name = dns.name.from_text(LABEL, origin=dns.reversename.from_address(address.ip))
    query = dns.message.make_query(name, dns.rdatatype.TXT)
    try:
        net = SystemNet(clock, _nothing, guard)
        response = await over_udp(net, server, 53, Route(), query, clock, _PHASE_LIMIT)
        chain = (
            response.message.resolve_chaining()
            if isinstance(response.message, dns.message.QueryMessage)
            else None
        )
    except (Failed, dns.exception.DNSException):
        return False
    if chain is None or chain.answer is None:
        return False
    texts = (b"".join(record.strings).decode("utf-8", "replace") for record in chain.answer)
    return any(agrees(text, project) for text in texts)


def _nothing(trigger: str, *, t: float | None = None, source: str = "app") -> None:
    """No attempt is going on whose trigger points could be noted."""
