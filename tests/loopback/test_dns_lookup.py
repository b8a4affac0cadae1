"""dns_lookup against unbound and the embedded peer, and side by side with dig."""

from __future__ import annotations

import pytest

from ots.model.metric import Value
from ots.probes.dns_lookup import DnsLookup
from ots.server.peers.process import Peers
from tests.comparison import DNS_TOLERANCE_SECONDS, TRIES, dig_seconds, disagreement
from tests.peers.require import require
from tests.peers.unbound import Unbound
from tests.recording import Recording, record

ONCE = {"count": 1}


async def lookup(server: str, name: str, **params: object) -> Recording:
    return await record(DnsLookup(), name, {"server": server, **ONCE, **params})


def one(recording: Recording, key: str) -> Value | None:
    (value,) = recording.only.values(key)
    return value


async def test_an_answer_is_told_in_full(unbound: Unbound) -> None:
    """Time, code, records, time to live, size, the server's word on signatures, and how it was measured."""
    recording = await lookup(unbound.address, "many.ots.test")
    assert recording.only.error is None
    seconds = one(recording, "dns_lookup_seconds")
    assert isinstance(seconds, float)
    assert 0 < seconds < 1
    assert one(recording, "dns_query_seconds") == seconds
    assert one(recording, "dns_rcode") == "NOERROR"
    assert one(recording, "dns_answers") == 3
    assert one(recording, "dns_ttl_seconds") == 60
    assert one(recording, "dns_authenticated") is False
    # Header, question, three records of 16 bytes, EDNS.
    assert one(recording, "dns_response_bytes") == 12 + (len("many.ots.test") + 2 + 4) + 3 * 16 + 11
    method = recording.only.method
    assert (method["server"], method["protocol"], method["cache"]) == ("127.0.0.1", "udp", "warm")
    assert method["stamps"] == "kernel"


@pytest.mark.parametrize(
    ("kind", "name", "answer"),
    [
        ("AAAA", "www.ots.test", ["::1"]),
        ("MX", "ots.test", ["10 mail.ots.test."]),
        ("TXT", "text.ots.test", ["txt only"]),
        ("TXT", "ots.test", ["v=spf1 -all"]),
        ("SRV", "_sip._udp.ots.test", ["10 5 5060 sip.ots.test"]),
        ("NS", "ots.test", ["ns.ots.test"]),
        ("PTR", "192.0.2.7", ["short.ots.test"]),
        ("A", "MANY.ots.test", ["192.0.2.3", "192.0.2.1", "192.0.2.2"]),
    ],
)
async def test_every_type_can_be_asked_and_pinned(
    unbound: Unbound, kind: str, name: str, answer: list[str]
) -> None:
    """The order, the case and final dots don't count."""
    recording = await lookup(unbound.address, name, type=kind, expect=answer)
    assert recording.only.error is None


async def test_another_answer_than_the_pinned_is_wrong_content(unbound: Unbound) -> None:
    """A hijacked name shows as `content`, and its time doesn't count as a lookup's."""
    recording = await lookup(unbound.address, "www.ots.test", expect="192.0.2.9", count=3, interval=0.01)
    error = recording.only.error
    assert error is not None
    assert (error.class_, error.phase, error.code) == ("content", "verify", "ANSWER")
    assert error.message == "the answer is 127.0.0.1, not 192.0.2.9"
    assert recording.metric("dns_failure_ratio").stats["value"] == 1
    assert recording.metric("dns_lookup_seconds").n_lost == 3


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nobody.ots.test", "A", "NXDOMAIN"),
        ("four.ots.test", "AAAA", "NODATA"),
        ("six.ots.test", "A", "NODATA"),
        ("x.refused.test", "A", "REFUSED"),
        ("x.servfail.test", "A", "SERVFAIL"),
    ],
)
async def test_a_negative_answer_is_class_dns(unbound: Unbound, name: str, kind: str, code: str) -> None:
    """The code says which; it was answered, so nothing is asked again."""
    recording = await lookup(unbound.address, name, type=kind, timeout=5.0)
    error = recording.only.error
    assert error is not None
    assert (error.class_, error.phase, error.code) == ("dns", "resolve", code)
    assert one(recording, "dns_retries") == 0
    assert recording.metric("dns_failure_ratio").stats["value"] == 1


async def test_a_truncated_answer_is_asked_again_over_tcp(unbound: Unbound) -> None:
    """Both queries are in the lookup's time; all records arrive."""
    recording = await lookup(unbound.address, "long.ots.test", type="TXT")
    assert recording.only.error is None
    assert one(recording, "dns_truncated") == 1
    assert one(recording, "dns_answers") == 20
    queries = recording.only.values("dns_query_seconds")
    total = one(recording, "dns_lookup_seconds")
    assert len(queries) == 2
    assert isinstance(total, float)
    assert total > sum(float(value) for value in queries if value is not None)
    assert isinstance(one(recording, "dns_connect_seconds"), float)


async def test_tcp_measures_the_connection_apart(unbound: Unbound) -> None:
    """The lookup runs from the query, the connection before it has a metric of its own."""
    recording = await lookup(unbound.address, "www.ots.test", protocol="tcp")
    assert recording.only.error is None
    assert one(recording, "dns_lookup_seconds") == one(recording, "dns_query_seconds")
    assert isinstance(one(recording, "dns_connect_seconds"), float)
    assert not recording.only.values("dns_tls_seconds")


async def test_dns_over_tls_checks_the_server(unbound: Unbound) -> None:
    """With the right authority it answers, and the handshake has a metric; without, it fails as `tls`."""
    server = f"127.0.0.1:{unbound.tls_port}"
    root = str(unbound.authority.root)
    recording = await lookup(server, "www.ots.test", protocol="tls", ca_file=root, timeout=5.0)
    assert recording.only.error is None
    assert isinstance(one(recording, "dns_tls_seconds"), float)
    stranger = await lookup(server, "www.ots.test", protocol="tls", timeout=5.0)
    assert stranger.only.error is not None
    assert (stranger.only.error.class_, stranger.only.error.phase) == ("tls", "tls")
    unchecked = await lookup(server, "www.ots.test", protocol="tls", verify=False, timeout=5.0)
    assert unchecked.only.error is None


async def test_cold_asks_a_new_name_each_time(peers: Peers) -> None:
    """Below a wildcard every random label has an answer; below anything else none has."""
    server = peers.variables()["dns"]
    recording = await lookup(server, "cold.ots.test", cache="cold", count=5, interval=0.01)
    assert recording.only.error is None
    assert recording.metric("dns_lookup_seconds").n_valid == 5
    assert recording.only.method["cache"] == "cold"
    bare = await lookup(server, "www.ots.test", cache="cold")
    assert bare.only.error is not None
    assert bare.only.error.code == "NXDOMAIN"


async def test_aliases_are_followed_and_circles_are_seen(peers: Peers) -> None:
    """The shortest time to live of the whole chain counts."""
    server = peers.variables()["dns"]
    recording = await lookup(server, "alias.ots.test", expect=["127.0.0.1"])
    assert recording.only.error is None
    assert one(recording, "dns_ttl_seconds") == 120
    circle = await lookup(server, "loop.ots.test")
    assert circle.only.error is not None
    assert (circle.only.error.class_, circle.only.error.code) == ("protocol", "CNAME_CHAIN")


async def test_a_slow_answer_is_slow_and_no_failure(peers: Peers) -> None:
    """The peer waits 250 ms; the figure is that and no more than this machine's own delay."""
    recording = await lookup(peers.variables()["dns"], "slow.ots.test", count=3, interval=0.001)
    median = recording.metric("dns_lookup_seconds").stats["median"]
    assert isinstance(median, float)
    assert 0.25 <= median < 0.35


async def test_lookups_agree_with_dig(unbound: Unbound) -> None:
    """31 lookups each, taken in turn, answered from memory: within `DNS_TOLERANCE_SECONDS`."""
    dig = require("dig")
    ours, theirs = [], []
    for _ in range(TRIES):
        ours.append(float(str(one(await lookup(unbound.address, "www.ots.test"), "dns_lookup_seconds"))))
        theirs.append(dig_seconds(dig, unbound.port, "www.ots.test"))
    assert not disagreement(ours, theirs, DNS_TOLERANCE_SECONDS)


async def test_slow_lookups_agree_with_dig(peers: Peers) -> None:
    """Against answers that take 250 ms the same holds: within a tenth."""
    dig, server = require("dig"), peers.variables()["dns"]
    ours, theirs = [], []
    for _ in range(5):
        ours.append(float(str(one(await lookup(server, "slow.ots.test"), "dns_lookup_seconds"))))
        theirs.append(dig_seconds(dig, peers.ports["dns"], "slow.ots.test"))
    assert not disagreement(ours, theirs, DNS_TOLERANCE_SECONDS)
