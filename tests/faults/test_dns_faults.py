"""dns_lookup when the server lies, cuts short, says nothing or isn't there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import dns.flags
import dns.message
import pytest

from ots.model.report import Error
from ots.probes.dns_lookup import DnsLookup
from tests.hostile import close_early, datagrams, reset, stay_silent, stream
from tests.peers.process import free_port
from tests.recording import Recording, record

QUICK = {"count": 1, "timeout": 0.3, "retries": 0}


async def lookup(server: str, **params: object) -> Recording:
    return await record(DnsLookup(), "www.ots.test", {"server": server, **QUICK, **params})


def failure(recording: Recording) -> Error:
    assert recording.only.error is not None
    assert recording.only.outcome == "failure"
    return recording.only.error


def answered(query: bytes, *, number: int | None = None, name: str = "www.ots.test.") -> bytes:
    """A proper answer, with another id or to another question if asked."""
    asked = dns.message.from_wire(query)
    response = dns.message.make_response(
        dns.message.make_query(name, "A", id=asked.id), recursion_available=True
    )
    response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.66"))
    response.id = asked.id if number is None else number
    return response.to_wire()


def cut(query: bytes) -> bytes:
    """An answer that ends in the middle of its record and says that it is truncated."""
    wire = bytearray(answered(query)[:-6])
    wire[2] |= 0x02
    return bytes(wire)


@pytest.mark.parametrize(
    ("code", "lie"),
    [
        ("MALFORMED", lambda query: [b"\xff" * 40]),
        ("MALFORMED", lambda query: [query[:2]]),
        ("MALFORMED", lambda query: [answered(query)[:-6]]),
        ("MALFORMED", lambda query: [answered(query) + b"more"]),
        ("WRONG_ID", lambda query: [answered(query, number=dns.message.from_wire(query).id ^ 1)]),
        ("WRONG_QUESTION", lambda query: [answered(query, name="bank.ots.test.")]),
        ("WRONG_QUESTION", lambda query: [query]),
    ],
)
async def test_a_server_that_talks_nonsense_is_a_protocol_failure(code: str, lie: object) -> None:
    """Invalid datagrams are passed over until the time is up; then they are the reason, not silence."""
    assert callable(lie)
    async with datagrams(lie) as (server, received):
        error = failure(await lookup(server, retries=2))
    assert (error.class_, error.phase, error.code) == ("protocol", "resolve", code)
    assert len(received) == 1


async def test_a_forged_answer_before_the_real_one_changes_nothing() -> None:
    """RFC 5452: what doesn't match is not an answer, and the wait goes on."""

    def both(query: bytes) -> Sequence[bytes]:
        return [answered(query, number=1 ^ dns.message.from_wire(query).id), b"garbage", answered(query)]

    async with datagrams(both) as (server, _):
        recording = await lookup(server, expect="192.0.2.66")
    assert recording.only.error is None


async def test_a_silent_server_is_a_timeout_and_every_query_is_counted() -> None:
    """The probe repeats as its parameters say, no more; the lookup is lost."""
    async with datagrams(lambda query: []) as (server, received):
        began = time.monotonic()
        recording = await lookup(server, retries=2, timeout=0.15)
        assert 0.45 <= time.monotonic() - began < 2
    error = failure(recording)
    assert (error.class_, error.phase) == ("timeout", "resolve")
    assert len(received) == 3
    assert len({query[:2] for query in received}) == 3, "every query has an id of its own"
    assert recording.metric("dns_timeouts").stats["value"] == 3
    assert recording.metric("dns_retries").stats["value"] == 2
    assert recording.metric("dns_query_seconds").n_lost == 3
    assert recording.metric("dns_failure_ratio").stats["value"] == 1


async def test_a_lost_datagram_is_made_good_and_stays_in_the_figure() -> None:
    """The second query is answered: success, and the lookup's time holds the wait for the first."""
    seen: list[bytes] = []

    def second_time_lucky(query: bytes) -> Sequence[bytes]:
        seen.append(query)
        return [answered(query)] if len(seen) > 1 else []

    async with datagrams(second_time_lucky) as (server, _):
        recording = await lookup(server, retries=1, timeout=0.2)
    assert recording.only.error is None
    (seconds,) = recording.only.values("dns_lookup_seconds")
    assert isinstance(seconds, float)
    assert 0.2 <= seconds < 1
    assert recording.metric("dns_retries").stats["value"] == 1


async def test_nobody_listens() -> None:
    """The ICMP error of a closed port ends the wait at once."""
    began = time.monotonic()
    for protocol, phase in (("udp", "resolve"), ("tcp", "connect")):
        error = failure(await lookup(f"127.0.0.1:{free_port()}", protocol=protocol, timeout=5.0))
        assert (error.class_, error.phase, error.code) == ("refused", phase, "ECONNREFUSED")
    assert time.monotonic() - began < 2


async def test_a_truncated_answer_whose_tcp_is_closed_is_refused() -> None:
    """There is no answer then, half a record is none."""
    async with datagrams(lambda query: [cut(query)], free_port()) as (server, _):
        recording = await lookup(server)
    error = failure(recording)
    assert (error.class_, error.phase) == ("refused", "connect")
    assert recording.metric("dns_truncated").stats["value"] == 1


async def say_less_than_announced(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"\x01\x00only this")
    await writer.drain()


async def answer_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"\x00\x20" + b"\xfe" * 32)
    await writer.drain()
    await reader.read()


@pytest.mark.parametrize(
    ("talk", "error_class", "code"),
    [
        (close_early, "protocol", "EOF"),
        (say_less_than_announced, "protocol", "EOF"),
        (answer_garbage, "protocol", "MALFORMED"),
        (reset, "cutoff", "ECONNRESET"),
        (stay_silent, "timeout", "TIMEOUT"),
    ],
)
async def test_a_tcp_server_that_misbehaves(talk: object, error_class: str, code: str) -> None:
    """The connection came about; what went wrong afterwards is told in phase resolve."""
    assert callable(talk)
    async with stream(talk) as port:
        error = failure(await lookup(f"127.0.0.1:{port}", protocol="tcp"))
    assert (error.class_, error.phase, error.code) == (error_class, "resolve", code)


async def test_plain_text_where_dns_over_tls_was_expected() -> None:
    """A server without TLS is a failure of the handshake."""
    async with stream(answer_garbage) as port:
        error = failure(await lookup(f"127.0.0.1:{port}", protocol="tls", verify=False))
    assert (error.class_, error.phase) == ("tls", "tls")


async def test_an_answer_that_contradicts_itself() -> None:
    """NXDOMAIN with records for the name is no answer at all."""

    def contradict(query: bytes) -> Sequence[bytes]:
        wire = bytearray(answered(query))
        wire[3] |= 3
        return [bytes(wire)]

    async with datagrams(contradict) as (server, _):
        error = failure(await lookup(server))
    assert (error.class_, error.code) == ("dns", "NXDOMAIN")


async def test_aliases_without_end_are_given_up() -> None:
    """A server that answers every name with another alias doesn't hold the probe for ever."""
    count = 0

    def one_more_alias(query: bytes) -> Sequence[bytes]:
        nonlocal count
        count += 1
        response = dns.message.make_response(dns.message.from_wire(query))
        name = response.question[0].name
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", f"hop{count}.ots.test."))
        return [response.to_wire()]

    async with datagrams(one_more_alias) as (server, received):
        error = failure(await lookup(server))
    assert (error.class_, error.code) == ("protocol", "CNAME_CHAIN")
    assert len(received) == 8


async def test_an_address_is_no_name() -> None:
    """A mistake of the case: class config with the remedy, and nothing is asked."""
    async with datagrams(lambda query: []) as (server, received):
        recording = await record(DnsLookup(), "192.0.2.1", {"server": server, **QUICK})
    error = recording.only.error
    assert error is not None
    assert (error.class_, error.code) == ("config", "ADDRESS")
    assert error.remedy
    assert not received
    assert recording.metric("dns_failure_ratio").stats["value"] is None


def test_a_server_that_is_none_is_a_mistake_of_the_case() -> None:
    """The parameters don't validate, and say what would."""
    for wrong in ("http://192.0.2.1", "192.0.2.1:99999", "a b", "[::1", "-x.test"):
        with pytest.raises(ValueError, match="server"):
            DnsLookup.Params(server=wrong)
    for right in ("192.0.2.1", "2001:db8::53", "[2001:db8::53]:5353", "ns.ots.test:5353"):
        DnsLookup.Params(server=right)
