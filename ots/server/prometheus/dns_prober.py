"""The prober `dns`: one query to the target by `ots.netio.dns`, as of dns_lookup; no alias is followed."""

from __future__ import annotations

from contextlib import ExitStack, closing

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.SOA import SOA

from ots.netio.dns.query import Response, over_stream, over_udp
from ots.netio.net import SystemNet
from ots.probe import Address, Failed
from ots.schema.target import Targets
from ots.server.prometheus.errand import Errand
from ots.server.prometheus.gate import unmarked
from ots.server.prometheus.http_rules import RegexFailed
from ots.server.prometheus.module import DNSModule, RecordRules

_SECONDS = "probe_dns_duration_seconds"
_SECTIONS = ("answer", "authority", "additional")


async def probe(errand: Errand) -> None:
    """Makes the probe. `Failed` says why it failed, `NotAllowed` that the list does not allow it, TargetError
    that the target is none."""
    module, figures = errand.loaded.module.dns, errand.figures
    assert module is not None
    grammar = Targets(forms=("host:port",), default_port=853 if module.dns_over_tls else 53)
    target = grammar.parse(errand.target)
    figures.start_phases(_SECONDS, ("resolve", "connect", "request"))
    figures.start("probe_dns_query_succeeded", *(f"probe_dns_{section}_rrs" for section in _SECTIONS))
    address = await errand.admit(target.host, target.port, module)
    figures.set(_SECONDS, address.lookup, phase="resolve")
    response = await _ask(errand, module, target.host, address, target.port or 53)
    message = response.message
    figures.set(_SECONDS, response.stop - response.start, phase="request")
    figures.set("probe_dns_query_succeeded", 1)
    sections = dict(zip(_SECTIONS, (message.answer, message.authority, message.additional), strict=True))
    for section, found in sections.items():
        figures.set(f"probe_dns_{section}_rrs", sum(len(rrset) for rrset in found))
    for rrset in message.answer:
        for record in rrset:
            if isinstance(record, SOA):
                figures.set("probe_dns_serial", record.serial)
    rcode = dns.rcode.to_text(message.rcode())
    errand.journal.note(
        f"{rcode} with {len(message.answer)} record sets after {response.stop - response.start:.6f} s"
    )
    if rcode not in module.valid_rcodes:
        raise Failed("dns", "resolve", rcode, f"the answer is {rcode}")
    for section, rules in zip(
        _SECTIONS,
        (module.validate_answer_rrs, module.validate_authority_rrs, module.validate_additional_rrs),
        strict=True,
    ):
        _judge(section, sections[section], rules)


async def _ask(errand: Errand, module: DNSModule, host: str, address: Address, port: int) -> Response:
    clock, figures, route = errand.clock, errand.figures, errand.route(address)
    net = SystemNet(clock, unmarked)
    query = dns.message.make_query(
        module.query_name,
        module.query_type,
        module.query_class,
        flags=dns.flags.RD if module.recursion_desired else 0,
    )
    began = clock.monotonic()
    if module.transport_protocol == "udp":
        response = await over_udp(net, address, port, route, query, clock, errand.left("resolve"))
        figures.set(_SECONDS, response.start - began, phase="connect")
        return response
    sock = await net.dial(address, port, route, timeout=errand.left("connect"))
    with ExitStack() as stack:
        stack.enter_context(closing(sock))
        if errand.loaded.tls is not None:
            name = module.tls_config.server_name or host
            stream = await net.tls(sock, name, errand.loaded.tls, timeout=errand.left("tls"))
            sock = stack.enter_context(closing(stream.socket))
        figures.set(_SECONDS, clock.monotonic() - began, phase="connect")
        return await over_stream(sock, f"{address.ip} port {port}", query, clock, errand.left("resolve"))


def _judge(section: str, found: list[dns.rrset.RRset], rules: RecordRules) -> None:
    """`RegexFailed` if a section's records are not as they must be, which is as blackbox_exporter has it.

    Its `fail_if_all_match_regexp` fails unless all records match, whatever the name says.
    """
    records = [_text(rrset, record).encode() for rrset in found for record in rrset]
    for pattern in rules.fail_if_matches_regexp:
        if any(pattern.found_in(record) for record in records):
            raise RegexFailed(f"a record of the {section} matches {pattern.text}")
    for pattern in rules.fail_if_all_match_regexp:
        if not all(pattern.found_in(record) for record in records):
            raise RegexFailed(f"not all records of the {section} match {pattern.text}")
    for pattern in rules.fail_if_not_matches_regexp:
        if not records or not all(pattern.found_in(record) for record in records):
            raise RegexFailed(f"a record of the {section} does not match {pattern.text}, or there is none")
    wanted = rules.fail_if_none_matches_regexp
    if wanted and not any(pattern.found_in(record) for pattern in wanted for record in records):
        raise RegexFailed(f"no record of the {section} matches {' or '.join(each.text for each in wanted)}")


def _text(rrset: dns.rrset.RRset, record: object) -> str:
    """A record as a zone file has it, with tabs: name, TTL, class, type, data (RFC 1035 section 5.1)."""
    kind, family = dns.rdatatype.to_text(rrset.rdtype), dns.rdataclass.to_text(rrset.rdclass)
    return f"{rrset.name}\t{rrset.ttl}\t{family}\t{kind}\t{record}"
