"""How long a DNS server takes to answer for a name, and whether its answer is the right one.

A wire client of its own asks one server: the machine's stub resolver, its cache, hosts file and search
domains are not in the figure. A lookup ends with a usable answer: aliases (CNAME) that the server left open
are followed, a truncated datagram is asked again over TCP, an unanswered query is repeated (`retries`). All
that is inside `dns_lookup_seconds`; a connection over TCP or TLS is set up before its first query and
measured apart.

`cache: cold` puts a random label in front of the name, so that no cache can know it; the zone needs a
wildcard there. With `warm` the name is asked as it is, and the server's cache may answer, except perhaps the
first time.

Datagrams are stamped by the kernel on arrival; `method` says so. Not measured: agreement between several
servers (dns_consistency_ratio: one server is asked), DNS over HTTPS and QUIC, and a check of signatures of
our own (`dns_authenticated` is the server's word).
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from typing import Annotated, Literal

import dns.exception
import dns.name
import dns.reversename
from pydantic import Field, field_validator

from ots.i18n import N_, _
from ots.model.metric import Metric
from ots.netio.dns.servers import name_servers
from ots.netio.repetition import Samples, paced
from ots.probe import AttemptData, Context, Estimate, Failed, NetworkParams, Probe, Target, Targets
from ots.probes import _dns_metrics as published
from ots.probes._dns_chase import EDNS_PAYLOAD, Lookup, Question, Server
from ots.schema.quantity import Duration

RecordType = Literal[
    "A",
    "AAAA",
    "CNAME",
    "MX",
    "TXT",
    "NS",
    "SRV",
    "PTR",
    "SOA",
    "CAA",
    "HTTPS",
    "SVCB",
    "DS",
    "DNSKEY",
    "NAPTR",
    "TLSA",
]

_PORTS = {"udp": 53, "tcp": 53, "tls": 853}
_QUERY_BYTES, _RESPONSE_BYTES = 300, 4096
"""What one query and its answer weigh at most, for the plan."""


class DnsLookupParams(NetworkParams):
    type: Annotated[RecordType, Field(description=N_("Record type to ask for."))] = "A"
    server: Annotated[
        str | None, Field(description=N_("DNS server: address or host:port. Default: the machine's first."))
    ] = None
    protocol: Annotated[
        Literal["udp", "tcp", "tls"], Field(description=N_("How to ask: datagrams, TCP, or DNS over TLS."))
    ] = "udp"
    count: Annotated[int, Field(ge=1, le=100_000, description=N_("Lookups, one by one."))] = 5
    interval: Annotated[
        Duration, Field(ge=0.001, le=3600, description=N_("From one lookup's start to the next's."))
    ] = 0.2
    timeout: Annotated[
        Duration, Field(gt=0, le=60, description=N_("For each query, and for each phase of a connection."))
    ] = 2.0
    retries: Annotated[
        int, Field(ge=0, le=10, description=N_("Repetitions of an unanswered query, counted in the lookup."))
    ] = 2
    cache: Annotated[
        Literal["warm", "cold"],
        Field(description=N_("cold: ask below a random label, which only a wildcard answers.")),
    ] = "warm"
    recursion: Annotated[bool, Field(description=N_("Ask the server to resolve for us (RD bit)."))] = True
    expect: Annotated[
        tuple[str, ...] | None,
        Field(description=N_("The records that the answer must consist of; others are wrong content.")),
    ] = None
    server_name: Annotated[
        str | None, Field(description=N_("Name in the server's certificate, for protocol tls."))
    ] = None
    verify: Annotated[bool, Field(description=N_("Check the server's certificate, for protocol tls."))] = True
    ca_file: Annotated[
        str | None, Field(description=N_("PEM file of the authorities to trust instead of the system's."))
    ] = None

    @field_validator("expect", mode="before")
    @classmethod
    def _one_or_many(cls, expect: object) -> object:
        return [part.strip() for part in expect.split(",")] if isinstance(expect, str) else expect

    @field_validator("server")
    @classmethod
    def _names_a_server(cls, server: str | None) -> str | None:
        if server is not None:
            _server_target(server, "udp")
        return server


class DnsLookup(Probe):
    """Looks a name up at one DNS server, again and again."""

    kind = "dns_lookup"
    version = 1
    summary = N_("Asks a DNS server for a name and times the answer.")
    example = "www.example.org"
    targets = Targets(forms=("host",))
    Params = DnsLookupParams
    metrics = published.METRICS
    round_trip = "dns_lookup_seconds"

    def estimate(self, targets: Sequence[Target], params: DnsLookupParams) -> Estimate:
        tries = params.retries + 1
        lookup = max(params.interval, params.timeout * tries)
        return Estimate(
            params.count * params.interval,
            received=params.count * _RESPONSE_BYTES,
            sent=params.count * tries * _QUERY_BYTES,
            longest=params.count * lookup,
        )

    async def run(self, ctx: Context, targets: Sequence[Target], params: DnsLookupParams) -> None:
        name = _name(targets[0], params)
        question = Question(params.type, params.recursion, params.expect)
        server = await _find_server(ctx, params)
        ctx.method(
            server=server.address.ip,
            port=server.port,
            protocol=params.protocol,
            cache=params.cache,
            edns_payload_bytes=EDNS_PAYLOAD,
        )
        samples = Samples()
        async for _sample in paced(ctx, params.count, params.interval):
            lookup = Lookup(ctx, server, question, params.route, params.timeout, params.retries)
            try:
                await lookup.run(_cold(name) if params.cache == "cold" else name)
                samples.success()
            except Failed as failure:
                samples.failure(failure)
        samples.conclude()

    def summarise(self, attempts: Sequence[AttemptData], params: DnsLookupParams) -> list[Metric]:
        return published.summarise(attempts)

    def samples_planned(self, metric: str, targets: Sequence[Target], params: DnsLookupParams) -> int | None:
        return params.count

    def warnings(self, targets: Sequence[Target], params: DnsLookupParams) -> list[str]:
        if params.protocol != "tls" and (params.server_name or params.ca_file):
            return [_("server_name and ca_file mean something only with protocol: tls")]
        return []


async def _find_server(ctx: Context, params: DnsLookupParams) -> Server:
    if params.server is not None:
        target = _server_target(params.server, params.protocol)
    else:
        known = [server for server in name_servers() if _suits(server, params)]
        if not known:
            raise Failed(
                "config",
                "config",
                "NO_SERVER",
                "this machine has no DNS server set"
                + (f" with an IPv{params.family} address" if params.family != "auto" else ""),
                remedy=N_("Name one: server: 192.0.2.53"),
            )
        target = _server_target(known[0], params.protocol)
        if ctx.net.guard is not None:
            ctx.net.guard.choose(target.host, target.port or _PORTS[params.protocol])
    address = await ctx.net.resolve(target.host, params.route, timeout=params.timeout)
    return Server(
        address,
        target.port or _PORTS[params.protocol],
        params.protocol,
        params.server_name or target.host,
        params.verify,
        params.ca_file,
    )


def _suits(server: str, params: DnsLookupParams) -> bool:
    """Whether a server's address is of the family asked."""
    return params.family == "auto" or (":" in server) == (params.family == "6")


def _server_target(text: str, protocol: str) -> Target:
    """A server as host:port; an IPv6 address may stand bare. ValueError says what is wrong."""
    try:
        bare = ipaddress.ip_address(text.partition("%")[0]).version == 6
    except ValueError:
        bare = False
    grammar = Targets(forms=("host:port",), default_port=_PORTS[protocol])
    return grammar.parse(f"[{text}]" if bare else text)


def _name(target: Target, params: DnsLookupParams) -> dns.name.Name:
    """The name to ask for; for type PTR an address is turned into its reverse name (RFC 1035 §3.5)."""
    try:
        ipaddress.ip_address(target.host.partition("%")[0])
    except ValueError:
        return dns.name.from_text(target.host)
    if params.type != "PTR":
        raise Failed(
            "config",
            "config",
            "ADDRESS",
            f"{target.host} is an address, not a name",
            remedy=N_("Give a name, or ask for the address's name with type: PTR."),
        )
    return dns.reversename.from_address(target.host.partition("%")[0])


def _cold(name: dns.name.Name) -> dns.name.Name:
    """The name below a label that nobody has asked for yet."""
    try:
        return dns.name.from_text(f"ots-{secrets.token_hex(8)}", origin=name)
    except dns.exception.DNSException:
        raise Failed(
            "config", "config", "NAME_TOO_LONG", f"{name} is too long to put a label in front of"
        ) from None
